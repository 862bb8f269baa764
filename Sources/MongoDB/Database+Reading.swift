public import BSON

extension Database {
  /// Finds documents; `options` are fields of the find command (sort, limit, hint, min, batchSize, …).
  /// - Throws: ``MongoError``.
  public func find(
    _ collection: String, filter: Document = [:], options: Document = [:],
    session: Session? = nil, command: CommandOptions = .init()
  ) throws(MongoError) -> Cursor {
    var find: Document = ["find": .string(collection), "filter": .document(filter)]
    find.append(contentsOf: options)
    return try client.cursor(find, on: name, session: session, options: command)
  }

  /// The first document found, or nil.
  /// - Throws: ``MongoError``.
  public func findOne(
    _ collection: String, filter: Document = [:], options: Document = [:],
    session: Session? = nil, command: CommandOptions = .init()
  ) throws(MongoError) -> Document? {
    var options = options
    options["limit"] = 1
    options["singleBatch"] = true
    return try find(
      collection, filter: filter, options: options, session: session, command: command
    ).next()
  }

  /// Aggregates a collection, or the database when `collection` is nil; `options` are fields of the
  /// aggregate command.
  /// - Throws: ``MongoError``.
  public func aggregate(
    _ collection: String?, pipeline: [Document], options: Document = [:],
    session: Session? = nil, command: CommandOptions = .init()
  ) throws(MongoError) -> Cursor {
    var aggregate: Document = [
      "aggregate": collection.map { .string($0) } ?? 1,
      "pipeline": .array(pipeline.map { .document($0) }),
    ]
    aggregate.append(contentsOf: options)
    if !options.has("cursor") { aggregate.append("cursor", [:]) }
    return try client.cursor(aggregate, on: name, session: session, options: command)
  }

  /// Counts the documents that match, exactly; reads them all unless an index helps.
  /// - Throws: ``MongoError``.
  public func count(
    _ collection: String, filter: Document = [:], options: Document = [:],
    session: Session? = nil, command: CommandOptions = .init()
  ) throws(MongoError) -> Int64 {
    let pipeline: [Document] = [
      ["$match": .document(filter)], ["$group": ["_id": nil, "n": ["$sum": 1]]],
    ]
    let result = try aggregate(
      collection, pipeline: pipeline, options: options, session: session, command: command)
    return try result.next()?["n"]?.integerValue ?? 0
  }

  /// The collection's size from its metadata: at once, and wrong after a crash.
  /// - Throws: ``MongoError``.
  public func estimatedCount(_ collection: String) throws(MongoError) -> Int64 {
    try run(["count": .string(collection)])["n"]?.integerValue ?? 0
  }
}
