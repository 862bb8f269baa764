internal import BSON
internal import MongoDB

/// One client at work on one step: inside the transaction of `session`, or without one.
struct StepWorker {
  let context: DataContext
  let database: Database
  let session: Session?
  /// Statements have to be done in one go: the caller's transaction holds the whole step.
  var inOneGo = false

  init(_ context: DataContext, _ client: Client, _ session: Session?, inOneGo: Bool = false) {
    self.context = context
    database = client.database(context.database)
    self.session = session
    self.inOneGo = inOneGo
  }

  /// Documents of a statement that cannot be walked.
  static let oneGoLimit = 10_000
  /// Bytes of pre-images of a chunk.
  static let chunkBytes = 8 << 20
  /// Bytes of pre-images of a statement done in one go, inside a transaction.
  static let oneGoBytes = 32 << 20

  /// The server's code for a transaction that its cache does not hold.
  static let tooLargeForCache = 388

  var keepsUndo: Bool { context.keeps != .nothing }

  func run(_ command: Document) throws(MongoError) -> Document {
    try database.run(command, session: session, options: .majority)
  }

  func fail(
    _ code: DataStepError.Code, _ message: String, statement: Int? = nil, hint: String? = nil
  ) -> DataStepError {
    DataStepError(code, message, step: context.step, statement: statement, hint: hint)
  }

  // MARK: - Checkpoint

  private var checkpointID: Value { .string("checkpoint.\(context.step)") }

  /// The stored state, nil for a step that never began.
  func loadState() throws -> StepState? {
    let found = try database.findOne(
      context.undoCollection, filter: ["_id": checkpointID], session: session)
    guard let found else { return nil }
    guard let state = found["state"]?.documentValue.flatMap({ StepState($0) }) else {
      throw fail(.malformedUndo, "the checkpoint in \(context.undoCollection) is not readable")
    }
    return state
  }

  /// Stores the state under our fencing number.
  ///
  /// The filter on the fence finds nothing when a later run has been here; the upsert then collides
  /// with that run's document.
  /// - Throws: ``MongoError`` of kind `leaseLost` then.
  func store(_ state: StepState) throws {
    let change: Document = [
      "$set": [
        "created": ["$ifNull": ["$created", "$$NOW"]], "updated": "$$NOW",
        "fence": .int64(context.fence), "state": ["$literal": .document(try state.encoded())],
      ]
    ]
    let statement: Document = [
      "q": ["_id": checkpointID, "fence": ["$lte": .int64(context.fence)]],
      "u": [.document(change)], "upsert": true,
    ]
    do {
      _ = try run([
        "update": .string(context.undoCollection), "updates": [.document(statement)],
      ])
    } catch {
      guard error.isDuplicateKey else { throw error }
      throw MongoError(.leaseLost, "the lock was lost: a later run has gone on with this step")
    }
  }

  // MARK: - Undo records

  /// Writes what a chunk did; the number of records is added to the state.
  func keep(
    _ entries: [UndoRecord.Entry], kind: UndoRecord.Kind, collection: String, touched: Touched,
    state: inout StepState
  ) throws {
    guard keepsUndo else { return }
    var rest = entries.filter { !$0.unchanged }[...]
    while !rest.isEmpty {
      var size = 0
      let part = rest.prefix { entry in
        let first = size == 0
        size += entry.size
        return first || size <= UndoRecord.maximumBytes
      }
      rest = rest.dropFirst(part.count)
      let record = UndoRecord(
        step: context.step, statement: state.statement, number: state.records, kind: kind,
        collection: collection, touched: touched, state: .done, entries: Array(part))
      state.records += 1
      try write(record)
    }
  }

  /// Inserts a record or replaces its earlier form.
  func write(_ record: UndoRecord) throws {
    let (document, pieces) = try record.encoded()
    for document in pieces + [document] {
      guard let id = document["_id"] else { continue }
      let statement: Document = [
        "q": ["_id": id], "u": .document(document), "upsert": true,
      ]
      _ = try run([
        "update": .string(context.undoCollection), "updates": [.document(statement)],
      ])
    }
  }

  /// Removes records, pieces too.
  func removeRecords(_ filter: Document) throws {
    let statement: Document = ["q": .document(filter), "limit": 0]
    _ = try run([
      "delete": .string(context.undoCollection), "deletes": [.document(statement)],
    ])
  }

  /// The newest record of the step that has not been taken back.
  func newestRecord() throws -> UndoRecord? {
    let found = try database.findOne(
      context.undoCollection, filter: UndoRecord.open(step: context.step),
      options: ["sort": ["_id": -1]], session: session)
    guard let found else { return nil }
    let record = try UndoRecord(found) { number in
      guard var id = found["_id"]?.documentValue else { return nil }
      id.append("b", .integer(number))
      let piece = try database.findOne(
        context.undoCollection, filter: ["_id": .document(id)], session: session)
      return piece?["data"]?.binaryValue?.stored
    }
    guard let record else {
      throw fail(.malformedUndo, "a record in \(context.undoCollection) is not readable")
    }
    return record
  }
}
