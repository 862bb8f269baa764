/// The report as JUnit XML: one case for each check, skips as skips.
public struct JUnitReport: Sendable {
  private let report: Report
  private let options: ReportOptions

  public init(_ report: Report, _ options: ReportOptions = .init()) {
    self.report = report
    self.options = options
  }

  /// The XML text.
  public var text: String {
    let checks = report.ranked
    let failures = checks.count { isFailure($0) } + stages.count { $0.state == .failed }
    let errors = report.count(.error) + stages.count { $0.state == .running }
    let seconds = seconds(report.finishedAt - report.startedAt)
    let skipped =
      checks.count { $0.status == .skipped && !isFailure($0) }
      + stages.count { $0.state == .skipped }
    let attributes =
      "tests=\"\(checks.count + stages.count)\" failures=\"\(failures)\" errors=\"\(errors)\" "
      + "skipped=\"\(skipped)\" time=\"\(seconds)\""
    var out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    out += "<testsuites name=\"martlet\" \(attributes)>\n"
    out += "  <testsuite name=\"\("validate \(report.kind.rawValue): \(report.subject)".escaped)\" "
    out += "\(attributes) timestamp=\"\(Words.instant(report.startedAt).dropLast())\">\n"
    out += "    <properties>\n"
    for fact in report.environment {
      out += "      <property name=\"\(fact.name.escaped)\" value=\"\(fact.value.escaped)\"/>\n"
    }
    out += "      <property name=\"verdict\" value=\"\(report.verdict.rawValue)\"/>\n"
    out += "    </properties>\n"
    for stage in stages { out += testcase(stage) }
    for check in checks { out += testcase(check) }
    return out + "  </testsuite>\n</testsuites>\n"
  }

  /// The last attempt at each stage of a window: it may fail without a check that does.
  private var stages: [TimelineEntry] {
    report.kind == .window ? report.timeline.filter { $0.state != .interrupted } : []
  }

  private func testcase(_ stage: TimelineEntry) -> String {
    let opening =
      "    <testcase classname=\"martlet.window.stage\" name=\"\(stage.name.escaped)\" "
      + "time=\"\(seconds(stage.duration))\""
    let detail = (stage.detail ?? "").escaped
    switch stage.state {
    case .failed: return opening + "><failure message=\"\(detail)\"/></testcase>\n"
    case .skipped: return opening + "><skipped message=\"\(detail)\"/></testcase>\n"
    case .running: return opening + "><error message=\"it did not end\"/></testcase>\n"
    case .done, .interrupted: return opening + "/>\n"
    }
  }

  /// JUnit knows no warnings: they are failures in a strict run, and a case's output otherwise. So is
  /// what was skipped, and should not have been.
  private func isFailure(_ check: CheckResult) -> Bool {
    switch check.status {
    case .failed: true
    case .warning: report.isStrict
    case .skipped: report.isStrict && check.applies
    case .passed, .error: false
    }
  }

  private func testcase(_ check: CheckResult) -> String {
    let name = (check.subject.isEmpty ? check.id : check.subject).escaped
    // The same check may be made in two stages of a window.
    let stage = check.stage.map { $0.escaped + "." } ?? ""
    let opening =
      "    <testcase classname=\"martlet.\(report.kind.rawValue).\(stage)\(check.id.escaped)\" "
      + "name=\"\(name)\" time=\"\(seconds(check.duration))\""
    let message = check.message.escaped
    if isFailure(check) {
      return opening + ">\n      <failure type=\"\(check.severity.rawValue)\" "
        + "message=\"\(message)\">\(details(check))</failure>\n    </testcase>\n"
    }
    switch check.status {
    case .error:
      return opening + ">\n      <error message=\"\(message)\">\(details(check))</error>\n"
        + "    </testcase>\n"
    case .skipped:
      return opening + ">\n      <skipped message=\"\(message)\"/>\n    </testcase>\n"
    case .warning:
      return opening + ">\n      <system-out>warning: \(message)\n\(details(check))</system-out>\n"
        + "    </testcase>\n"
    case .passed, .failed:
      return opening + "/>\n"
    }
  }

  private func details(_ check: CheckResult) -> String {
    var lines: [String] = []
    if let amount = check.lookedAt { lines.append("looked at: \(amount)") }
    lines.append("certainty: \(check.certainty.description)")
    if let cause = check.cause { lines.append("cause: \(cause)") }
    for row in check.evidence.rows.prefix(options.maximumRows) {
      let cells = zip(check.evidence.columns, row).map { column, cell in
        "\(column) \(cell.text(values: options.showsValues))"
      }
      lines.append("  " + cells.joined(separator: ", "))
    }
    if let command = check.command { lines.append("shown by: \(command)") }
    if let fix = check.fix { lines.append("fix: \(fix)") }
    return lines.joined(separator: "\n").escaped
  }

  private func seconds(_ milliseconds: Int64) -> String {
    // The clock may have been set back meanwhile.
    let time = max(0, milliseconds)
    let rest = String(time % 1000)
    return "\(time / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
  }
}
