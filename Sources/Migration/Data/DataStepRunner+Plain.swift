internal import BSON
internal import MongoDB

/// Chunks without a transaction: on a standalone, and for capped and time-series collections.
///
/// The undo record is written first, as what is going to be done. A second run compares the documents
/// with it and does what is missing. In the moment between the two an application can change a
/// document unseen: without transactions nobody can do better.
extension DataStepRunner {
  func plainChunk(
    _ command: DataCommand, _ state: StepState, _ client: Client
  ) throws -> StepState {
    let worker = StepWorker(context, client, nil)
    var next = state
    next.commits += 1
    if state.statement < command.statementCount {
      if let record = try worker.newestRecord(), record.number >= state.records {
        next = try worker.complete(record, command, next, resumed: true)
      } else if let record = try worker.intend(command, &next) {
        try worker.write(record)
        try context.reached("data.intent-written", next.commits)
        next = try worker.complete(record, command, next, resumed: false)
      }
    }
    if next.statement == command.statementCount { next.phase = .complete }
    try worker.store(next)
    if !worker.keepsUndo { try worker.removeRecords(UndoRecord.range(step: context.step)) }
    return next
  }
}

extension StepWorker {
  /// What the next chunk is going to do; nil when the statement is finished without.
  func intend(_ command: DataCommand, _ state: inout StepState) throws -> UndoRecord? {
    switch command.work {
    case .insert(let documents): return try intendInsert(documents, command, &state)
    case .update(let statements):
      let statement = statements[state.statement]
      let page = try select(
        statement.selection, of: command, keeping: statement.touched, state: &state)
      guard page.entries.isEmpty, statement.upsert, state.last == nil else {
        return intended(page, .update, statement.touched, command, &state)
      }
      return intendUpsert(statement, command, &state)
    case .delete(let statements):
      let selection = statements[state.statement].selection
      let page = try select(selection, of: command, keeping: .whole, state: &state)
      return intended(page, .delete, .whole, command, &state)
    }
  }

  /// Does what a record says, as far as it has not been done, and completes the record.
  /// - Returns: the state that follows.
  func complete(
    _ record: UndoRecord, _ command: DataCommand, _ state: StepState, resumed: Bool
  ) throws -> StepState {
    var record = record
    guard var next = record.next, record.statement < command.statementCount else {
      throw fail(.malformedUndo, "an unfinished record in \(context.undoCollection) does not fit")
    }
    next.commits = state.commits
    // A run that died after completing the record has only missed the checkpoint.
    guard record.state == .pending else { return next }
    switch (command.work, record.kind) {
    case (.update(let statements), .update):
      try applyUpdate(statements[record.statement], command, &record, &next, resumed: resumed)
    case (.update(let statements), .insert):
      try applyUpsert(statements[record.statement], command, &record, &next, resumed: resumed)
    case (.delete(let statements), .delete):
      try applyDelete(statements[record.statement], command, &record, &next, resumed: resumed)
    case (.insert(let documents), .insert):
      try applyInsert(documents, command, &record, &next, resumed: resumed)
    default:
      throw fail(.malformedUndo, "an unfinished record in \(context.undoCollection) does not fit")
    }
    record.entries.removeAll { $0.unchanged }
    record.state = .done
    record.next = next
    try context.reached("data.applied", next.commits)
    try write(record)
    try context.reached("data.recorded", next.commits)
    return next
  }

  // MARK: - Intentions

  private func intended(
    _ page: Page, _ kind: UndoRecord.Kind, _ touched: Touched, _ command: DataCommand,
    _ state: inout StepState
  ) -> UndoRecord? {
    guard !page.entries.isEmpty else {
      state.finishStatement()
      return nil
    }
    let statement = state.statement
    finish(page, &state)
    state.outcome.matched += Int64(page.entries.count)
    return record(page.entries, kind, touched, command, statement, &state)
  }

  private func intendInsert(
    _ documents: [Document], _ command: DataCommand, _ state: inout StepState
  ) throws -> UndoRecord? {
    let chunk = nextDocuments(documents, from: state.position)
    let statement = state.statement
    let isLast = chunk.endIndex == documents.endIndex
    state.position = chunk.endIndex
    state.outcome.inserted += Int64(chunk.count)
    if isLast { state.finishStatement() }
    guard !chunk.isEmpty else { return nil }
    let entries = chunk.compactMap { document in
      RawValue(document, "_id").map {
        UndoRecord.Entry(id: $0, hash: document.hasZeroTimestamp ? [] : ContentHash.whole(document))
      }
    }
    // Claimed only when nobody has them: what is there now is not ours.
    var present: Set<RawValue> = []
    try self.documents(entries.map(\.id), of: command.collection, .fields([])) { id, _ in
      present.insert(id)
    }
    if let foreign = chunk.first(where: { RawValue($0, "_id").map(present.contains) ?? false }) {
      _ = try run(Self.command("insert", "documents", [foreign], command))
    }
    return record(entries, .insert, .whole, command, statement, &state)
  }

  /// The `_id` is chosen here, so that a second run can tell whether the document was made.
  private func intendUpsert(
    _ statement: UpdateStatement, _ command: DataCommand, _ state: inout StepState
  ) -> UndoRecord? {
    let id =
      statement.fixedID ?? RawValue(type: .objectID, bytes: ObjectID.generate(seconds: 0).bytes)
    let index = state.statement
    state.finishStatement()
    state.outcome.upserted += 1
    return record([UndoRecord.Entry(id: id)], .insert, .whole, command, index, &state)
  }

  private func record(
    _ entries: [UndoRecord.Entry], _ kind: UndoRecord.Kind, _ touched: Touched,
    _ command: DataCommand, _ statement: Int, _ state: inout StepState
  ) -> UndoRecord {
    let number = state.records
    state.records += 1
    return UndoRecord(
      step: context.step, statement: statement, number: number, kind: kind,
      collection: command.collection, touched: touched, state: .pending, entries: entries,
      next: state)
  }

  // MARK: - Deeds

  /// The entries whose document is still as it was.
  private func unchanged(_ record: UndoRecord) throws -> [RawValue] {
    var entries = record.entries
    try readBack(&entries, of: record.collection, record.touched)
    return entries.filter(\.unchanged).map(\.id)
  }

  private func applyUpdate(
    _ statement: UpdateStatement, _ command: DataCommand, _ record: inout UndoRecord,
    _ next: inout StepState, resumed: Bool
  ) throws {
    let ids = resumed ? try unchanged(record) : record.entries.map(\.id)
    if !ids.isEmpty { _ = try update(ids, statement, command) }
    try readBack(&record.entries, of: record.collection, record.touched)
    // A document that is gone now was deleted by somebody else.
    record.entries.removeAll { $0.unchanged || $0.hash.isEmpty }
    next.outcome.modified += Int64(record.entries.count)
  }

  private func applyDelete(
    _ statement: DeleteStatement, _ command: DataCommand, _ record: inout UndoRecord,
    _ next: inout StepState, resumed: Bool
  ) throws {
    let ids = resumed ? try unchanged(record) : record.entries.map(\.id)
    if !ids.isEmpty { _ = try delete(ids, statement, command) }
    var present: Set<RawValue> = []
    try documents(record.entries.map(\.id), of: record.collection, .fields([])) { id, _ in
      present.insert(id)
    }
    record.entries.removeAll { present.contains($0.id) }
    next.outcome.deleted += Int64(record.entries.count)
  }

  private func applyInsert(
    _ documents: [Document], _ command: DataCommand, _ record: inout UndoRecord,
    _ next: inout StepState, resumed: Bool
  ) throws {
    var ours: Set<RawValue> = []
    let claimed = Dictionary(
      record.entries.map { ($0.id, $0.hash) }, uniquingKeysWith: { first, _ in first })
    if resumed {
      try self.documents(record.entries.map(\.id), of: record.collection, .whole) { id, view in
        let hash = try ContentHash.whole(view)
        if let expected = claimed[id], expected.isEmpty || expected == hash { ours.insert(id) }
      }
    }
    let missing = documents.prefix(next.position).suffix(record.entries.count).filter { document in
      RawValue(document, "_id").map { claimed[$0] != nil && !ours.contains($0) } ?? false
    }
    if !missing.isEmpty { _ = try run(Self.command("insert", "documents", missing, command)) }
    try readBack(&record.entries, of: record.collection, .whole)
  }

  private func applyUpsert(
    _ statement: UpdateStatement, _ command: DataCommand, _ record: inout UndoRecord,
    _ next: inout StepState, resumed: Bool
  ) throws {
    guard let id = record.entries.first?.id else { return }
    var exists = false
    if resumed {
      try documents([id], of: record.collection, .fields([])) { _, _ in exists = true }
    }
    if !exists {
      let whole = try statement.making(id)
      let reply = try run(Self.command("update", "updates", [whole], command))
      if case .document(let made)? = reply["upserted"]?.arrayValue?.first,
        let actual = RawValue(made, "_id")
      {
        record.entries = [UndoRecord.Entry(id: actual)]
      }
    }
    try readBack(&record.entries, of: record.collection, .whole)
  }
}
