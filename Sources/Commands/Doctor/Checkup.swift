/// One thing that `doctor` looked at.
struct Check: Sendable, Hashable {
  enum State: String, Sendable, Hashable { case ok, warning, failed, skipped }

  /// Stable, for programs: `oplog-window`.
  var id: String
  var state: State
  /// What was found, or why it was not looked at.
  var detail: String
  /// What to do about it.
  var fix: String?
  /// The exit code that a failure means.
  var status: CommandStatus = .checksFailed

  static func ok(_ id: String, _ detail: String) -> Check {
    Check(id: id, state: .ok, detail: detail)
  }

  static func warning(_ id: String, _ detail: String, fix: String? = nil) -> Check {
    Check(id: id, state: .warning, detail: detail, fix: fix)
  }

  static func failed(
    _ id: String, _ detail: String, fix: String? = nil, _ status: CommandStatus
  ) -> Check {
    Check(id: id, state: .failed, detail: detail, fix: fix, status: status)
  }

  static func skipped(_ id: String, _ detail: String, fix: String? = nil) -> Check {
    Check(id: id, state: .skipped, detail: detail, fix: fix)
  }
}

/// All that `doctor` found: ready or not, and why.
struct Checkup: Sendable, CommandOutput {
  /// Without credentials.
  var server: String
  var database: String?
  var checks: [Check] = []

  /// The first failure decides: what comes first is what the rest depends on.
  var status: CommandStatus { checks.first { $0.state == .failed }?.status ?? .done }

  var json: JSONValue {
    [
      "ready": .bool(status == .done),
      "exitCode": .integer(Int64(status.rawValue)),
      "server": .string(server),
      "database": .string(optional: database),
      "checks": .array(
        checks.map { check in
          [
            "id": .string(check.id), "state": .string(check.state.rawValue),
            "detail": .string(check.detail), "fix": .string(optional: check.fix),
          ]
        }),
    ]
  }

  func write(to page: inout Page) {
    page.line("\(server, .name)" + (database.map { "  database \($0, .name)" } ?? ""))
    var table = Table(["check", "", "found"])
    for check in checks {
      table.add("\(check.id)", Self.word(check.state), "\(check.detail)")
    }
    page.table(table)
    let open = checks.filter { ($0.state == .failed || $0.state == .warning) && $0.fix != nil }
    for check in open { page.line("\(check.id, .bold): \(check.fix ?? "")") }
    page.line(
      status == .done
        ? StyledText("ready", .good) : StyledText("not ready", .bad))
  }

  private static func word(_ state: Check.State) -> StyledText {
    switch state {
    case .ok: StyledText("ok", .good)
    case .warning: StyledText("warning", .warning)
    case .failed: StyledText("FAILED", .bad)
    case .skipped: StyledText("skipped", .dim)
    }
  }
}
