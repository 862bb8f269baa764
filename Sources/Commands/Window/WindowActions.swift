import ArgumentParser
import BSON
import Foundation
import MongoDB
import Validation

/// What each stage of a window does.
struct WindowActions {
  let run: WindowRun
  private let cancellation: Cancellation

  struct Result {
    var status = CommandStatus.done
    var detail: String?
    var isSkipped = false

    static func skipped(_ why: String) -> Result { Result(detail: why, isSkipped: true) }
  }

  init(run: WindowRun, cancellation: Cancellation? = nil) {
    self.run = run
    self.cancellation = cancellation ?? run.context.cancellation
  }

  func perform(_ stage: WindowStage) throws -> Result {
    switch stage {
    case .doctor: return try martlet(["doctor"])
    case .backup:
      guard !run.command.noBackup else { return .skipped("--no-backup") }
      return try martlet(["backup", "run", "--tag", "window"])
    case .verify:
      guard !run.command.noBackup else { return .skipped("--no-backup") }
      return try martlet(["backup", "verify"])
    case .before: return try validate(.before)
    case .stop: return try hooks(run.window.stop)
    case .plan: return try plan()
    case .up:
      var words = ["migrate", "up", "--yes"]
      if let left = run.timeLeft { words += ["--max-runtime", "\(left.components.seconds)s"] }
      // The window has taken one, or was told not to.
      words.append("--no-backup")
      return try martlet(words)
    case .after: return try validate(.after)
    case .start: return try hooks(run.window.start)
    case .health: return try health()
    }
  }

  /// The commands that the stages stand for, for `--dry-run`.
  static func commands(_ stage: WindowStage, _ run: WindowRun) -> [String] {
    switch stage {
    case .doctor: ["martlet doctor"]
    case .backup: run.command.noBackup ? [] : ["martlet backup run --tag window"]
    case .verify: run.command.noBackup ? [] : ["martlet backup verify"]
    case .before: ["martlet validate before --save \(run.snapshotPath)"]
    case .stop: run.window.stop
    case .plan: ["martlet migrate plan"]
    case .up: ["martlet migrate up"]
    case .after: ["martlet validate after --against \(run.snapshotPath)"]
    case .start: run.window.start
    case .health: run.window.health
    }
  }

  // MARK: -

  /// Another command of ours, as a process of its own: what it does is what it does by hand.
  private func martlet(_ words: [String], output: String? = nil) throws -> Result {
    let options = run.context.options
    var all = [Self.executable] + words
    let passed: [(String, String?)] = [
      ("--config", options.config), ("--uri", options.uri), ("--db", options.db),
      ("--username", options.username), ("--password-file", options.passwordFile),
      ("--authenticationDatabase", options.authenticationDatabase),
      ("--migrations-dir", words.first == "migrate" ? run.command.migrations.directory : nil),
    ]
    for (name, value) in passed { if let value { all += [name, value] } }
    var text = "exec " + all.map(WindowRun.quoted).joined(separator: " ")
    if let output { text += " --json > \(WindowRun.quoted(output))" }
    let command = ShellCommand(
      text, in: run.context.surroundings.folder, timeout: .seconds(30 * 86_400),
      grace: .seconds(120), isShown: true)
    switch try command.run(cancellation) {
    case .exit(0): return Result()
    case .exit(let code):
      let status = CommandStatus(rawValue: code) ?? .failed
      return Result(status: status, detail: status.meaning)
    case .signal(let number): return Result(status: .failed, detail: "ended by signal \(number)")
    case .timedOut: return Result(status: .failed, detail: "it did not end")
    case .notStarted(let why): return Result(status: .failed, detail: why)
    }
  }

  private static var executable: String {
    let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    return link ?? CommandLine.arguments.first ?? "martlet"
  }

  /// Hooks one after the other; the first that fails or hangs ends it.
  func hooks(_ hooks: [String]) throws -> Result {
    guard !hooks.isEmpty else { return .skipped("no hooks configured") }
    let timeout = run.command.hookTimeout?.duration ?? .seconds(300)
    for hook in hooks {
      let command = ShellCommand(hook, in: run.settings.folder, timeout: timeout, isShown: true)
      switch try command.run(cancellation) {
      case .exit(0): continue
      case .exit(let code):
        return Result(status: .failed, detail: "the hook `\(hook)` ended with exit code \(code)")
      case .signal(let number):
        return Result(status: .failed, detail: "the hook `\(hook)` was ended by signal \(number)")
      case .timedOut:
        return Result(
          status: .failed, detail: "the hook `\(hook)` did not end within \(Quantity.time(timeout))"
        )
      case .notStarted(let why):
        return Result(status: .failed, detail: "the hook `\(hook)` did not start: \(why)")
      }
    }
    return Result(detail: Words.counted(Int64(hooks.count), "hooks"))
  }

  /// Commands, or addresses that have to answer.
  private func health() throws -> Result {
    guard !run.window.health.isEmpty else { return .skipped("no health checks configured") }
    for check in run.window.health {
      let isAddress = check.hasPrefix("http://") || check.hasPrefix("https://")
      let text = isAddress ? "curl -fsS -m 10 -o /dev/null \(WindowRun.quoted(check))" : check
      var isHealthy = false
      for attempt in 1...run.command.healthAttempts {
        let command = ShellCommand(text, in: run.settings.folder, timeout: .seconds(60))
        isHealthy = try command.run(cancellation) == .exit(0)
        if isHealthy || attempt == run.command.healthAttempts { break }
        for _ in 0..<30 where cancellation.reason == nil { usleep(100_000) }
      }
      guard isHealthy else {
        return Result(
          status: .checksFailed,
          detail: "`\(check)` failed \(run.command.healthAttempts) times")
      }
    }
    return Result(detail: Words.counted(Int64(run.window.health.count), "checks"))
  }

  private func validate(_ phase: Phase) throws -> Result {
    var checking = try CheckingOptions.parse([])
    checking.rules = run.command.rules
    if phase == .before {
      checking.save = run.snapshotPath
    } else {
      checking.against = run.snapshotPath
    }
    let found = try ValidationRun(
      run.context, phase, checking, run.command.reporting, run.command.migrations
    ).run()
    run.report.checks += found.checks
    run.report.environment = found.environment
    if phase == .after { run.report.metrics = found.metrics }
    let failed = found.count(.failed) + found.count(.error)
    guard found.verdict == .failed else {
      return Result(detail: "\(found.count(.passed)) checks passed")
    }
    for check in found.ranked.prefix(failed) {
      run.context.console.warn("\(check.id, .bold) \(check.subject): \(check.message)")
    }
    return Result(
      status: .checksFailed,
      detail: "\(Words.counted(Int64(failed), "checks")) failed")
  }

  /// Shows what `up` will do, keeps it for the report, and asks.
  private func plan() throws -> Result {
    var result = try martlet(["migrate", "plan"])
    guard result.status == .done else { return result }
    result = try martlet(["migrate", "plan"], output: run.planPath)
    guard result.status == .done else { return result }
    run.report.plan = Self.entries(run.planPath)
    try run.context.confirm(
      "Apply these \(Words.counted(Int64(run.report.plan.count), "steps")) to \(run.database)?",
      run.command.confirmation, run.settings)
    return Result(detail: Words.counted(Int64(run.report.plan.count), "steps"))
  }

  private static func entries(_ path: String) -> [PlanEntry] {
    guard let data = FileManager.default.contents(atPath: path),
      let document = try? ExtendedJSON.parseDocument(utf8: [UInt8](data))
    else { return [] }
    func list(_ document: Document, _ name: String) -> [Document] {
      (document[name]?.arrayValue ?? []).compactMap(\.documentValue)
    }
    return list(document, "migrations").flatMap { migration in
      list(migration, "steps").map { step in
        let words = [step["command"]?.stringValue, step["collection"]?.stringValue]
        let impact = (step["impact"]?.arrayValue ?? []).compactMap(\.stringValue)
        return PlanEntry(
          migration: migration["name"]?.stringValue ?? "",
          step: words.compactMap(\.self).joined(separator: " "),
          state: step["effect"]?.stringValue,
          detail: impact.isEmpty ? nil : impact.joined(separator: "; "))
      }
    }
  }

  /// Takes back what `up` did; true when that is done.
  func takeBack(_ action: Configuration.FailureAction) throws -> Bool {
    switch action {
    case .stop: return false
    case .down: return try martlet(["migrate", "down", "--batch", "--yes"]).status == .done
    case .restore: return try martlet(["restore", "--latest", "--yes"]).status == .done
    }
  }
}

extension WindowRun {
  /// What would be done.
  var script: WindowScript {
    WindowScript(
      lines: WindowStage.allCases.map { ($0, WindowActions.commands($0, self)) },
      failure: onFailure.rawValue)
  }
}
