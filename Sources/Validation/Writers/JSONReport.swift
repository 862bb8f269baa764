public import BSON

/// The report as JSON, described by `docs/report.schema.json`.
public struct JSONReport: Sendable {
  private let report: Report
  private let options: ReportOptions

  public init(_ report: Report, _ options: ReportOptions = .init()) {
    self.report = report
    self.options = options
  }

  /// Indented JSON text.
  public var text: String { ExtendedJSON.text(document, .relaxed, indent: 2) + "\n" }

  /// The report's fields in the order of the schema.
  public var document: Document {
    var document: Document = [
      "schema": .string(Report.schema),
      "kind": .string(report.kind.rawValue),
      "subject": .string(report.subject),
      "verdict": .string(report.verdict.rawValue),
      "strict": .bool(report.isStrict),
      "startedAt": .string(Words.instant(report.startedAt)),
      "finishedAt": .string(Words.instant(report.finishedAt)),
      "durationMs": .integer(report.finishedAt - report.startedAt),
    ]
    document.append("counts", .document(counts))
    document.append("checks", .array(report.ranked.map { .document(check($0)) }))
    document.append("metrics", .array(report.metrics.map { .document(metric($0)) }))
    document.append("timeline", .array(report.timeline.map { .document(entry($0)) }))
    document.append("plan", .array(report.plan.map { .document(plan($0)) }))
    let facts = report.environment.map { ($0.name, Value.string($0.value)) }
    document.append("environment", .document(Document(facts)))
    document.append("notes", .array(report.notes.map { .string($0) }))
    return document
  }

  private var counts: Document {
    Document(
      CheckResult.Status.allCases.map { ($0.rawValue, .integer(report.count($0))) })
  }

  func check(_ check: CheckResult) -> Document {
    var fields: Document = [
      "id": .string(check.id), "subject": .string(check.subject),
      "severity": .string(check.severity.rawValue), "status": .string(check.status.rawValue),
      "message": .string(check.message),
    ]
    if let amount = check.lookedAt {
      fields.append(
        "lookedAt", ["count": .integer(amount.count), "unit": .string(amount.unit)])
    }
    fields.append("certainty", .document(certainty(check.certainty)))
    if !check.applies { fields.append("applies", false) }
    if let stage = check.stage { fields.append("stage", .string(stage)) }
    fields.append("findings", .integer(check.findings))
    if !check.evidence.isEmpty { fields.append("evidence", .document(evidence(check.evidence))) }
    let texts = [("cause", check.cause), ("command", check.command), ("fix", check.fix)]
    for (name, text) in texts { if let text { fields.append(name, .string(text)) } }
    fields.append("durationMs", .integer(check.duration))
    return fields
  }

  private func certainty(_ certainty: Certainty) -> Document {
    var fields: Document = ["level": .string(certainty.word)]
    switch certainty {
    case .sampled(let bound): fields.append("bound", .double(bound))
    case .skipped(let reason): fields.append("reason", .string(reason))
    case .exact, .estimated: break
    }
    return fields
  }

  private func evidence(_ evidence: Evidence) -> Document {
    let rows = evidence.rows.prefix(options.maximumRows).map { row in
      Value.array(row.map { .string($0.text(values: options.showsValues)) })
    }
    return [
      "columns": .array(evidence.columns.map { .string($0) }), "rows": .array(Array(rows)),
    ]
  }

  private func metric(_ metric: Metric) -> Document {
    func number(_ value: Double?) -> Value {
      guard let value else { return nil }
      return Int64(exactly: value).map { .integer($0) } ?? .double(value)
    }
    return [
      "group": .string(metric.group.rawValue), "name": .string(metric.name),
      "unit": .string(metric.unit.rawValue), "before": number(metric.before),
      "after": number(metric.after),
    ]
  }

  private func entry(_ entry: TimelineEntry) -> Document {
    var fields: Document = [
      "name": .string(entry.name), "startedAt": .string(Words.instant(entry.startedAt)),
      "durationMs": .integer(entry.duration), "state": .string(entry.state.rawValue),
    ]
    if let detail = entry.detail { fields.append("detail", .string(detail)) }
    return fields
  }

  private func plan(_ entry: PlanEntry) -> Document {
    var fields: Document = [
      "migration": .string(entry.migration), "step": .string(entry.step),
    ]
    if let state = entry.state { fields.append("state", .string(state)) }
    if let detail = entry.detail { fields.append("detail", .string(detail)) }
    return fields
  }
}
