internal import BSON
internal import MongoDB

#if canImport(Glibc)
  internal import Glibc
#else
  internal import Darwin
#endif

/// Runs an insert, update or delete command exactly once, however often it is interrupted, and takes
/// it back. Blocking.
///
/// Crash points: `data.before-commit:N` and `data.chunk.committed:N` for the Nth chunk of the step,
/// from 1; on a standalone `data.intent-written:N`, `data.applied:N`, `data.recorded:N`,
/// `data.chunk.committed:N`; for the way back `data.undo.before-commit:N`, `data.undo.committed:N`.
struct DataStepRunner {
  private(set) var context: DataContext

  init(_ context: DataContext) { self.context = context }

  /// Runs the command, or goes on with it where an earlier run stopped; a step that is complete
  /// gives its outcome again.
  ///
  /// - Throws: ``DataStepError``; ``MongoError`` of kind `leaseLost` or `cancelled`. What was done
  ///   until then stays, and can be gone on with or taken back.
  func run(_ command: Document) throws -> DataOutcome {
    let command = try DataCommand(command, context: context)
    return try keepingInserts(command).run(command)
  }

  private func run(_ command: DataCommand) throws -> DataOutcome {
    var place: Int?
    return try wrapping(&place) { place in
      try context.pool.withClient { client in
        let (isPlain, isSeries) = try prepare(command, client)
        var command = command
        command.isSeries = isSeries
        var state = try begin(client)
        var runner = self
        while state.phase == .running {
          try context.cancellation.check()
          place = state.statement
          if try runBare(command, &state, client) {
          } else if isPlain {
            state = try plainChunk(command, state, client)
          } else {
            state = try runner.fitting { try $0.transaction(command, state, client) }
          }
          try context.reached("data.chunk.committed", state.commits)
          context.progress(DataProgress(done: state.outcome.touched, total: command.total))
          if context.pause > 0, state.phase == .running { usleep(UInt32(context.pause) * 1000) }
        }
        return state.outcome
      }
    }
  }

  /// Runs the whole command inside the open transaction of `session`, with its undo records.
  ///
  /// - Throws: ``DataStepError`` `tooMany` when it has to be run by chunks; ``MongoError`` as the
  ///   server gave it, so that the transaction can be tried again.
  func run(_ command: Document, in session: Session, client: Client) throws -> DataOutcome {
    let command = try DataCommand(command, context: context)
    let context = keepingInserts(command).context
    let worker = StepWorker(context, client, session, inOneGo: true)
    var state = StepState()
    if let earlier = try worker.loadState() {
      switch earlier.phase {
      case .complete: return earlier.outcome
      case .undoing: throw beingUndone
      case .running:
        guard earlier.outcome == DataOutcome() else {
          throw worker.fail(.tooMany, "the step was begun by chunks and has to go on so")
        }
      case .undone: try worker.removeRecords(UndoRecord.range(step: context.step))
      }
    }
    while state.statement < command.statementCount { _ = try worker.advance(command, &state) }
    state.phase = .complete
    state.commits = 1
    try worker.store(state)
    return state.outcome
  }

  /// `undo: none` is about pre-images; the `_id`s of an insert cost nothing.
  private func keepingInserts(_ command: DataCommand) -> DataStepRunner {
    guard case .insert = command.work, context.keeps == .nothing else { return self }
    var context = context
    context.keeps = .touchedFields
    return DataStepRunner(context)
  }

  // MARK: - The story of a run

  /// Makes the collections that have to be there before a transaction (4.2), and looks at the target.
  /// - Returns: whether the collection cannot be written in transactions, and whether it is a series.
  private func prepare(
    _ command: DataCommand, _ client: Client
  ) throws -> (isPlain: Bool, isSeries: Bool) {
    let database = client.database(context.database)
    let names: [Value] = [.string(command.collection), .string(context.undoCollection)]
    let found = try database.listCollections(filter: ["name": ["$in": .array(names)]])
    if !found.contains(where: { $0.name == context.undoCollection }) {
      try create(context.undoCollection, database)
    }
    guard let target = found.first(where: { $0.name == command.collection }) else {
      if command.creates { try create(command.collection, database) }
      return (!context.transactions, false)
    }
    let isCapped = target.options["capped"]?.isTruthy ?? false
    let isSeries = target.options.has("timeseries")
    return (!context.transactions || isCapped || isSeries, isSeries)
  }

  private func create(_ name: String, _ database: Database) throws {
    do {
      _ = try database.run(["create": .string(name)], options: .majority)
    } catch {
      guard error.code == 48 else { throw error }
    }
  }

  /// Where to go on; puts our fencing number into the checkpoint, which stops an earlier holder.
  private func begin(_ client: Client) throws -> StepState {
    let worker = StepWorker(context, client, nil)
    var state = try worker.loadState() ?? StepState()
    if state.phase == .undoing { throw beingUndone }
    if state.phase == .undone {
      try worker.removeRecords(UndoRecord.range(step: context.step))
      state = StepState()
    }
    try worker.store(state)
    return state
  }

  private var beingUndone: DataStepError {
    DataStepError(
      .beingUndone, "the step is being taken back; that has to be finished first",
      step: context.step, hint: "run the down again")
  }

  /// Makes the chunks smaller until the server's cache holds one: how much an update adds to each
  /// document is not known before.
  private mutating func fitting(
    _ body: (DataStepRunner) throws -> StepState
  ) throws -> StepState {
    while true {
      do { return try body(self) } catch let error as MongoError {
        guard error.code == StepWorker.tooLargeForCache, context.chunk > 1 else { throw error }
        context.chunk = max(1, context.chunk / 4)
      }
    }
  }

  /// One chunk, or several small statements, in one transaction.
  private func transaction(
    _ command: DataCommand, _ state: StepState, _ client: Client
  ) throws -> StepState {
    try client.withTransaction(cancellation: context.cancellation) { session in
      let worker = StepWorker(context, client, session)
      var next = state
      var done = 0
      while next.statement < command.statementCount, done < max(1, context.chunk / 4) {
        if done > 0, isBare(command, next) { break }
        done += try worker.advance(command, &next)
      }
      if next.statement == command.statementCount { next.phase = .complete }
      next.commits += 1
      try worker.store(next)
      try context.reached("data.before-commit", next.commits)
      return next
    }
  }

  /// A statement that cannot be walked and keeps nothing is sent as it is: at least once.
  private func runBare(
    _ command: DataCommand, _ state: inout StepState, _ client: Client
  ) throws -> Bool {
    guard isBare(command, state) else { return false }
    let worker = StepWorker(context, client, nil)
    switch command.work {
    case .update(let statements):
      let statement = statements[state.statement].document
      let reply = try worker.run(StepWorker.command("update", "updates", [statement], command))
      let upserted = Int64(reply["upserted"]?.arrayValue?.count ?? 0)
      state.outcome.matched += reply.n - upserted
      state.outcome.modified += reply.modified
      state.outcome.upserted += upserted
    case .delete(let statements):
      let statement = statements[state.statement].document
      let reply = try worker.run(StepWorker.command("delete", "deletes", [statement], command))
      state.outcome.matched += reply.n
      state.outcome.deleted += reply.n
    case .insert: return false
    }
    state.finishStatement()
    state.commits += 1
    if state.statement == command.statementCount { state.phase = .complete }
    try worker.store(state)
    return true
  }

  private func isBare(_ command: DataCommand, _ state: StepState) -> Bool {
    guard context.keeps == .nothing, let selection = command.selection(state.statement) else {
      return false
    }
    return command.isSeries || selection.isSpecial && !selection.one
  }

  /// Errors of the server with their place; a lost lease and a stop stay what they are.
  func wrapping<R>(_ place: inout Int?, _ body: (inout Int?) throws -> R) throws -> R {
    do {
      return try body(&place)
    } catch let error as MongoError {
      if error.kind == .leaseLost || error.kind == .cancelled { throw error }
      throw DataStepError.wrapping(error, step: context.step, statement: place)
    }
  }
}

extension DataCommand {
  /// The documents to do, when the command says so.
  var total: Int64? {
    if case .insert(let documents) = work { Int64(documents.count) } else { nil }
  }

  /// What a statement selects; nil for an insert, and behind the last.
  func selection(_ index: Int) -> Selection? {
    switch work {
    case .insert: nil
    case .update(let statements) where index < statements.count: statements[index].selection
    case .delete(let statements) where index < statements.count: statements[index].selection
    default: nil
    }
  }
}
