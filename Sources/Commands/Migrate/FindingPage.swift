import Migration

/// What lint found.
struct FindingPage: CommandOutput {
  let findings: [Finding]
  let problems: [LoadedMigrations.Problem]
  let files: Int
  let explains: Bool

  var json: JSONValue {
    [
      "files": .integer(Int64(files)),
      "findings": .array(findings.map(Self.json)),
      "problems": .array(
        problems.map { problem in
          guard case .members(let members) = problem.error.json else { return .null }
          let severity = JSONValue.Member(
            name: "severity", value: .string(problem.severity.rawValue))
          return .members([severity] + members)
        }),
    ]
  }

  static func json(_ finding: Finding) -> JSONValue {
    [
      "code": .string(finding.code), "severity": .string(finding.severity.rawValue),
      "migration": .string(finding.migration),
      "step": .integer(optional: finding.step.map { $0 + 1 }), "inDown": .bool(finding.inDown),
      "file": .string(finding.location.file), "line": .integer(Int64(finding.location.line)),
      "column": .integer(Int64(finding.location.column)), "message": .string(finding.message),
      "why": .string(finding.why), "safer": .string(optional: finding.safer),
    ]
  }

  func write(to page: inout Page) {
    for problem in problems {
      let style: Style = problem.severity == .error ? .bad : .dim
      let place = [
        problem.error.file, problem.error.line.map(String.init),
        problem.error.column.map(String.init),
      ].compactMap(\.self).joined(separator: ":")
      let prefix = place.isEmpty ? "" : place + ": "
      page.line("\(prefix)\(problem.severity.rawValue, style): \(problem.error.message)")
      if let hint = problem.error.hint { page.line("  \("HINT:", .bold) \(hint)") }
    }
    for finding in findings {
      page.line(
        "\(finding.location): \(Self.label(finding)): \(Self.place(finding))\(finding.message)")
      guard explains else { continue }
      page.line("  why: \(finding.why)")
      if let safer = finding.safer {
        page.line("  safer:")
        for line in safer.split(separator: "\n", omittingEmptySubsequences: false) {
          page.line("    \(line)")
        }
      }
    }
    page.line(StyledText(summary, .bold))
  }

  /// One line within a plan.
  static func line(_ finding: Finding, to page: inout Page, indent: String) {
    page.line("\(indent)\(label(finding)): \(place(finding))\(finding.message)")
  }

  private static func label(_ finding: Finding) -> StyledText {
    let style: Style =
      switch finding.severity {
      case .error: .bad
      case .warning: .warning
      case .notice: .dim
      }
    return StyledText("\(finding.severity.rawValue) \(finding.code)", style)
  }

  private static func place(_ finding: Finding) -> String {
    finding.step.map { "\(finding.inDown ? "down " : "")step \($0 + 1): " } ?? ""
  }

  private var summary: String {
    let errors =
      findings.count { $0.severity == .error } + problems.count { $0.severity == .error }
    let warnings = findings.count { $0.severity == .warning }
    let notices =
      findings.count { $0.severity == .notice } + problems.count { $0.severity == .notice }
    func text(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
    return "\(text(files, "migration")): \(text(errors, "error")), \(text(warnings, "warning")), "
      + text(notices, "notice")
  }
}
