public import BSON

extension Database {
  /// Inserts documents with one command; no more than 16 MB and 100,000 of them.
  /// - Throws: ``MongoError``, kind `writeErrors` with the count done in `reply`.
  public func insert(
    _ collection: String, _ documents: [Document], ordered: Bool = true, session: Session? = nil,
    options: CommandOptions = .majority
  ) throws(MongoError) -> Document {
    try write("insert", "documents", documents, collection, ordered, session, options)
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
