internal import BSON
internal import MongoDB

/// What is kept for the way back of a migration.
enum UndoLog {
  /// How much is kept, and since when.
  struct Usage: Sendable, Hashable {
    /// Records and checkpoints.
    let documents: Int64
    /// Uncompressed bytes.
    let bytes: Int64
    /// When the first step that keeps something began, by the server's clock.
    let since: DateTime?
  }

  /// Looks at an undo collection; nil when there is none.
  /// - Throws: ``MongoError``.
  static func usage(_ database: Database, _ collection: String) throws -> Usage? {
    guard try !database.listCollections(filter: ["name": .string(collection)]).isEmpty else {
      return nil
    }
    let stats = try database.aggregate(
      collection, pipeline: [["$collStats": ["storageStats": [:]]]]
    ).next()?["storageStats"]?.documentValue
    let oldest = try database.findOne(
      collection, filter: ["created": ["$exists": true]], options: ["sort": ["created": 1]])
    return Usage(
      documents: stats?["count"]?.integerValue ?? 0, bytes: stats?["size"]?.integerValue ?? 0,
      since: oldest?["created"]?.dateValue)
  }

  /// True when steps of the migration can be taken back, or gone on with, from this collection.
  /// - Throws: ``MongoError``.
  static func isEmpty(_ database: Database, _ collection: String) throws -> Bool {
    try database.findOne(collection) == nil
  }

  /// Forgets everything; the migration's data steps cannot be taken back afterwards.
  ///
  /// Also the way to begin a migration anew that was marked as not applied: a complete step is
  /// otherwise not run again.
  /// - Throws: ``MongoError``.
  static func drop(_ database: Database, _ collection: String) throws {
    try database.drop(collection)
  }
}
