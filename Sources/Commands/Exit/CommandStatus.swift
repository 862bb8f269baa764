/// What the process tells its caller: the one table of exit codes.
enum CommandStatus: Int32, CaseIterable, Sendable {
  case done = 0
  case failed = 1
  case pending = 2
  case partlyDone = 3
  case checksFailed = 4
  case historyConflict = 5
  case notReady = 10
  case locked = 11
  case accessDenied = 12
  case backupDamaged = 20
  case usage = 64
  case stopped = 75
  case interrupted = 130

  /// What the code means, as shown in help and documentation.
  var meaning: String {
    switch self {
    case .done: "done"
    case .failed: "failed"
    case .pending: "there is something pending (with --check)"
    case .partlyDone: "partly done: some documents or parts failed, all are listed"
    case .checksFailed: "checks failed"
    case .historyConflict: "history conflict: edited, missing, out of order, foreign ledger"
    case .notReady: "not ready: unreachable, wrong topology, not enough disk"
    case .locked: "locked by another run"
    case .accessDenied: "authentication or privilege"
    case .backupDamaged: "backup damaged or incomplete"
    case .usage: "usage: command line, configuration or migration file"
    case .stopped: "stopped on purpose, run again to go on"
    case .interrupted: "interrupted"
    }
  }

  /// The block that ends every command's help.
  static let help: String = {
    let rows = allCases.map { status in
      let number = String(status.rawValue)
      return "  " + String(repeating: " ", count: 3 - number.count) + number + "  " + status.meaning
    }
    return "EXIT CODES:\n" + rows.joined(separator: "\n")
  }()
}
