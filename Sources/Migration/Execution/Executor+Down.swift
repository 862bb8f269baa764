import BSON
import Foundation
import MongoDB

extension Executor {
  /// Takes one migration back; going on with a half-done one is the same call.
  func down(_ planned: PlannedMigration, _ plan: Plan, at started: DateTime) throws
    -> RunReport.Item
  {
    try claim(planned)
    CrashPoint.reached("down.claimed")
    var notes: [String] = []
    var skipped: Int64 = 0
    var leftAlone: [RunReport.Left] = []
    switch planned.down {
    case .journal:
      for step in planned.steps {
        try environment.cancellation.check()
        let (note, outcome) = try undo(step, planned, plan)
        if let note { notes.append(note) }
        skipped += outcome.skipped
        leftAlone += outcome.left(of: step.target ?? "")
        CrashPoint.reached("undo.done:\(step.index)")
      }
    case .steps: notes += try runWritten(planned, plan)
    case .code: try downCode(planned)
    case .unmark: break
    }
    let finished = try client.serverTime()
    let milliseconds = finished.milliseconds - started.milliseconds
    leftAlone = Array(leftAlone.prefix(RunReport.Left.maximum))
    // What was left as it is stays listed in the history; its pre-images stay until forgotten.
    if skipped > 0 {
      notes.append(
        "\(skipped) documents had changed since and were left as they are; their pre-images stay in "
          + environment.names.undo(of: planned.name))
    }
    try ledger.remove(planned.name, fence: environment.fence)
    // After the entry: without its checkpoints a half-done `down` would begin again.
    if skipped == 0 { try database.drop(environment.names.undo(of: planned.name)) }
    var details: Document = ["duration_ms": .int64(milliseconds), "skipped": .int64(skipped)]
    if skipped > 0 { details.append("left", .array(leftAlone.map { .document($0.document) })) }
    try history.append(
      .down, name: planned.name, at: finished, outcome: "success", by: environment.appliedBy,
      details: details)
    return RunReport.Item(
      name: planned.name, milliseconds: milliseconds, notes: notes, skipped: skipped,
      left: leftAlone)
  }

  /// Marks the entry as being taken back by this run; an entry of another tool becomes ours.
  private func claim(_ planned: PlannedMigration) throws {
    guard var entry = planned.entry else { return }
    entry.status = .reverting
    entry.fence = environment.fence
    entry.error = nil
    entry.seed = planned.seed
    if planned.down == .steps, entry.downSteps == nil {
      entry.downSteps = planned.steps.map {
        JournalStep(command: $0.name, collection: $0.target, hash: $0.hash)
      }
    }
    if planned.down == .journal, entry.steps.isEmpty {
      // Inferred from the file for an entry without a journal: written down before it is used.
      entry.steps = planned.steps.sorted { $0.index < $1.index }.map { step in
        var line = JournalStep(command: step.name, collection: step.target, hash: step.hash)
        line.state = .done
        line.undo = step.command
        return line
      }
    }
    try ledger.begin(entry)
  }

  private func undo(_ step: PlannedStep, _ planned: PlannedMigration, _ plan: Plan) throws
    -> (note: String?, outcome: UndoOutcome)
  {
    environment.observer(
      .stepStarted(
        migration: planned.name, step: step.index + 1, of: planned.steps.count,
        command: "undo \(step.name)", target: step.target))
    var note: String?
    var outcome = UndoOutcome()
    if step.command["kind"]?.stringValue == "data" {
      outcome = try DataStepRunner(
        dataContext(planned, step: step.index, options: step.options)
      ).undo()
      note = outcome.note(on: step.target ?? "")
      if step.command.isTruthyFlag("creates"), let target = step.target {
        let kept = try definitions(planned, plan, step).undo(
          UndoKind.drop(target), step: step.index)
        if let kept { note = "\(target) has documents and is kept as \(kept)" }
      }
    } else {
      let kept = try definitions(planned, plan, step).undo(step.command, step: step.index)
      note = kept.map { "\(step.target ?? "") has documents and is kept as \($0)" }
    }
    CrashPoint.reached("undo.before-journal:\(step.index)")
    try ledger.change(
      planned.name, fence: environment.fence, set: ["steps.\(step.index).state": "undone"])
    environment.observer(
      .stepFinished(migration: planned.name, step: step.index + 1, note: note))
    return (note, outcome)
  }

  /// Runs the steps that the author wrote; destructive ones keep what they destroy.
  private func runWritten(_ planned: PlannedMigration, _ plan: Plan) throws -> [String] {
    var notes: [String] = []
    for step in planned.steps {
      try environment.cancellation.check()
      if case .alreadyDone = step.effect { continue }
      environment.observer(
        .stepStarted(
          migration: planned.name, step: step.index + 1, of: planned.steps.count,
          command: step.name, target: step.target))
      let path = "down_steps.\(step.index)"
      let line = planned.entry?.downSteps.flatMap {
        step.index < $0.count ? $0[step.index] : nil
      }
      var result: Document?
      if line?.state != .started, try isLeftOut(step) {
        notes.append("step \(step.index + 1) is left out: its `unless` holds")
      } else if step.kind.isData {
        var options = step.options
        options.undo = .none
        try ledger.change(
          planned.name, fence: environment.fence, set: ["\(path).state": "started"])
        result = try DataStepRunner(
          dataContext(planned, step: Self.downOffset + step.index, options: options)
        ).run(step.command).document
      } else {
        // What `up` dropped at the same place of its list is kept under a name of its own.
        let runner = definitions(planned, plan, step, seed: planned.seed + "/written")
        var intent = line?.undo
        if intent == nil {
          intent = try runner.intent(for: step)
          try ledger.change(
            planned.name, fence: environment.fence,
            set: [
              "\(path).state": "started",
              "\(path).undo": .document(StoredUndo.storable(intent ?? [:])),
            ])
        }
        result = try runner.run(step, intent: intent ?? [:])
        if let kept = result?["kept"]?.stringValue {
          notes.append("\(step.target ?? "") has documents and is kept as \(kept)")
        }
      }
      try ledger.change(planned.name, fence: environment.fence, set: ["\(path).state": "done"])
      environment.observer(
        .stepFinished(migration: planned.name, step: step.index + 1, note: notes.last))
      CrashPoint.reached("down.step.done:\(step.index)")
    }
    return notes
  }

  /// Checkpoints of written `down:` steps stand apart from those of `up`.
  private static let downOffset = 10_000

  private func downCode(_ planned: PlannedMigration) throws {
    guard let code = environment.code[planned.name], let down = code.down else {
      throw MigrationError(
        .irreversible, "\(planned.name) is written in Swift and has no `down`",
        hint: "give it one, or restore a backup")
    }
    if code.usesTransaction {
      try client.withTransaction(
        cancellation: environment.cancellation, readConcern: .local
      ) { session in
        try down(MigrationDatabase(database: database, session: session))
      }
    } else {
      try down(MigrationDatabase(database: database, session: nil))
    }
  }

  // MARK: - Parts

  private func definitions(
    _ planned: PlannedMigration, _ plan: Plan, _ step: PlannedStep, seed: String? = nil
  ) -> DefinitionRunner {
    DefinitionRunner(
      client: client, database: database, names: environment.names, migration: planned.name,
      release: plan.release, seed: seed ?? planned.seed,
      watch: watch(planned.name, step: step.index), archive: environment.archive)
  }

  func watch(_ migration: String, step: Int) -> BuildWatch {
    let observer = environment.observer
    return BuildWatch(pool: environment.pool, cancellation: environment.cancellation) {
      words, done, total in
      observer(
        .stepProgress(migration: migration, step: step + 1, words: words, done: done, total: total))
    }
  }

  func dataContext(_ planned: PlannedMigration, step: Int, options: StepOptions) -> DataContext {
    let observer = environment.observer
    let name = planned.name
    return DataContext(
      pool: environment.pool, database: environment.database,
      undoCollection: environment.names.undo(of: name), step: step, fence: environment.fence,
      transactions: environment.hasTransactions, cancellation: environment.cancellation,
      chunk: options.chunk ?? DataContext.defaultChunk, keeps: DataContext.Keeps(options.undo),
      pause: options.pause ?? 0
    ) { progress in
      observer(
        .stepProgress(
          migration: name, step: step + 1, words: "documents", done: progress.done,
          total: progress.total))
    }
  }
}
