import ArgumentParser
import BSON
import Backup
import Foundation
import MongoDB
import Validation

/// One window, from its first stage to its report.
final class WindowRun {
  let context: CommandContext
  let command: WindowCommand
  let settings: Settings
  let database: String
  let folder: String
  var journal: WindowJournal
  var report: Report
  let deadline: ContinuousClock.Instant?
  let limit: Duration?
  /// Held for as long as the window runs.
  private var lock: WindowLock?

  init(_ context: CommandContext, _ command: WindowCommand) throws {
    self.context = context
    self.command = command
    settings = try context.settings(command.migrations)
    database = try settings.requiredDatabase()
    folder = settings.folder + "/.martlet"
    limit = command.maxRuntime?.duration ?? settings.configuration.window.maxRuntime
    deadline = limit.map { ContinuousClock.now + $0 }
    let now = Clock.now()
    journal = WindowJournal(database: database, startedAt: now)
    report = Report(
      kind: .window, subject: database, startedAt: now, finishedAt: now,
      isStrict: command.reporting.strict)
  }

  private var journalPath: String { "\(folder)/window.json" }
  var snapshotPath: String { "\(folder)/window-before.json" }
  var planPath: String { "\(folder)/window-plan.json" }
  var errorPath: String { "\(folder)/window-error.txt" }
  var backupPath: String { "\(folder)/window-backup.json" }
  var window: Configuration.Window { settings.configuration.window }
  var onFailure: Configuration.FailureAction { window.onFailure ?? .down }

  var reportFolder: String {
    command.reporting.report.map {
      ConfigurationFile.resolve($0, from: context.surroundings.folder)
    } ?? "\(folder)/report"
  }

  // MARK: - the story

  func run() throws -> (Report, CommandStatus) {
    try begin()
    var status = CommandStatus.done
    if let failure = journal.recovery {
      status = answer(failure)
    } else {
      for stage in WindowStage.allCases where !journal.isSettled(stage) {
        let result = late(stage) ?? perform(stage)
        if result.status != .done {
          let detail = result.detail ?? "failed"
          context.console.warn("stopped at \(stage.title, .bold): \(detail)")
          status = answer(
            .init(
              stage: stage, status: result.status, detail: detail,
              isSignal: context.cancellation.reason != nil))
          break
        }
      }
    }
    journal.isFinished = status == .done
    keep()
    finishReport(status)
    notify(status)
    return (report, status)
  }

  /// Takes up the journal of a window that was not finished, or begins one.
  private func begin() throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    lock = try WindowLock.take("\(folder)/window.lock")
    // Better now than when the services are stopped already.
    try context.ensureCanConfirm(
      "the plan is shown in the middle of the window", command.confirmation)
    try ReportFolder(reportFolder).prepare()
    // A mistake in them is found before the backup, not after it.
    if rulesExist { _ = try RulesLoader().load(rulesPath) }
    let old = try WindowJournal.read(journalPath)
    if let old, !old.isFinished, !command.abandon {
      guard command.resume else {
        throw CommandError(
          .refused, "a window on \(old.database) was begun and stopped \(old.place)",
          hint: "martlet window --resume goes on, --abandon begins anew")
      }
      guard old.database == database else {
        throw CommandError(.usage, "the window was on \(old.database), not on \(database)")
      }
      try goOn(old)
    } else if command.resume {
      throw CommandError(
        .usage, "there is no window to resume", hint: "martlet window begins one")
    } else {
      if let old {
        stopLeftover(of: old)
        journal.expected = old.isFinished ? old.durations : old.expected
      }
      let files =
        [snapshotPath, planPath, backupPath] + Phase.allCases.map(evidencePath)
        + Phase.allCases.map(statePath)
      for path in files {
        try? FileManager.default.removeItem(atPath: path)
      }
    }
    try save()
  }

  private func goOn(_ old: WindowJournal) throws {
    journal = old
    journal.notes.append("Resumed; it had stopped \(old.place).")
    stopLeftover(of: old)
    // A failure whose answer was cut off is answered first.
    if journal.recovery?.isSettled == false {
      let failed = journal.recovery?.stage
      for index in journal.entries.indices where journal.entries[index].stage != failed {
        guard journal.entries[index].state == .running else { continue }
        journal.entries[index].state = .interrupted
      }
      return
    }
    // What was found is of use only to the stage that died while it looked, and not for ever.
    for (phase, stage) in [
      (Phase.before, WindowStage.before), (.after, .after), (.started, .health),
    ]
    where journal.state(of: stage) != .running || isOld(statePath(phase)) {
      try? FileManager.default.removeItem(atPath: statePath(phase))
    }
    journal.takeUp()
    context.console.status("resumed: it had stopped \(old.place, .bold)")
  }

  /// What a killed window had started may still run, and work against what comes now.
  private func stopLeftover(of old: WindowJournal) {
    guard let process = old.process, process.isAlive else { return }
    context.console.warn("what the killed window had started still runs: stopping it")
    process.stop(grace: .seconds(120))
    journal.notes.append("What the killed window had started was still running, and was stopped.")
    journal.process = nil
  }

  private func isOld(_ path: String) -> Bool {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    guard let date = attributes?[.modificationDate] as? Date else { return false }
    return Date.now.timeIntervalSince(date) > 3600
  }

  func statePath(_ phase: Phase) -> String { "\(folder)/window-\(phase.rawValue).state" }

  func save() throws { try journal.write(journalPath) }

  /// Where going on matters more than the journal: services are to be started again.
  func keep() {
    do { try save() } catch {
      context.console.warn("the window's journal is not written: \(ErrorReport(error).message)")
    }
  }

  private func perform(_ stage: WindowStage) -> WindowActions.Result {
    context.console.status("\("==", .dim) \(stage.title, .bold)\(left(stage), .dim)")
    let started = Clock.now()
    journal.set(.init(stage: stage, state: .running, startedAt: started, duration: 0))
    var result: WindowActions.Result
    do {
      try prepare(stage)
      try save()
      result = try WindowActions(run: self).perform(stage)
    } catch {
      let failure = ErrorReport(error, stopped: context.cancellation.reason)
      context.console.report(failure)
      result = .init(status: failure.status, detail: failure.message)
    }
    if stage == .start, result.status == .done { journal.mayBeStopped = false }
    let state: WindowJournal.State =
      result.isSkipped ? .skipped : result.status == .done ? .done : .failed
    journal.set(
      .init(
        stage: stage, state: state, startedAt: started, duration: max(0, Clock.now() - started),
        detail: result.detail))
    do { try save() } catch {
      // A stage that nobody knows of is not done.
      let failure = ErrorReport(error)
      context.console.report(failure)
      guard result.status == .done else { return result }
      return .init(status: failure.status, detail: failure.message)
    }
    return result
  }

  /// What has to be known, on disk, before a stage begins.
  private func prepare(_ stage: WindowStage) throws {
    switch stage {
    case .stop: journal.mayBeStopped = true
    case .up:
      // What was found of an earlier attempt is no longer so.
      try? FileManager.default.removeItem(atPath: statePath(.after))
      if journal.inLedger == nil {
        journal.inLedger = try WindowActions(run: self).ledger().keys.sorted()
      }
      journal.mayHaveChanged = true
    default: break
    }
  }

  // MARK: - time

  /// Why a stage would not fit; estimated from the window before, and from what is known by now.
  private func late(_ stage: WindowStage) -> WindowActions.Result? {
    // Once the data has changed, stopping half way is worse than being late.
    guard let deadline, let limit, ![.after, .start, .health].contains(stage) else { return nil }
    let left = deadline - ContinuousClock.now
    let needed = estimate(from: stage)
    guard left < .milliseconds(needed) || left <= .zero else { return nil }
    let detail =
      "not begun: what is left takes about \(Quantity.time(.milliseconds(needed))), "
      + "and \(Quantity.time(max(.zero, left))) of \(Quantity.time(limit)) remain"
    journal.set(
      .init(stage: stage, state: .failed, startedAt: Clock.now(), duration: 0, detail: detail))
    keep()
    return .init(status: .stopped, detail: detail)
  }

  /// Milliseconds until the services run again: each stage as long as last time, or as its like.
  private func estimate(from stage: WindowStage) -> Int64 {
    func took(_ stage: WindowStage) -> Int64 {
      if let entry = journal.entries.first(where: { $0.stage == stage && $0.state == .done }) {
        return entry.duration
      }
      return journal.expected[stage] ?? 0
    }
    return WindowStage.allCases.drop { $0 != stage }.reduce(0) { sum, next in
      guard next != .health, !journal.isSettled(next) else { return sum }
      if let known = journal.expected[next] { return sum + known }
      switch next {
      case .verify: return sum + took(.backup) / 2
      // What `up` changes is validated afterwards.
      case .after: return sum + took(.before)
      default: return sum
      }
    }
  }

  private func left(_ stage: WindowStage) -> String {
    let needed = estimate(from: stage)
    var words: [String] = []
    if needed > 0 { words.append("about \(Quantity.time(.milliseconds(needed))) of work left") }
    if let timeLeft { words.append("\(Quantity.time(timeLeft)) of time left") }
    return words.isEmpty ? "" : "  \(words.joined(separator: ", "))"
  }

  /// Time that is left, for commands that can stop by themselves.
  var timeLeft: Duration? { deadline.map { max(.seconds(1), $0 - ContinuousClock.now) } }

  private var rulesPath: String {
    command.rules.map { ConfigurationFile.resolve($0, from: context.surroundings.folder) }
      ?? settings.validationRules.value
  }

  /// Nobody has to have rules; a file that is named has to be there.
  private var rulesExist: Bool {
    command.rules != nil || settings.validationRules.source != .standard
      || FileManager.default.fileExists(atPath: rulesPath)
  }

  /// Whether rules wait for the services to run again.
  var hasStartedRules: Bool { (try? RulesLoader().load(rulesPath))?.has(.started) ?? false }

  // MARK: - evidence

  func evidencePath(_ phase: Phase) -> String { "\(folder)/window-\(phase.rawValue).report.json" }

  /// Keeps what a stage has found, so that a resumed window still has it.
  func keep(_ found: Report, of phase: Phase) throws {
    let options = ReportOptions(
      showsValues: command.reporting.showValues, maximumRows: ReportOptions().maximumRows)
    try DurableFile.write(
      JSONReport(found, options).text, to: evidencePath(phase), mode: 0o600)
  }

  private func evidence(_ phase: Phase) -> Report? {
    guard let data = FileManager.default.contents(atPath: evidencePath(phase)),
      let document = try? ExtendedJSON.parseDocument(utf8: [UInt8](data))
    else { return nil }
    return JSONReport.read(document)
  }

  private func finishReport(_ status: CommandStatus) {
    report.startedAt = journal.startedAt
    report.finishedAt = Clock.now()
    report.timeline = journal.timeline.map { entry in
      TimelineEntry(
        entry.stage.title, startedAt: entry.startedAt, duration: entry.duration,
        state: TimelineEntry.State(rawValue: entry.state.rawValue) ?? .running,
        detail: entry.detail)
    }
    report.timeline += journal.answers.map { answer in
      TimelineEntry(
        answer.title, startedAt: answer.startedAt, duration: answer.duration,
        state: TimelineEntry.State(rawValue: answer.state.rawValue) ?? .done)
    }
    report.timeline.sort { $0.startedAt < $1.startedAt }
    report.notes = journal.notes
    for phase in Phase.allCases {
      guard let found = evidence(phase) else { continue }
      report.checks += found.checks.map { check in
        var check = check
        check.stage = phase.stage.title
        return check
      }
      report.notes += found.notes
      if !found.environment.isEmpty { report.environment = found.environment }
      if !found.metrics.isEmpty { report.metrics = found.metrics }
    }
    report.plan = WindowActions.entries(planPath)
    if report.environment.isEmpty { report.environment = [Fact("database", database)] }
    if let backup = journal.backup { report.environment.append(Fact("backup", backup)) }
    report.environment.append(Fact("exit code", "\(status.rawValue), \(status.meaning)"))
  }

  /// Tells whoever wants to know; never fails the window.
  private func notify(_ status: CommandStatus) {
    let words = "window on \(database)"
    let text = journal.notes.joined(separator: "\n")
    let console = context.console
    Notifier(
      email: settings.notifyEmail?.value, webhook: settings.configuration.notify.webhook,
      notice: { console.warn("\($0)") }
    ).send(
      status == .done
        ? .done(words, text)
        : .failed(words, "\(status.meaning)\n\(text)", exitCode: Int(status.rawValue)))
  }

  /// One word for the shell.
  static func quoted(_ word: String) -> String {
    "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }
}
