/// The report as lines of text for a terminal; the caller decides about colours.
public struct TerminalReport: Sendable {
  /// How a piece of text is set off.
  public enum Tone: Sendable, Hashable { case plain, bold, dim, good, warning, bad }

  /// Text of one tone; holds no control characters.
  public struct Span: Sendable, Hashable {
    public let text: String
    public let tone: Tone

    init(_ text: String, _ tone: Tone = .plain) {
      self.text = text.harmless
      self.tone = tone
    }
  }

  private let report: Report
  private let options: ReportOptions

  public init(_ report: Report, _ options: ReportOptions = .init(maximumRows: 5)) {
    self.report = report
    self.options = options
  }

  /// The lines without colours.
  public var text: String {
    lines.map { $0.map(\.text).joined() }.joined(separator: "\n") + "\n"
  }

  /// Verdict, findings, metrics that changed, then how much passed.
  public var lines: [[Span]] {
    var lines: [[Span]] = [
      [
        Span(report.verdict.words, tone(report.verdict)),
        Span("  \(title)  \(report.subject)"),
      ],
      [Span(summary, .dim)],
    ]
    let shown = report.ranked.filter { $0.status != .passed && $0.applies }
    for check in shown.prefix(options.maximumDetails) { lines += block(check) }
    if shown.count > options.maximumDetails {
      let more = Words.counted(Int64(shown.count - options.maximumDetails), "checks")
      lines.append([Span("… and \(more) more that did not pass", .dim)])
    }
    lines += metrics
    if report.kind == .window {
      lines.append([])
      for entry in report.timeline {
        let tone: Tone = entry.state == .failed ? .bad : entry.state == .done ? .good : .dim
        lines.append([
          Span(entry.state.rawValue + " ", tone),
          Span("\(entry.name)  \(Words.time(Double(entry.duration)))"),
          Span(entry.detail.map { "  " + $0 } ?? "", .dim),
        ])
      }
    }
    for note in report.notes { lines.append([Span(note)]) }
    return lines
  }

  private var title: String {
    report.kind == .window ? "window" : "validate \(report.kind.rawValue)"
  }

  private var summary: String {
    CheckResult.Status.allCases.compactMap { status in
      let count = report.count(status)
      return count > 0 ? "\(Words.grouped(Int64(count))) \(Self.word(status))" : nil
    }.joined(separator: ", ")
      + " in \(Words.time(Double(report.finishedAt - report.startedAt)))"
  }

  static func word(_ status: CheckResult.Status) -> String {
    switch status {
    case .failed: "failed"
    case .error: "not carried out"
    case .warning: "warning"
    case .skipped: "skipped"
    case .passed: "passed"
    }
  }

  private func block(_ check: CheckResult) -> [[Span]] {
    let tone = tone(check.status)
    var head = [Span(Self.word(check.status).uppercased(), tone), Span("  \(check.id)", .bold)]
    if !check.subject.isEmpty { head.append(Span("  \(check.subject)")) }
    if let stage = check.stage { head.append(Span("  (\(stage))", .dim)) }
    if check.status == .skipped { return [head + [Span("  \(check.message)", .dim)]] }
    var lines = [[], head, [Span("  \(check.message)")]]
    var sure = check.certainty.description
    if let amount = check.lookedAt { sure += ", looked at \(amount)" }
    lines.append([Span("  \(sure)", .dim)])
    for row in check.evidence.rows.prefix(options.maximumRows) {
      let cells = zip(check.evidence.columns, row).map { column, cell in
        "\(column) \(cell.text(values: options.showsValues))"
      }
      lines.append([Span("    " + cells.joined(separator: ", "))])
    }
    if check.findings > Int64(min(options.maximumRows, check.evidence.rows.count)),
      !check.evidence.isEmpty
    {
      lines.append([Span("    of \(Words.grouped(check.findings))", .dim)])
    }
    if let cause = check.cause { lines.append([Span("  cause: \(cause)")]) }
    if let command = check.command { lines.append([Span("  shown by: ", .dim), Span(command)]) }
    if let fix = check.fix { lines.append([Span("  fix: ", .bold), Span(fix)]) }
    return lines
  }

  private var metrics: [[Span]] {
    let changed = report.metrics.filter { !$0.change.isEmpty }
    guard !changed.isEmpty else { return [] }
    let lines = changed.prefix(40).map { metric in
      let before = metric.before.map(metric.text) ?? "–"
      let after = metric.after.map(metric.text) ?? "–"
      return [Span("  \(metric.name): \(before) → \(after)  "), Span(metric.change, .dim)]
    }
    return [[], [Span("Before and after", .bold)]] + lines
  }

  private func tone(_ verdict: Verdict) -> Tone {
    switch verdict {
    case .passed: .good
    case .reservations: .warning
    case .failed: .bad
    }
  }

  private func tone(_ status: CheckResult.Status) -> Tone {
    switch status {
    case .failed, .error: .bad
    case .warning: .warning
    case .skipped: .dim
    case .passed: .good
    }
  }
}
