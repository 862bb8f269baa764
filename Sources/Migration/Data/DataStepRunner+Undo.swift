internal import BSON
internal import MongoDB

/// Taking a step back from its undo records.
extension DataStepRunner {
  /// Takes back what the step did, the last chunk first, or goes on with it where an earlier run
  /// stopped. Documents that somebody changed since are left alone.
  ///
  /// A step that never began, or was run without undo data, has nothing to take back.
  /// - Throws: ``DataStepError``; ``MongoError`` of kind `leaseLost` or `cancelled`.
  func undo() throws -> UndoOutcome {
    var place: Int?
    return try wrapping(&place) { place in
      try context.pool.withClient { client in
        let worker = StepWorker(context, client, nil)
        guard var state = try worker.loadState() else { return UndoOutcome() }
        guard state.phase != .undone else { return state.undo }
        if state.phase != .undoing {
          state.phase = .undoing
          state.undo = UndoOutcome()
          state.commits = 0
        }
        try worker.store(state)
        while state.phase == .undoing {
          try context.cancellation.check()
          state = try undoChunk(state, client, &place)
          try context.reached("data.undo.committed", state.commits)
          context.progress(
            DataProgress(done: state.undo.restored + state.undo.skipped, total: nil))
        }
        return state.undo
      }
    }
  }

  /// Takes the newest record back, trying again without the documents that a unique index refuses.
  private func undoChunk(
    _ state: StepState, _ client: Client, _ place: inout Int?
  ) throws -> StepState {
    var way = TakingBack()
    while true {
      do {
        let plain = StepWorker(context, client, nil)
        guard let record = try plain.newestRecord() else {
          var last = state
          last.phase = .undone
          try plain.store(last)
          return last
        }
        place = record.statement
        if try isPlain(record.collection, client) {
          return try undoPlainly(record, state, plain, &way)
        }
        return try client.withTransaction(cancellation: context.cancellation) { session in
          try undoRecord(record, state, StepWorker(context, client, session), &way)
        }
      } catch let error as MongoError {
        guard way.learn(from: error) else { throw error }
      }
    }
  }

  private func undoRecord(
    _ record: UndoRecord, _ state: StepState, _ worker: StepWorker, _ way: inout TakingBack
  ) throws -> StepState {
    let result = try worker.takeBack(record, &way)
    var next = state
    next.commits += 1
    count(result, &next)
    try worker.close(record, result)
    try worker.store(next)
    try context.reached("data.undo.before-commit", next.commits)
    return next
  }

  /// Marks the record first, so that a second run knows restored documents from changed ones.
  private func undoPlainly(
    _ record: UndoRecord, _ state: StepState, _ worker: StepWorker, _ way: inout TakingBack
  ) throws -> StepState {
    way.resumed = record.state == .undoing
    if record.state == .done {
      var marked = record
      marked.state = .undoing
      try worker.write(marked)
    }
    let result = try worker.takeBack(record, &way)
    try context.reached("data.undo.before-commit", state.commits + 1)
    var next = state
    next.commits += 1
    count(result, &next)
    try worker.close(record, result)
    try worker.store(next)
    return next
  }

  private func count(_ result: TakenBack, _ state: inout StepState) {
    state.undo.restored += Int64(result.restored)
    for (entry, reason) in result.left { state.undo.skip(entry.id, reason) }
  }

  private func isPlain(_ collection: String, _ client: Client) throws -> Bool {
    guard context.transactions else { return true }
    let found = try client.database(context.database).listCollections(
      filter: ["name": .string(collection)])
    guard let options = found.first?.options else { return false }
    return options["capped"]?.isTruthy ?? false || options.has("timeseries")
  }
}

extension StepWorker {
  /// Removes a record that is taken back; what was left alone keeps its undo data.
  fileprivate func close(_ record: UndoRecord, _ result: TakenBack) throws {
    if result.left.isEmpty {
      try removeRecords(record.piecesFilter)
      try removeRecords(["_id": record.id])
    } else {
      var rest = record
      rest.state = .undone
      rest.entries = result.left.map(\.entry)
      try write(rest)
    }
  }
}
