import BSON
import Foundation
import MongoDB

/// Runs one group of steps: in a transaction together with its journal, or step by step.
struct GroupRunner {
  let executor: Executor
  let planned: PlannedMigration
  let release: Release

  private var environment: RunEnvironment { executor.environment }

  /// - Parameter finishing: when given, the last journal write makes the migration a success.
  func run(_ group: StepGroup, _ journal: inout [JournalStep], finishing: DateTime?) throws {
    if group.isTransaction {
      do {
        return try runTogether(group, &journal, finishing: finishing)
      } catch {
        // Nothing of it was done; one by one each step is cut into transactions that fit.
        guard Self.isTooLarge(error), planned.migration?.transaction != .required else {
          throw error
        }
      }
    }
    for position in group.steps {
      let isLast = position == group.steps.last
      try runAlone(planned.steps[position], &journal, finishing: isLast ? finishing : nil)
    }
  }

  /// More than one transaction holds: more pre-images than are kept at once, or than the cache takes.
  private static func isTooLarge(_ error: any Error) -> Bool {
    (error as? DataStepError)?.code == .tooMany
      || (error as? MongoError)?.code == StepWorker.tooLargeForCache
  }

  // MARK: - In one transaction

  private func runTogether(
    _ group: StepGroup, _ journal: inout [JournalStep], finishing: DateTime?
  ) throws {
    let steps = group.steps.map { planned.steps[$0] }
    let before = journal
    var after = journal
    for step in steps { announce(step) }
    let creating = try Set(
      steps.filter { $0.kind == .insert || $0.kind == .update }.filter(createsCollection)
        .map(\.index))
    let defines = steps.contains { !$0.kind.isData }
    if release < Release(major: 4, minor: 4), !defines { try createUndoCollection() }
    try executor.client.withTransaction(
      cancellation: environment.cancellation, readConcern: defines ? .local : .snapshot
    ) { session in
      after = before
      // The server wants create, createIndexes, insert in this order, and so they stand.
      for step in steps {
        try run(step, in: session, &after[step.index], creating: creating.contains(step.index))
      }
      var set: Document = finishing == nil ? [:] : try executor.finished(since: finishing ?? .zero)
      for step in steps {
        set.append("steps.\(step.index)", .document(after[step.index].document))
      }
      try executor.ledger.change(
        planned.name, fence: environment.fence, set: set,
        unset: finishing == nil ? [] : ["error"], session: session)
      CrashPoint.reached("transaction.before-commit")
    }
    journal = after
    for step in steps { finish(step, journal[step.index]) }
  }

  /// 4.2 creates nothing inside a transaction (263).
  private func createUndoCollection() throws {
    let name = environment.names.undo(of: planned.name)
    do {
      _ = try executor.database.run(["create": .string(name)], options: .majority)
    } catch {
      guard error.code == 48 else { throw error }
    }
  }

  private func run(
    _ step: PlannedStep, in session: Session, _ line: inout JournalStep, creating: Bool
  ) throws {
    if case .none(let reason) = step.effect {
      line.undo = UndoKind.nothing(reason)
    } else if step.kind.isData {
      let outcome = try data(step).run(step.command, in: session, client: executor.client)
      line.undo = undoOfData(step, creating: creating)
      line.result = outcome.document
    } else {
      line.undo =
        step.kind == .create
        ? UndoKind.drop(step.target ?? "")
        : UndoKind.dropIndexes(
          step.target ?? "",
          (step.command["indexes"]?.arrayValue ?? []).compactMap {
            $0.documentValue.map(IndexComparison.indexName)
          })
      line.result = try definitions(step).run(step, intent: line.undo ?? [:], session: session)
    }
    line.state = .done
  }

  // MARK: - Alone

  private func runAlone(
    _ step: PlannedStep, _ journal: inout [JournalStep], finishing: DateTime?
  ) throws {
    var line = journal[step.index]
    announce(step)
    // One that has begun was not left out; what it has done so far may look like the condition.
    let isLeftOut = try line.state == .pending && executor.isLeftOut(step)
    if line.state != .done, !isLeftOut {
      if line.state == .pending {
        line.undo =
          step.kind.isData
          ? try seriesUndo(step, journal) ?? undoOfData(step, creating: createsCollection(step))
          : try definitions(step).intent(for: step)
        line.state = .started
        try write(step, line)
        CrashPoint.reached("step.intent:\(step.index)")
      }
      if step.kind.isData {
        line.result = try data(step).run(step.command).document
      } else {
        do { line.result = try definitions(step).run(step, intent: line.undo ?? [:]) } catch let
          error as MongoError
        {
          let hasNoInverse = line.undo?["kind"] == "none"
          if step.options.unless != nil || hasNoInverse, step.isRefused(by: error) {
            // Not begun after all: its `unless` is asked again, and there is nothing to take back.
            line.undo = nil
            line.state = .pending
            try write(step, line)
          }
          throw error
        }
      }
      CrashPoint.reached("step.before-journal:\(step.index)")
    } else if line.state != .done {
      line.undo = UndoKind.nothing(UndoKind.leftOut)
    }
    line.state = .done
    try write(step, line, also: finishing.map { try executor.finished(since: $0) } ?? [:])
    journal[step.index] = line
    finish(step, line)
    CrashPoint.reached("step.done:\(step.index)")
  }

  private func write(_ step: PlannedStep, _ line: JournalStep, also: Document = [:]) throws {
    try executor.ledger.journal(
      planned.name, fence: environment.fence, step: step.index, line, also: also)
  }

  // MARK: - Parts

  private func undoOfData(_ step: PlannedStep, creating: Bool) -> Document {
    step.options.undo == .none && step.kind != .insert
      ? UndoKind.none("`undo: none` in the file") : UndoKind.data(creating: creating)
  }

  private func seriesUndo(_ step: PlannedStep, _ journal: [JournalStep]) throws -> Document? {
    guard step.kind == .insert, let target = step.target,
      try executor.database.listCollections(filter: ["name": .string(target)]).first?.options
        .has("timeseries") == true
    else { return nil }
    let isMadeHere = journal.prefix(step.index).contains {
      $0.makesCollection && $0.collection == target
    }
    return UndoKind.seriesInverse(isMadeHere: isMadeHere).undo
  }

  /// An insert or upsert makes a collection that is not there; `down` then takes that away too.
  private func createsCollection(_ step: PlannedStep) throws -> Bool {
    guard step.kind != .delete, let target = step.target else { return false }
    let isCreatedBefore = planned.steps.prefix { $0.index < step.index }.contains {
      $0.target == target && ($0.kind == .create || $0.kind == .createIndexes)
    }
    return try !isCreatedBefore
      && executor.database.listCollections(filter: ["name": .string(target)]).isEmpty
  }

  private func definitions(_ step: PlannedStep) -> DefinitionRunner {
    DefinitionRunner(
      client: executor.client, database: executor.database, names: environment.names,
      migration: planned.name, release: release, seed: planned.seed,
      watch: executor.watch(planned.name, step: step.index), archive: environment.archive)
  }

  private func data(_ step: PlannedStep) -> DataStepRunner {
    DataStepRunner(executor.dataContext(planned, step: step.index, options: step.options))
  }

  private func announce(_ step: PlannedStep) {
    environment.observer(
      .stepStarted(
        migration: planned.name, step: step.index + 1, of: planned.steps.count, command: step.name,
        target: step.target))
  }

  private func finish(_ step: PlannedStep, _ line: JournalStep) {
    var note: String?
    switch step.effect {
    case .none(let reason): note = reason
    case .alreadyDone: note = "done by the attempt before"
    case .change where line.isLeftOut: note = UndoKind.leftOut
    case .change:
      note = line.result.map { result in
        result.filter { !$0.key.hasPrefix("numIndexes") }.map {
          "\($0.key) \($0.value.stringValue ?? $0.value.integerValue.map(String.init) ?? "")"
        }
        .joined(separator: ", ")
      }
    }
    environment.observer(
      .stepFinished(migration: planned.name, step: step.index + 1, note: note))
  }
}

extension DateTime {
  static let zero = DateTime(milliseconds: 0)
}

extension PlannedStep {
  /// Whether an error of the server says that the step has changed nothing: it is one command, and was answered.
  fileprivate func isRefused(by error: MongoError) -> Bool {
    guard error.kind == .server, !error.isNetwork, !error.isNotPrimary else { return false }
    if [.create, .createIndexes, .collMod].contains(kind) { return true }
    // Of other commands it is known only where the server did not begin: it does not parse them (9, 14,
    // 40415), has no such command (59) or no such collection (26).
    let several: Set<String> = ["aggregate", "mapReduce", "mapreduce", "bulkWrite"]
    return kind == .other && !several.contains(name) && [9, 14, 26, 59, 40415].contains(error.code)
  }
}
