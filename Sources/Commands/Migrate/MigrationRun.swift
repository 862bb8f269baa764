import Foundation
import Migration
import MongoDB
import Synchronization

/// Runs `up` and `down` for a person who watches: shows the plan, asks, shows progress, reports.
struct MigrationRun {
  let context: CommandContext
  let project: MigrationProject
  let confirmation: ConfirmationOptions
  let display: RunDisplay

  init(
    _ context: CommandContext, _ project: MigrationProject, _ confirmation: ConfirmationOptions
  ) {
    self.context = context
    self.project = project
    self.confirmation = confirmation
    display = RunDisplay(context.console)
  }

  /// The engine with the options of the command line.
  static func configured(_ migrator: Migrator, _ lock: LockOptions) -> Migrator {
    var migrator = migrator
    if let wait = lock.wait { migrator.lockWait = wait.duration }
    return migrator
  }

  /// Asks for the plan to be executed: what destroys something needs a yes, production a look.
  func confirm(_ plan: Plan, findings: [Finding] = []) throws -> Bool {
    display.expect(plan)
    let page = PlanPage(plan: plan, findings: findings)
    let needsYes = plan.direction == .down || plan.destroys
    let asks = needsYes || (project.isProduction && context.person.isPresent)
    guard asks, !confirmation.yes else {
      context.console.status("\(page.title, .bold)")
      return true
    }
    // Where nobody can be asked there is nobody to read it either.
    if context.person.isPresent { context.console.tell(page) }
    try context.confirm(question(plan), confirmation, project.settings)
    return true
  }

  private func question(_ plan: Plan) -> String {
    let count = plan.migrations.count
    let noun = count == 1 ? "this migration" : "these \(count) migrations"
    switch plan.direction {
    case .down: return "take back \(noun)?"
    case .up:
      return plan.destroys
        ? "apply \(noun), which remove or overwrite something?" : "apply \(noun)?"
    }
  }

  /// Executes and reports failure with what was finished before it.
  func perform(_ lock: LockOptions, _ body: (Migrator, RunDisplay) throws -> CommandStatus) throws
    -> CommandStatus
  {
    let timer = lock.maxRuntime.map { RunTimer($0.duration, context.cancellation) }
    defer {
      display.endBar()
      timer?.stop()
    }
    do {
      return try body(Self.configured(project.migrator, lock), display)
    } catch {
      display.endBar()
      var report = ErrorReport(error, stopped: context.cancellation.reason)
      if let reason = context.cancellation.reason, !(error is CommandError) {
        report = Self.stopped(reason, error)
      }
      report.details.append(
        .init(
          name: "finished",
          value: .array(
            display.finished.map {
              ["name": .string($0.name), "durationMilliseconds": .integer($0.milliseconds)]
            })))
      context.console.report(report)
      WindowError.tell(report, context.surroundings)
      return report.status
    }
  }

  /// What the person is told who stopped the run, or whose lock was lost.
  private static func stopped(_ reason: Cancellation.Reason, _ error: any Error) -> ErrorReport {
    let status = CommandStatus(stopped: reason)
    switch reason {
    case .leaseLost:
      return ErrorReport(
        code: "leaseLost", message: "the lock was lost, another run may have it: stopped",
        hint:
          "see martlet migrate status; running the command again goes on where this one stopped",
        status: status)
    case .interrupted, .stopped:
      return ErrorReport(
        code: "cancelled", message: "stopped at a safe point; what is done is recorded",
        hint: "run the same command again to go on, or martlet migrate down to go back",
        status: status)
    }
  }
}

/// Ends a run after a time, as if it had been asked to stop.
private final class RunTimer: Sendable {
  private let condition = NSCondition()
  private let isOver = Mutex(false)

  init(_ time: Duration, _ cancellation: Cancellation) {
    let end = Date(timeIntervalSinceNow: time.seconds)
    Thread.detachNewThread { [self] in
      condition.lock()
      defer { condition.unlock() }
      while !isOver.withLock({ $0 }) {
        if !condition.wait(until: end) { return cancellation.cancel(.stopped) }
      }
    }
  }

  func stop() {
    condition.lock()
    isOver.withLock { $0 = true }
    condition.broadcast()
    condition.unlock()
  }
}

/// What a run did.
struct RunPage: CommandOutput {
  let database: String
  let report: RunReport

  var json: JSONValue {
    [
      "direction": .string(report.direction.rawValue),
      "database": .string(database),
      "migrations": .array(
        report.items.map {
          [
            "name": .string($0.name), "durationMilliseconds": .integer($0.milliseconds),
            "notes": .strings($0.notes), "skipped": .integer($0.skipped),
            "left": .array(
              $0.left.map { left in
                [
                  "collection": .string(left.collection), "id": JSONValue(left.id),
                  "reason": .string(left.reason),
                ]
              }),
          ]
        }),
    ]
  }

  func write(to page: inout Page) {
    let word = report.direction == .up ? "applied" : "taken back"
    for item in report.items {
      for note in item.notes { page.line("\(item.name): \(note, .warning)") }
    }
    guard !report.items.isEmpty else {
      page.line(report.direction == .up ? "nothing is pending" : "nothing to take back")
      return
    }
    let count = report.items.count
    let total = report.items.reduce(0) { $0 + $1.milliseconds }
    page.line(
      "\(count) migration\(count == 1 ? "" : "s") \(word, .good) in "
        + StyledText(Quantity.time(.milliseconds(total))))
  }
}
