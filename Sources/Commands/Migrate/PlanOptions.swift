import ArgumentParser
import Migration

/// How far `plan` and `up` go.
struct UpOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Stop after this migration: its name or number.", valueName: "id"))
  var to: String?

  @Option(help: ArgumentHelp("At most so many migrations.", valueName: "number"))
  var count: Int?

  @Flag(help: "Everything that is pending. This is the default; the word `all` does the same.")
  var all = false

  @Flag(help: "Also apply pending migrations that come before applied ones.")
  var allowOutOfOrder = false

  @Argument(help: ArgumentHelp("`all`, or the migration to stop after.", visibility: .hidden))
  var target: String?

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count must be at least 1") }
    let given = [to != nil, count != nil, all, target != nil].count { $0 }
    if given > 1 && !(all && target == "all") {
      throw ValidationError("give one of --to, --count and --all")
    }
  }

  var request: UpRequest {
    let name = to ?? (target == "all" ? nil : target)
    return UpRequest(to: name, count: count, allowOutOfOrder: allowOutOfOrder)
  }
}

/// How far `down` goes.
struct DownOptions: ParsableArguments {
  @Option(help: ArgumentHelp("So many migrations, newest first (1).", valueName: "number"))
  var count: Int?

  @Option(
    help: ArgumentHelp("All that come after this one; it stays applied.", valueName: "id"))
  var to: String?

  @Flag(help: "Those that the last `up` applied together.")
  var batch = false

  @Flag(help: "All of them. The word `all` does the same.")
  var all = false

  @Argument(help: ArgumentHelp("`all`.", visibility: .hidden))
  var target: String?

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count must be at least 1") }
    if let target, target != "all" {
      throw ValidationError("unexpected \(target); to go back to a migration: --to \(target)")
    }
    let given = [to != nil, count != nil, all || target != nil, batch].count { $0 }
    if given > 1 { throw ValidationError("give one of --count, --to, --batch and --all") }
  }

  var request: DownRequest {
    if let to { return .to(to) }
    if batch { return .batch }
    return all || target != nil ? .all : .count(count ?? 1)
  }
}

/// Of commands that take the lock.
struct LockOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Wait for another run to end: 30s, 5m. Without it a held lock is exit 11.",
      valueName: "time"))
  var wait: TimeSpan?

  @Option(
    help: ArgumentHelp(
      "Stop at the next safe point after this time, with exit 75; the next run goes on.",
      valueName: "time"))
  var maxRuntime: TimeSpan?
}
