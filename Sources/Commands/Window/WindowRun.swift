import ArgumentParser
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
  private let limit: Duration?

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
    for stage in WindowStage.allCases where !journal.isSettled(stage) {
      if let late = late(stage) {
        status = try end(.stopped, at: stage, late)
        break
      }
      let result = try perform(stage)
      if result.status != .done {
        status = try end(result.status, at: stage, result.detail ?? "failed")
        break
      }
    }
    journal.isFinished = status == .done
    try journal.write(journalPath)
    finishReport(status)
    notify(status)
    return (report, status)
  }

  /// Takes up the journal of a window that was not finished, or begins one.
  private func begin() throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try ReportFolder(reportFolder).prepare()
    let old = try WindowJournal.read(journalPath)
    if let old, !old.isFinished, !command.abandon {
      guard command.resume else {
        let place = old.standing.map { " at \($0.title)" } ?? ""
        throw CommandError(
          .refused, "a window on \(old.database) was begun and stopped\(place)",
          hint: "martlet window --resume goes on, --abandon begins anew")
      }
      guard old.database == database else {
        throw CommandError(.usage, "the window was on \(old.database), not on \(database)")
      }
      journal = old
      report.notes.append("Resumed; it stood at \(old.standing?.title ?? "the beginning").")
      // Hooks that stopped the services may have been undone since, for example by a failure.
      if old.standing?.isInside == true { journal.entries.removeAll { $0.stage == .stop } }
    } else if command.resume {
      throw CommandError(
        .usage, "there is no window to resume", hint: "martlet window begins one")
    }
    try journal.write(journalPath)
  }

  private func perform(_ stage: WindowStage) throws -> WindowActions.Result {
    context.console.status("\("==", .dim) \(stage.title, .bold)")
    let started = Clock.now()
    journal.set(.init(stage: stage, state: .running, startedAt: started, duration: 0))
    try journal.write(journalPath)
    var result: WindowActions.Result
    do {
      result = try WindowActions(run: self).perform(stage)
    } catch {
      let failure = ErrorReport(error, stopped: context.cancellation.reason)
      context.console.report(failure)
      result = .init(status: failure.status, detail: failure.message)
    }
    let state: WindowJournal.State =
      result.isSkipped ? .skipped : result.status == .done ? .done : .failed
    journal.set(
      .init(
        stage: stage, state: state, startedAt: started, duration: max(0, Clock.now() - started),
        detail: result.detail))
    try journal.write(journalPath)
    return result
  }

  /// Why a stage would not fit; estimated from what is known by then.
  private func late(_ stage: WindowStage) -> String? {
    guard let deadline, let limit, stage != .start, stage != .health else { return nil }
    func took(_ stage: WindowStage) -> Int64 {
      journal.entries.first { $0.stage == stage }?.duration ?? 0
    }
    let estimate: Int64 =
      switch stage {
      case .verify: took(.backup)
      // What `up` changes is validated afterwards, and may have to be taken back.
      case .stop, .plan, .up: took(.before)
      case .after: 0
      default: 0
      }
    let left = deadline - ContinuousClock.now
    guard left < .milliseconds(estimate) || left <= .zero else { return nil }
    // Once the data has changed, stopping half way is worse than being late.
    if stage == .after { return nil }
    return "it would not end within \(Quantity.time(limit))"
  }

  /// Time that is left, for commands that can stop by themselves.
  var timeLeft: Duration? { deadline.map { max(.seconds(1), $0 - ContinuousClock.now) } }

  // MARK: - failure

  private func end(
    _ status: CommandStatus, at stage: WindowStage, _ detail: String
  ) throws -> CommandStatus {
    report.notes.append("Stopped at \(stage.title): \(detail).")
    // Hooks and inverses have to run even after Ctrl-C.
    let actions = WindowActions(run: self, cancellation: Cancellation())
    guard stage.isInside else {
      report.notes.append(
        stage == .health
          ? "The migrations are applied and the services were started; the health checks failed."
          : "Nothing was changed, and no service was stopped.")
      return status
    }
    var starts = true
    if stage.mayHaveChanged, status != .stopped {
      switch onFailure {
      case .stop:
        starts = false
        report.notes.append("On failure: stop. Nothing was taken back; services stay stopped.")
      case .down, .restore:
        let isBack = try actions.takeBack(onFailure)
        starts = isBack
        report.notes.append(
          isBack
            ? "On failure: \(onFailure.rawValue). The database is back as it was."
            : "On failure: \(onFailure.rawValue) FAILED. Services stay stopped; look at the log.")
      }
    } else if stage == .up {
      // Stopped at a safe point: the migrations are half way, and only --resume makes them whole.
      starts = false
      report.notes.append("Services stay stopped: martlet window --resume goes on.")
    }
    if starts, stage != .start {
      let failed = try actions.hooks(window.start).status != .done
      report.notes.append(
        failed ? "A start hook failed: look at the services." : "Services were started again.")
    }
    return status
  }

  private func finishReport(_ status: CommandStatus) {
    report.startedAt = journal.startedAt
    report.finishedAt = Clock.now()
    report.timeline = journal.entries.map { entry in
      let state: TimelineEntry.State =
        switch entry.state {
        case .done: .done
        case .skipped: .skipped
        case .failed: .failed
        case .running: .running
        }
      return TimelineEntry(
        entry.stage.title, startedAt: entry.startedAt, duration: entry.duration, state: state,
        detail: entry.detail)
    }
    if report.environment.isEmpty { report.environment = [Fact("database", database)] }
    report.environment.append(Fact("exit code", "\(status.rawValue), \(status.meaning)"))
  }

  /// Tells whoever wants to know; never fails the window.
  private func notify(_ status: CommandStatus) {
    let notify = settings.configuration.notify
    let words = "martlet window on \(database): \(status == .done ? "done" : status.meaning)"
    var commands: [String] = []
    if let address = settings.notifyEmail?.value ?? notify.email {
      commands.append(
        "printf '%s\\n' \(Self.quoted(words)) | mail -s \(Self.quoted(words)) \(Self.quoted(address))"
      )
    }
    if let hook = notify.webhook {
      let body: JSONValue = [
        "text": .string(words), "database": .string(database),
        "exitCode": .integer(Int64(status.rawValue)),
      ]
      commands.append(
        "curl -fsS -m 20 -H 'Content-Type: application/json' "
          + "-d \(Self.quoted(body.text(pretty: false))) \(Self.quoted(hook))")
    }
    for text in commands {
      let outcome = try? ShellCommand(text, in: settings.folder, timeout: .seconds(30)).run(
        Cancellation())
      if outcome != .exit(0) { context.console.warn("a notification could not be sent") }
    }
  }

  /// One word for the shell.
  static func quoted(_ word: String) -> String {
    "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }
}
