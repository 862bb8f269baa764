internal import BSON
internal import MongoDB

extension StepWorker {
  /// Does the next chunk of a command in the open transaction and writes its undo records.
  /// - Returns: the number of documents it touched.
  func advance(_ command: DataCommand, _ state: inout StepState) throws -> Int {
    switch command.work {
    case .insert(let documents): try insertChunk(documents, command, &state)
    case .update(let statements): try updateChunk(statements[state.statement], command, &state)
    case .delete(let statements): try deleteChunk(statements[state.statement], command, &state)
    }
  }

  private func updateChunk(
    _ statement: UpdateStatement, _ command: DataCommand, _ state: inout StepState
  ) throws -> Int {
    var page = try select(
      statement.selection, of: command, keeping: keepsUndo ? statement.touched : nil, state: &state)
    if page.entries.isEmpty {
      let isNothing = statement.upsert && state.last == nil
      if isNothing { try upsert(statement, command, &state) }
      state.finishStatement()
      return isNothing ? 1 : 0
    }
    let reply = try update(page.ids, statement, command)
    try require(reply.n, page.entries.count, state)
    if keepsUndo {
      try readBack(&page.entries, of: command.collection, statement.touched)
      try keep(
        page.entries, kind: .update, collection: command.collection, touched: statement.touched,
        state: &state)
    }
    state.outcome.matched += reply.n
    state.outcome.modified += reply.modified
    finish(page, &state)
    return page.entries.count
  }

  /// Nothing matched: the server makes the document, and we remember which.
  private func upsert(
    _ statement: UpdateStatement, _ command: DataCommand, _ state: inout StepState
  ) throws {
    let whole = statement.narrowed(to: statement.selection.filter, upsert: true)
    let reply = try run(Self.command("update", "updates", [whole], command))
    guard case .document(let made)? = reply["upserted"]?.arrayValue?.first,
      let id = RawValue(made, "_id")
    else {
      throw fail(
        .mismatch, "the server says that a document matches an upsert, after showing none",
        statement: state.statement)
    }
    state.outcome.upserted += 1
    try keepInserted([id], command, &state)
  }

  private func deleteChunk(
    _ statement: DeleteStatement, _ command: DataCommand, _ state: inout StepState
  ) throws -> Int {
    let page = try select(
      statement.selection, of: command, keeping: keepsUndo ? .whole : nil, state: &state)
    guard !page.entries.isEmpty else {
      state.finishStatement()
      return 0
    }
    let deleted = try delete(page.ids, statement, command)
    try require(deleted, page.entries.count, state)
    try keep(
      page.entries, kind: .delete, collection: command.collection, touched: .whole, state: &state)
    state.outcome.matched += deleted
    state.outcome.deleted += deleted
    finish(page, &state)
    return page.entries.count
  }

  private func insertChunk(
    _ documents: [Document], _ command: DataCommand, _ state: inout StepState
  ) throws -> Int {
    let chunk = nextDocuments(documents, from: state.position)
    if !chunk.isEmpty {
      let reply = try run(Self.command("insert", "documents", Array(chunk), command))
      try require(reply.n, chunk.count, state)
      try keepInserted(chunk.compactMap { RawValue($0, "_id") }, command, &state)
    }
    state.position = chunk.endIndex
    state.outcome.inserted += Int64(chunk.count)
    if chunk.endIndex == documents.endIndex { state.finishStatement() }
    return chunk.count
  }

  /// Read back, because the server may have filled in a timestamp.
  private func keepInserted(
    _ ids: [RawValue], _ command: DataCommand, _ state: inout StepState
  ) throws {
    guard keepsUndo else { return }
    var entries = ids.map { UndoRecord.Entry(id: $0) }
    try readBack(&entries, of: command.collection, .whole)
    try keep(
      entries, kind: .insert, collection: command.collection, touched: .whole, state: &state)
  }

  // MARK: - Commands, also for chunks without a transaction

  /// Updates those documents.
  func update(
    _ ids: [RawValue], _ statement: UpdateStatement, _ command: DataCommand
  ) throws -> Document {
    let filter = try narrowed(ids, statement.selection, needsFilter: statement.isPositional)
    return try run(Self.command("update", "updates", [statement.narrowed(to: filter)], command))
  }

  /// Deletes those documents and says how many were there.
  func delete(
    _ ids: [RawValue], _ statement: DeleteStatement, _ command: DataCommand
  ) throws -> Int64 {
    let filter = try narrowed(ids, statement.selection, needsFilter: false)
    return try run(Self.command("delete", "deletes", [statement.narrowed(to: filter)], command)).n
  }

  /// Inside a transaction the documents still are what the filter found, and a filter that answers
  /// differently each time ($rand) must not be asked again. A collation applies to the `_id`s too.
  private func narrowed(
    _ ids: [RawValue], _ selection: Selection, needsFilter: Bool
  ) throws -> Document {
    let needsFilter = needsFilter || selection.collation != nil || session == nil
    return try Self.filter(ids, and: needsFilter ? selection.filter : nil)
  }

  static func command(
    _ verb: String, _ list: String, _ parts: [Document], _ command: DataCommand
  ) -> Document {
    var result: Document = [
      verb: .string(command.collection), list: .array(parts.map { .document($0) }),
    ]
    result.append(contentsOf: command.shared)
    return result
  }

  // MARK: - Parts

  func nextDocuments(_ documents: [Document], from position: Int) -> ArraySlice<Document> {
    var size = 0
    return documents[position...].prefix(context.chunk).prefix { document in
      let first = size == 0
      size += document.bytes.count
      return first || size <= Self.chunkBytes
    }
  }

  /// The state after a page: further along its statement, or at the next one.
  func finish(_ page: Page, _ state: inout StepState) {
    if page.truncated {
      state.last = page.entries.last?.id ?? state.last
    } else {
      state.finishStatement()
    }
  }

  private func require(_ done: Int64, _ expected: Int, _ state: StepState) throws {
    guard done == Int64(expected) else {
      throw fail(
        .mismatch, "the server changed \(done) documents of \(expected) that it had shown",
        statement: state.statement)
    }
  }
}

extension Document {
  /// The `n` of a write command's reply.
  var n: Int64 { self["n"]?.integerValue ?? 0 }
  /// The `nModified` of an update's reply.
  var modified: Int64 { self["nModified"]?.integerValue ?? 0 }
}
