import Validation

/// A report on the terminal, and as the JSON document of `--json`.
struct ReportPage: CommandOutput {
  let report: Report
  let options: ReportOptions

  var json: JSONValue { JSONValue(JSONReport(report, options).document) }

  func write(to page: inout Page) {
    for line in TerminalReport(report, options).lines {
      page.line(line.reduce(StyledText("")) { $0 + StyledText($1.text, Self.style($1.tone)) })
    }
  }

  private static func style(_ tone: TerminalReport.Tone) -> Style {
    switch tone {
    case .plain: .plain
    case .bold: .bold
    case .dim: .dim
    case .good: .good
    case .warning: .warning
    case .bad: .bad
    }
  }
}

extension CommandContext {
  /// Shows the report, writes its files, and says what to do next.
  func deliver(
    _ report: Report, _ reporting: ReportingOptions, next: String,
    failed: String = "mend what failed, then run this again"
  ) throws -> CommandStatus {
    let rows = options.json ? 20 : 5
    console.show(
      ReportPage(
        report: report,
        options: ReportOptions(showsValues: reporting.showValues, maximumRows: rows)))
    if let folder = reporting.report {
      let path = ConfigurationFile.resolve(folder, from: surroundings.folder)
      let files = try ReportFolder(path).write(
        report, ReportOptions(showsValues: reporting.showValues))
      for file in files { console.status("written: \(file, .name)") }
    }
    console.next(report.verdict == .failed ? failed : next)
    return report.verdict == .failed ? .checksFailed : .done
  }
}
