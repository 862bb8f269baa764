import BSON
import Migration
import MongoDB

/// Takes each pending migration up, down and up again, and compares what the database holds.
struct RoundTrip {
  let migrator: Migrator
  let cancellation: Cancellation
  let console: Console

  /// What became of one migration.
  struct Result: Sendable {
    enum Verdict: String, Sendable {
      case passed
      /// The file says that there is no way back; only `up` was tried.
      case irreversible
      case failed
      /// One before it failed, so nothing can be said.
      case skipped
    }

    let name: String
    var verdict = Verdict.passed
    /// Where it failed: `up`, `down`, `compare down`, `up again`, `compare up again`.
    var stage: String?
    /// What is wrong, a sentence each.
    var problems: [String] = []
    var hint: String?
    var milliseconds: Int64 = 0
    /// What was tried, when it passed.
    var words = "up, down, up again"
  }

  /// Runs them in order; after a failure the rest is skipped, since each builds on the one before.
  func run() throws -> [Result] {
    let since = try migrator.pool.withClient { try $0.serverTime() }
    let pending = try migrator.planUp().migrations.map(\.name)
    let start = try snapshot(since)
    var results: [Result] = []
    for name in pending {
      if results.contains(where: { $0.verdict == .failed }) {
        results.append(Result(name: name, verdict: .skipped))
        continue
      }
      let before = console.uptime()
      var result = try roundTrip(name, since)
      result.milliseconds = Int64((console.uptime() - before).seconds * 1000)
      say(result)
      results.append(result)
    }
    if !pending.isEmpty, results.allSatisfy({ $0.verdict == .passed }) {
      results.append(try allTheWay(pending.count, start, since))
    }
    return results
  }

  private func roundTrip(_ name: String, _ since: DateTime) throws -> Result {
    var result = Result(name: name)
    let before = try snapshot(since)
    guard try step("up", &result, { try up(name) }) else { return result }
    let first = try snapshot(since)

    var notes: [String] = []
    guard
      try step(
        "down", &result,
        {
          let report = try down(1)
          if report.isPartial { notes = report.items.flatMap(\.notes) }
        })
    else { return result }
    let after = try snapshot(since)
    let leftover = before.differences(from: after, ignoringGenerated: false)
    if !leftover.isEmpty || !notes.isEmpty {
      result.fail("compare down", leftover + notes)
      result.hint = "write `down:` steps that lead back, or `down: irreversible`"
      return result
    }

    guard try step("up again", &result, { try up(name) }) else { return result }
    let second = try snapshot(since)
    let changed = first.differences(from: second, ignoringGenerated: true)
    if !changed.isEmpty { result.fail("compare up again", changed) }
    return result
  }

  /// At the end all of them at once, as `down --all` would.
  private func allTheWay(_ count: Int, _ start: DatabaseSnapshot, _ since: DateTime) throws
    -> Result
  {
    let before = console.uptime()
    var result = Result(name: "all of them", words: "down, newest first")
    guard try step("down", &result, { _ = try down(count) }) else { return result }
    let leftover = start.differences(from: try snapshot(since), ignoringGenerated: false)
    if !leftover.isEmpty { result.fail("compare down", leftover) }
    result.milliseconds = Int64((console.uptime() - before).seconds * 1000)
    say(result)
    return result
  }

  // MARK: - Parts

  /// Runs one direction; false when it failed, with the reason in `result`.
  private func step(
    _ stage: String, _ result: inout Result, _ body: () throws -> Void
  ) throws -> Bool {
    do {
      try cancellation.check()
      try body()
      return true
    } catch {
      // Being told to stop says nothing about the migration.
      if cancellation.reason != nil { throw error }
      if stage == "down", (error as? MigrationError)?.code == .irreversible {
        result.verdict = .irreversible
        result.problems = [ErrorReport(error).message]
        return false
      }
      let report = ErrorReport(error)
      result.fail(stage, report.message.split(separator: "\n").map(String.init))
      result.hint = report.hint
      return false
    }
  }

  private func up(_ name: String) throws {
    _ = try migrator.up(UpRequest(to: name), cancellation: cancellation)
  }

  private func down(_ count: Int) throws -> RunReport {
    try migrator.down(.count(count), cancellation: cancellation)
  }

  private func snapshot(_ since: DateTime) throws -> DatabaseSnapshot {
    try migrator.pool.withClient {
      try DatabaseSnapshot(
        $0.database(migrator.database), names: migrator.names, since: since,
        cancellation: cancellation)
    }
  }

  private func say(_ result: Result) {
    let took = Quantity.time(.milliseconds(result.milliseconds))
    switch result.verdict {
    case .passed: console.detail("\(result.name, .name)  \(result.words, .good)  \(took)")
    case .irreversible: console.detail("\(result.name, .name)  \("up only", .warning)  \(took)")
    case .failed: console.detail("\(result.name, .name)  \("failed", .bad)")
    case .skipped: break
    }
  }
}

extension RoundTrip.Result {
  mutating func fail(_ stage: String, _ problems: [String]) {
    verdict = .failed
    self.stage = stage
    self.problems = problems
  }
}
