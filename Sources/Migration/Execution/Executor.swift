import BSON
import Foundation
import MongoDB

/// What an executor needs besides the plan.
struct RunEnvironment: Sendable {
  let pool: ClientPool
  let database: String
  let names: LedgerNames
  let fence: Int64
  let cancellation: Cancellation
  /// Host, user, pid and tool, as the ledger shows them.
  let appliedBy: Document
  /// Bodies of migrations written in Swift, by name.
  let code: [String: CodeMigration]
  let observer: @Sendable (ExecutionEvent) -> Void
  /// False on a standalone.
  let hasTransactions: Bool
  /// Where dropped collections go; nil keeps them in the database.
  let archive: (any CollectionArchive)?
  /// The backup that was taken before this run.
  let backup: String?
}

/// Executes a plan, journalling every step.
///
/// The order is always: intent with majority, the step, the result. Whatever dies in between is
/// found in the journal by the next run.
struct Executor {
  let environment: RunEnvironment
  let client: Client
  let database: Database
  let ledger: Ledger
  let history: History

  init(_ environment: RunEnvironment, client: Client) {
    self.environment = environment
    self.client = client
    database = client.database(environment.database)
    ledger = Ledger(database, names: environment.names)
    history = History(database, names: environment.names)
  }

  /// Executes every migration of a plan in order; stops at the first that fails.
  func run(_ plan: Plan) throws -> RunReport {
    var report = RunReport(direction: plan.direction)
    for (position, planned) in plan.migrations.enumerated() {
      try environment.cancellation.check()
      environment.observer(
        .migrationStarted(
          name: planned.name, position: position + 1, of: plan.migrations.count,
          direction: plan.direction, resumed: planned.isResumed))
      let started = try client.serverTime()
      do {
        let item =
          plan.direction == .up
          ? try up(planned, plan, at: started) : try down(planned, plan, at: started)
        report.items.append(item)
        environment.observer(
          .migrationFinished(name: planned.name, milliseconds: item.milliseconds))
      } catch {
        throw try settle(error, planned, plan, at: started)
      }
    }
    return report
  }

  // MARK: - Up

  private func up(_ planned: PlannedMigration, _ plan: Plan, at started: DateTime) throws
    -> RunReport.Item
  {
    var journal = journalToBegin(planned)
    var entry = LedgerEntry(
      name: planned.name, version: planned.migration?.id.number ?? "",
      description: planned.migration?.description, checksum: planned.migration?.checksum ?? "",
      batch: planned.entry?.seed != nil ? planned.entry?.batch ?? plan.batch : plan.batch,
      startedAt: planned.now, steps: journal, appliedBy: environment.appliedBy,
      fence: environment.fence, seed: planned.seed)
    if !planned.isResumed { try setAsideUndo(of: planned.name) }
    // A run that goes on keeps what was there before its first step.
    entry.backup =
      planned.isResumed ? planned.entry?.backup ?? environment.backup : environment.backup
    entry.oplogMark =
      planned.isResumed
      ? planned.entry?.oplogMark ?? leaveMark(planned.name) : leaveMark(planned.name)
    try ledger.begin(entry)
    CrashPoint.reached("ledger.begun")
    if let code = environment.code[planned.name] {
      try upCode(code, planned, started)
    } else {
      for (position, group) in planned.groups.enumerated() {
        try environment.cancellation.check()
        let isLast = position == planned.groups.count - 1
        let runner = GroupRunner(executor: self, planned: planned, release: plan.release)
        try runner.run(group, &journal, finishing: isLast ? started : nil)
        CrashPoint.reached("group.done:\(position)")
      }
    }
    let finished = try client.serverTime()
    let milliseconds = finished.milliseconds - started.milliseconds
    try history.append(
      .up, name: planned.name, at: finished, outcome: "success", by: environment.appliedBy,
      details: ["duration_ms": .int64(milliseconds), "batch": .int64(entry.batch)])
    return RunReport.Item(
      name: planned.name, milliseconds: milliseconds, notes: journal.compactMap(note), skipped: 0)
  }

  /// Checkpoints of an attempt that the ledger no longer knows (`mark --unapplied`, documents that a
  /// `down` left) would pass for those of this one, and its updates be taken for done.
  private func setAsideUndo(of name: String) throws {
    let undo = environment.names.undo(of: name)
    guard try !database.listCollections(filter: ["name": .string(undo)]).isEmpty else { return }
    let aside = environment.names.undo(of: "\(name).until_\(environment.fence)")
    try database.rename(undo, to: aside)
    environment.observer(.notice("pre-images of an earlier attempt are kept as \(aside)"))
  }

  /// A note in the oplog, by which a recovery finds the moment before this migration. A standalone has
  /// no oplog, and not everybody may write there: then recovery goes by time.
  private func leaveMark(_ name: String) -> Timestamp? {
    guard environment.hasTransactions else { return nil }
    let reply = try? client.run(
      [
        "appendOplogNote": 1,
        "data": [
          "martlet": [
            "migration": .string(name), "database": .string(environment.database),
            "event": "before",
          ]
        ],
      ], on: "admin")
    // Through mongos the note is on every shard, at a time of its own.
    guard let reply, !isSharded else { return nil }
    return reply["operationTime"]?.timestampValue
  }

  private var isSharded: Bool {
    if case .sharded? = try? client.hello().topology { return true }
    return false
  }

  /// Done steps are taken over from the attempt before, the rest begins anew.
  private func journalToBegin(_ planned: PlannedMigration) -> [JournalStep] {
    planned.steps.map { step in
      if planned.isResumed, let old = planned.entry?.steps, step.index < old.count,
        old[step.index].state == .done || old[step.index].state == .started
      {
        var kept = old[step.index]
        kept.hash = step.hash
        return kept
      }
      return JournalStep(command: step.name, collection: step.target, hash: step.hash)
    }
  }

  private func upCode(_ code: CodeMigration, _ planned: PlannedMigration, _ started: DateTime)
    throws
  {
    let finish: (Session?) throws -> Void = { session in
      try ledger.change(
        planned.name, fence: environment.fence, set: finished(since: started), unset: ["error"],
        session: session)
    }
    if code.usesTransaction {
      try client.withTransaction(
        cancellation: environment.cancellation, readConcern: .local
      ) { session in
        try code.up(MigrationDatabase(database: database, session: session))
        try finish(session)
      }
    } else {
      try code.up(MigrationDatabase(database: database, session: nil))
      try finish(nil)
    }
  }

  /// The fields that make an entry a success.
  func finished(since started: DateTime) throws -> Document {
    let now = try client.serverTime()
    return [
      "status": "success", "applied_at": .date(now),
      "duration_ms": .int64(now.milliseconds - started.milliseconds),
    ]
  }

  private func note(_ step: JournalStep) -> String? {
    guard let kept = step.result?["kept"]?.stringValue else { return nil }
    return "\(step.collection ?? "") is kept as \(kept)"
  }

  // MARK: - Failure

  /// Writes down what became of a migration that stopped, and says what to throw.
  private func settle(
    _ error: any Error, _ planned: PlannedMigration, _ plan: Plan, at started: DateTime
  ) throws -> any Error {
    if environment.cancellation.reason != nil { return error }
    if let lost = error as? MigrationError, lost.code == .leaseLost { return error }
    let mongo = error as? MongoError ?? (error as? DataStepError)?.server
    if let mongo, mongo.kind == .leaseLost || mongo.kind == .cancelled { return error }
    let failure = MigrationError.stepFailure(error, migration: planned.name)
    environment.observer(
      .migrationFailed(name: planned.name, step: nil, message: failure.message))
    // The server may be gone: then the entry stays as it is and the next run goes on from it.
    var record: Document = ["message": .string(failure.message)]
    if let mongo {
      record.append("code", .integer(mongo.code))
      if let name = mongo.codeName { record.append("codeName", .string(name)) }
    }
    let status = plan.direction == .up ? "failed" : "reverting"
    try? ledger.change(
      planned.name, fence: environment.fence,
      set: ["status": .string(status), "error": .document(record)])
    if let now = try? client.serverTime() {
      try? history.append(
        plan.direction == .up ? .up : .down, name: planned.name, at: now, outcome: "failed",
        by: environment.appliedBy, details: ["error": .document(record)])
    }
    return mongo?.isNetwork ?? false ? error : failure
  }
}

extension MigrationError {
  /// A step's failure, with the server's own words.
  static func stepFailure(_ error: any Error, migration: String) -> MigrationError {
    if let error = error as? MigrationError { return error }
    if let error = error as? DataStepError {
      return MigrationError(
        error.server?.kind == .privilege ? .privilege : .stepFailed,
        "\(migration): step \(error.step + 1): \(error.message)",
        hint: error.hint ?? remedy(error.server?.code))
    }
    guard let error = error as? MongoError else {
      return MigrationError(.stepFailed, "\(migration): \(error)")
    }
    let code = error.codeName.map { "\(error.code) \($0)" } ?? "\(error.code)"
    return MigrationError(
      error.kind == .privilege ? .privilege : .stepFailed,
      "\(migration): \(error.command ?? "command") on \(error.namespace ?? "?") failed: "
        + "\(error.message) (\(code))",
      hint: error.hint ?? remedy(error.code))
  }

  private static func remedy(_ code: Int?) -> String {
    code == 388
      ? "narrow the filter into several steps, or give the server more cache: what one transaction "
        + "changes has to fit into it"
      : "mend the cause or the step and run the command again; done steps are not repeated"
  }
}
