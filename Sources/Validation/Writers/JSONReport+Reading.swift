public import BSON

/// Reports that were written are read again: a window that was killed goes on with its evidence.
extension JSONReport {
  /// The report in a document that ``document`` made; nil for anything else.
  ///
  /// Cells of evidence come back as the text that was written: what was redacted stays redacted.
  public static func read(_ document: Document) -> Report? {
    guard document["schema"]?.stringValue == Report.schema,
      let kind = document["kind"]?.stringValue.flatMap(Report.Kind.init(rawValue:)),
      let subject = document["subject"]?.stringValue
    else { return nil }
    var report = Report(
      kind: kind, subject: subject, startedAt: 0, finishedAt: 0,
      isStrict: document["strict"]?.boolValue ?? false)
    report.checks = list(document, "checks").compactMap(check)
    report.metrics = list(document, "metrics").compactMap(metric)
    for fact in document["environment"]?.documentValue ?? [:] {
      report.environment.append(Fact(fact.key, fact.value.stringValue ?? ""))
    }
    report.notes = (document["notes"]?.arrayValue ?? []).compactMap(\.stringValue)
    return report
  }

  /// One check, as ``document`` writes it.
  static func check(_ fields: Document) -> CheckResult? {
    guard let id = fields["id"]?.stringValue, let subject = fields["subject"]?.stringValue,
      let severity = fields["severity"]?.stringValue.flatMap(
        CheckResult.Severity.init(rawValue:)),
      let status = fields["status"]?.stringValue.flatMap(CheckResult.Status.init(rawValue:)),
      let message = fields["message"]?.stringValue
    else { return nil }
    var check = CheckResult(
      id, subject, severity: severity, status: status, message,
      certainty: certainty(fields["certainty"]?.documentValue ?? [:], message),
      findings: fields["findings"]?.integerValue ?? 0, cause: fields["cause"]?.stringValue,
      command: fields["command"]?.stringValue, fix: fields["fix"]?.stringValue,
      duration: fields["durationMs"]?.integerValue ?? 0,
      applies: fields["applies"]?.boolValue ?? true)
    check.stage = fields["stage"]?.stringValue
    if let amount = fields["lookedAt"]?.documentValue, let count = amount["count"]?.integerValue {
      check.lookedAt = Amount(count, amount["unit"]?.stringValue ?? "")
    }
    if let evidence = fields["evidence"]?.documentValue {
      check.evidence = Evidence(
        columns: (evidence["columns"]?.arrayValue ?? []).compactMap(\.stringValue),
        rows: (evidence["rows"]?.arrayValue ?? []).compactMap(\.arrayValue).map { row in
          row.map { .text($0.stringValue ?? "") }
        })
    }
    return check
  }

  private static func list(_ document: Document, _ name: String) -> [Document] {
    (document[name]?.arrayValue ?? []).compactMap(\.documentValue)
  }

  private static func certainty(_ fields: Document, _ message: String) -> Certainty {
    switch fields["level"]?.stringValue {
    case "exact": .exact
    case "sampled": .sampled(bound: fields["bound"]?.doubleValue ?? 1)
    case "estimated": .estimated
    default: .skipped(fields["reason"]?.stringValue ?? message)
    }
  }

  private static func metric(_ fields: Document) -> Metric? {
    func number(_ name: String) -> Double? {
      fields[name]?.doubleValue ?? fields[name]?.integerValue.map(Double.init)
    }
    guard let group = fields["group"]?.stringValue.flatMap(Metric.Group.init(rawValue:)),
      let unit = fields["unit"]?.stringValue.flatMap(Metric.Unit.init(rawValue:)),
      let name = fields["name"]?.stringValue
    else { return nil }
    return Metric(group, name, unit, before: number("before"), after: number("after"))
  }
}
