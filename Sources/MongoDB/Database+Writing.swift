public import BSON

extension Database {
  /// Inserts documents, sent as in ``InsertBatch``. Returns `{n: <inserted>}`.
  /// - Throws: ``MongoError``, kind `writeErrors` with the count done in `reply`.
  public func insert(
    _ collection: String, _ documents: [Document], ordered: Bool = true, session: Session? = nil,
    options: CommandOptions = .majority
  ) throws(MongoError) -> Document {
    var batch = try InsertBatch(
      client: client, database: name, collection: collection, ordered: ordered, session: session,
      writeConcern: options.writeConcern)
    for document in documents {
      try document.withRawBytes { bytes throws(MongoError) in try batch.add(bytes) }
    }
    return try batch.execute()
  }

  /// Runs update statements (`q`, `u`, `multi`, …).
  /// - Throws: ``MongoError``.
  public func update(
    _ collection: String, _ updates: [Document], ordered: Bool = true, session: Session? = nil,
    options: CommandOptions = .majority
  ) throws(MongoError) -> Document {
    try write("update", "updates", updates, collection, ordered, session, options)
  }

  /// Runs delete statements (`q`, `limit`, …).
  /// - Throws: ``MongoError``.
  public func delete(
    _ collection: String, _ deletes: [Document], ordered: Bool = true, session: Session? = nil,
    options: CommandOptions = .majority
  ) throws(MongoError) -> Document {
    try write("delete", "deletes", deletes, collection, ordered, session, options)
  }

  private func write(
    _ verb: String, _ field: String, _ statements: [Document], _ collection: String,
    _ ordered: Bool, _ session: Session?, _ options: CommandOptions
  ) throws(MongoError) -> Document {
    let command: Document = [
      verb: .string(collection), "ordered": .bool(ordered),
      field: .array(statements.map { .document($0) }),
    ]
    return try run(command, session: session, options: options)
  }
}
