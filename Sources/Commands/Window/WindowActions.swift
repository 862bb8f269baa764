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
    case .doctor: return try martlet(["doctor", "--write-check"])
    case .backup: return try backup()
    case .verify: return try verify()
    case .before: return try validate(.before)
    case .stop: return try stop()
    case .plan: return try plan()
    case .up:
      // The lock of a run that was killed is free after a minute.
      var words = ["migrate", "up", "--yes", "--wait", "3m"]
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
    case .doctor: ["martlet doctor --write-check"]
    case .backup: run.command.noBackup ? [] : ["martlet backup run --tag window"]
    case .verify:
      run.command.noBackup ? [] : ["martlet backup verify --latest --depth \(depth(run))"]
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
  func martlet(_ words: [String], output: String? = nil) throws -> Result {
    let options = run.context.options
    var all = [Self.executable] + words
    let passed: [(String, String?)] = [
      ("--config", options.config), ("--uri", options.uri), ("--db", options.db),
      ("--username", options.username), ("--password-file", options.passwordFile),
      ("--authenticationDatabase", options.authenticationDatabase),
      (
        "--migrations-dir",
        ["migrate", "doctor"].contains(words.first) ? run.command.migrations.directory : nil
      ),
    ]
    for (name, value) in passed { if let value { all += [name, value] } }
    _ = WindowError.take(run.errorPath)
    var text =
      "exec env \(WindowError.assignment(run.errorPath)) "
      + all.map(WindowRun.quoted).joined(separator: " ")
    if let output { text += " --json > \(WindowRun.quoted(output))" }
    let command = ShellCommand(
      text, in: run.context.surroundings.folder, timeout: .seconds(30 * 86_400),
      grace: .seconds(120), isShown: true)
    switch try watched(command, migrates: words.starts(with: ["migrate", "up"])) {
    case .exit(0): return Result()
    case .exit(let code):
      let status = CommandStatus(rawValue: code) ?? .failed
      return Result(
        status: status, detail: WindowError.take(run.errorPath) ?? status.meaning)
    case .signal(let number): return Result(status: .failed, detail: "ended by signal \(number)")
    case .timedOut: return Result(status: .failed, detail: "it did not end")
    case .notStarted(let why): return Result(status: .failed, detail: why)
    }
  }

  /// Runs it, and journals the process: a window that is killed leaves it behind.
  private func watched(
    _ command: ShellCommand, migrates: Bool = false
  ) throws -> ShellCommand.Outcome {
    defer { run.journal.process = nil }
    return try command.run(cancellation) { pid in
      run.journal.process = WindowJournal.Process(pid)
      if migrates { run.journal.migrators.append(Int64(pid)) }
      try? run.save()
    }
  }

  // MARK: - backup

  private func backup() throws -> Result {
    guard !run.command.noBackup else { return .skipped("--no-backup") }
    let result = try martlet(["backup", "run", "--tag", "window"], output: run.backupPath)
    guard result.status == .done else { return result }
    guard let id = Self.document(run.backupPath)?["id"]?.stringValue else {
      return Result(status: .failed, detail: "the backup's id cannot be read")
    }
    run.journal.backup = id
    return Result(detail: id)
  }

  /// Every document is read back, unless only checksums can be: of what is encrypted the key is elsewhere.
  private func verify() throws -> Result {
    guard !run.command.noBackup else { return .skipped("--no-backup") }
    guard let id = run.journal.backup else {
      return Result(status: .failed, detail: "this window made no backup")
    }
    var result = try martlet(["backup", "verify", id, "--depth", Self.depth(run)])
    if result.status == .done {
      result.detail =
        "\(id): every \(Self.depth(run) == "documents" ? "document" : "checksum") read back"
    }
    return result
  }

  private static func depth(_ run: WindowRun) -> String {
    let isOpen =
      run.settings.configuration.backup.recipients.isEmpty
      || run.context.surroundings.environment["MARTLET_AGE_IDENTITY"] != nil
    return isOpen ? "documents" : "checksums"
  }

  // MARK: - hooks

  /// The snapshot is taken again when the writers are gone: what they wrote since is no finding.
  private func stop() throws -> Result {
    let result = try hooks(run.window.stop)
    guard result.status == .done, !result.isSkipped, !run.journal.mayHaveChanged else {
      return result
    }
    let old = try SnapshotFile.read(run.snapshotPath, database: run.database)
    var expectations = Expectations()
    expectations.ownCollections = [run.settings.migrationsCollection.value]
    var options = CheckOptions(cancellation: cancellation)
    options.folder = run.settings.folder
    var new = try Validator(
      try run.context.pool(run.settings), database: run.database, phase: .before,
      expectations: expectations, options: options
    ).snapshot()
    new.queries = old.queries
    new.migrations = old.migrations
    try SnapshotFile.write(new, to: run.snapshotPath)
    return Result(detail: (result.detail ?? "") + "; snapshot taken without writers")
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
      switch try watched(command) {
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
    let answers = try answers()
    guard answers.status == .done, run.hasStartedRules else { return answers }
    // What only running services can show: rules with `when: started`.
    let checked = try validate(.started)
    guard checked.status == .done, !answers.isSkipped else { return checked }
    return Result(
      detail: [answers.detail, checked.detail].compactMap(\.self).joined(separator: "; "))
  }

  private func answers() throws -> Result {
    guard !run.window.health.isEmpty else { return .skipped("no health checks configured") }
    for check in run.window.health {
      let isAddress = check.hasPrefix("http://") || check.hasPrefix("https://")
      let text = isAddress ? "curl -fsS -m 10 -o /dev/null \(WindowRun.quoted(check))" : check
      var isHealthy = false
      for attempt in 1...run.command.healthAttempts {
        let command = ShellCommand(text, in: run.settings.folder, timeout: .seconds(60))
        isHealthy = try watched(command) == .exit(0)
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

  private static let shownFailures = 20

  private func validate(_ phase: Phase) throws -> Result {
    var checking = try CheckingOptions.parse([])
    checking.rules = run.command.rules
    switch phase {
    case .before:
      checking.save = run.snapshotPath
      checking.writeCheck = true
      checking.maxRuntime = run.limit.map(TimeSpan.init)
    case .after: checking.against = run.snapshotPath
    case .started: break
    }
    checking.integrity = run.command.integrity && phase == .after
    checking.state = run.statePath(phase)
    // The report is written once, by the window.
    var reporting = run.command.reporting
    reporting.report = nil
    var validation = try ValidationRun(
      run.context, phase, checking, reporting, run.command.migrations)
    validation.servicesRun = false
    validation.isAlone = !run.window.stop.isEmpty
    let found = try validation.run()
    try run.keep(found, of: phase)
    let failed = found.count(.failed) + found.count(.error)
    guard found.verdict == .failed else {
      return Result(detail: "\(found.count(.passed)) checks passed")
    }
    for check in found.ranked.prefix(min(failed, Self.shownFailures)) {
      run.context.console.warn("\(check.id, .bold) \(check.subject): \(check.message)")
    }
    if failed > Self.shownFailures {
      let more = Words.grouped(Int64(failed - Self.shownFailures))
      run.context.console.warn("\(more) more findings are in the report")
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
    let steps = Words.counted(Int64(Self.entries(run.planPath).count), "steps")
    try run.context.confirm(
      "Apply these \(steps) to \(run.database)?", run.command.confirmation, run.settings)
    return Result(detail: steps)
  }

  private static func document(_ path: String) -> Document? {
    FileManager.default.contents(atPath: path).flatMap {
      try? ExtendedJSON.parseDocument(utf8: [UInt8]($0))
    }
  }

  static func strings(_ path: String, _ name: String) -> [String] {
    (document(path)?[name]?.arrayValue ?? []).compactMap(\.stringValue)
  }

  /// Names of the migrations of a plan.
  static func migrations(_ path: String) -> [String] {
    (document(path)?["migrations"]?.arrayValue ?? []).compactMap {
      $0.documentValue?["name"]?.stringValue
    }
  }

  static func entries(_ path: String) -> [PlanEntry] {
    guard let document = document(path) else { return [] }
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
}

extension WindowRun {
  /// What would be done.
  var script: WindowScript {
    WindowScript(
      lines: WindowStage.allCases.map { ($0, WindowActions.commands($0, self)) },
      failure: onFailure.rawValue)
  }
}
