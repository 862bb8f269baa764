import Migration
import MongoDB

/// Whether the ledger fits the files, and whether anybody is at work just now.
struct LedgerChecks {
  let migrator: Migrator

  static let names = ["ledger", "lock"]

  func all() -> [Check] {
    let report: StatusReport
    do {
      report = try migrator.status()
    } catch {
      let problem = ErrorReport(error)
      return [
        .failed(
          "ledger", problem.message, fix: problem.hint ?? "martlet migrate status", problem.status),
        .skipped("lock", "the ledger cannot be read"),
      ]
    }
    return [ledger(report), lock(report)]
  }

  private func ledger(_ report: StatusReport) -> Check {
    if let first = report.conflicts.first {
      let problem = ErrorReport(first)
      let more = report.conflicts.count - 1
      return .failed(
        "ledger", problem.message + (more > 0 ? " (and \(more) more)" : ""),
        fix: problem.hint ?? "martlet migrate status", problem.status)
    }
    func count(_ states: StatusReport.State...) -> Int {
      report.rows.filter { states.contains($0.state) }.count
    }
    let words =
      "\(count(.applied)) applied, \(count(.pending)) pending, \(count(.failed)) failed, "
      + "\(count(.interrupted, .running)) under way"
    return count(.failed, .interrupted) > 0
      ? .warning("ledger", words, fix: "martlet migrate up goes on, martlet migrate down goes back")
      : .ok("ledger", words)
  }

  private func lock(_ report: StatusReport) -> Check {
    guard let holder = report.holder else { return .ok("lock", "free") }
    return .warning(
      "lock", "held by \(holder.description)",
      fix: "wait for that run; if it is gone, martlet migrate unlock --force")
  }
}
