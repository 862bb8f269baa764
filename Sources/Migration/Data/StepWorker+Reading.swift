internal import BSON
internal import MongoDB

/// Documents found for a chunk.
struct Page {
  var entries: [UndoRecord.Entry] = []
  /// There are more than were asked for.
  var truncated = false

  var ids: [RawValue] { entries.map(\.id) }
}

extension StepWorker {
  /// How much of a selection is read.
  struct Limits {
    let documents: Int
    let bytes: Int
  }

  /// The next documents of a selection; `truncated` when the statement is not finished with them.
  ///
  /// A selection that fits a chunk is read with the plan that the server chooses. A larger one is
  /// walked by `_id`, which is what a second run can go on with.
  func select(
    _ selection: Selection, of command: DataCommand, keeping touched: Touched?,
    state: inout StepState
  ) throws -> Page {
    var options = selection.findOptions
    options.append(contentsOf: command.variables)
    let collection = command.collection
    if selection.one {
      var page = try read(
        collection, selection.filter, options, touched, Limits(documents: 1, bytes: .max))
      page.truncated = false
      return page
    }
    if selection.isSpecial || inOneGo {
      let bytes = session == nil ? Self.chunkBytes : Self.oneGoBytes
      let page = try read(
        collection, selection.filter, options, touched,
        Limits(documents: Self.oneGoLimit, bytes: bytes))
      guard page.truncated else { return page }
      throw fail(
        .tooMany, "more documents than can be changed in one go, and still be taken back",
        statement: state.statement,
        hint: "at most \(Self.oneGoLimit) with a collation, a hint, $text or $near; "
          + "narrow the filter, or give up the way back: martlet: { undo: none }")
    }
    let limits = Limits(documents: context.chunk, bytes: Self.chunkBytes)
    if !state.walking {
      let page = try read(collection, selection.filter, command.variables, touched, limits)
      guard page.truncated else { return page }
      state.walking = true
    }
    return try walk(selection, command, touched, limits, after: state.last)
  }

  /// `min` is inclusive and never sees an `_id` of MaxKey; see specs/experiments.md section 2.
  private func walk(
    _ selection: Selection, _ command: DataCommand, _ touched: Touched?, _ limits: Limits,
    after last: RawValue?
  ) throws -> Page {
    var options: Document = ["hint": ["_id": 1], "sort": ["_id": 1]]
    if let last {
      var writer = RawWriter()
      writer.append("_id", last)
      options.append("min", .document(try writer.finish()))
    }
    options.append(contentsOf: command.variables)
    var page = try read(
      command.collection, selection.filter, options, touched, limits, skipping: last)
    let end = page.entries.last?.id ?? last
    guard last != nil, !page.truncated, end?.isMaxKey == false else { return page }
    let rest = try read(
      command.collection, ["$and": [["_id": .maxKey], .document(selection.filter)]],
      command.variables, touched, Limits(documents: 1, bytes: .max))
    if page.entries.isEmpty {
      page.entries = rest.entries
    } else if !rest.entries.isEmpty {
      page.truncated = true
    }
    return page
  }

  /// Finds documents and takes their pre-images; without `touched` only the `_id`s.
  func read(
    _ collection: String, _ filter: Document, _ options: Document, _ touched: Touched?,
    _ limits: Limits, skipping last: RawValue? = nil
  ) throws -> Page {
    var options = options
    // One more tells whether that was all.
    let wanted = limits.documents + (last == nil ? 1 : 2)
    options.append("limit", .integer(wanted))
    options.append("batchSize", .integer(wanted))
    options.append(
      contentsOf: touched.map(\.projection) ?? ["projection": ["_id": 1]])
    let cursor = try database.find(
      collection, filter: filter, options: options, session: session)
    var page = Page()
    var size = 0
    var isFirst = true
    try forEach(cursor) { view in
      guard let element = try view.first("_id") else {
        throw fail(.mismatch, "a document of \(collection) has no _id")
      }
      let id = RawValue(element)
      defer { isFirst = false }
      if isFirst, id == last { return true }
      var entry = UndoRecord.Entry(id: id)
      if let touched { entry.before = try touched.preimage(of: view) }
      size += entry.size
      guard page.entries.count < limits.documents, size <= limits.bytes || page.entries.isEmpty
      else {
        page.truncated = true
        return false
      }
      page.entries.append(entry)
      return true
    }
    return page
  }

  /// Calls `body` with each document until it returns false.
  func forEach(_ cursor: Cursor, _ body: (DocumentView) throws -> Bool) throws {
    var goesOn = true
    func visit(_ bytes: UnsafeRawBufferPointer) throws {
      if goesOn { goesOn = try body(try DocumentView(bytes)) }
    }
    while goesOn {
      let more: Void? = try cursor.nextBatch { batch in try batch.forEach(visit) }
      if more == nil { return }
    }
  }

  /// Reads documents by `_id`; those that are missing are not passed.
  func documents(
    _ ids: [RawValue], of collection: String, _ touched: Touched,
    _ body: (RawValue, DocumentView) throws -> Void
  ) throws {
    guard !ids.isEmpty else { return }
    var options = touched.projection
    options.append("batchSize", .integer(ids.count + 1))
    let cursor = try database.find(
      collection, filter: try Self.filter(ids), options: options, session: session)
    try forEach(cursor) { view in
      if let id = try view.first("_id") { try body(RawValue(id), view) }
      return true
    }
  }

  /// Fills in what the documents are now: their hash, and whether that is what they were.
  func readBack(
    _ entries: inout [UndoRecord.Entry], of collection: String, _ touched: Touched
  ) throws {
    var places: [RawValue: Int] = [:]
    for (index, entry) in entries.enumerated() { places[entry.id] = index }
    var result = entries
    try documents(entries.map(\.id), of: collection, touched) { id, view in
      guard let index = places[id] else { return }
      result[index].hash = try touched.hash(of: view)
      result[index].unchanged = try touched.preimage(of: view) == result[index].before
    }
    entries = result
  }

  /// Selects documents by `_id`, and by a filter beside it if there is one.
  static func filter(_ ids: [RawValue], and filter: Document? = nil) throws -> Document {
    var writer = RawWriter()
    writer.document("_id") { writer in
      if ids.count == 1, let id = ids.first {
        writer.append("$eq", id)
      } else {
        writer.array("$in", ids)
      }
    }
    let selected = try writer.finish()
    guard let filter, !filter.isEmpty else { return selected }
    return ["$and": [.document(selected), .document(filter)]]
  }
}
