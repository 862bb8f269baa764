public import BSON
import MongoDB

/// A migration written in Swift, side by side with those in files.
public struct CodeMigration: Sendable {
  /// The stem: digits, an underscore and a name, as a file would be called.
  public let id: MigrationID
  public let description: String?
  /// Whether its body and the ledger entry share one transaction. Not on a standalone server.
  public let usesTransaction: Bool
  let up: @Sendable (MigrationDatabase) throws -> Void
  let down: (@Sendable (MigrationDatabase) throws -> Void)?

  /// - Parameters:
  ///   - id: given explicitly, `006_loyalty_points`; it must never change once applied.
  ///   - transaction: false for bodies that send commands which no transaction takes.
  /// - Throws: ``MigrationError`` `.fileName` when `id` is not digits, an underscore and a name.
  public init(
    id: String, description: String? = nil, transaction: Bool = true,
    up: @escaping @Sendable (MigrationDatabase) throws -> Void,
    down: (@Sendable (MigrationDatabase) throws -> Void)? = nil
  ) throws(MigrationError) {
    guard let parsed = MigrationID(id) else {
      throw MigrationError(
        .fileName, "\(id) is not the name of a migration",
        hint: "write a number, an underscore and a name: 006_loyalty_points")
    }
    self.id = parsed
    self.description = description
    usesTransaction = transaction
    self.up = up
    self.down = down
  }

  /// The same as files are, for planning.
  var migration: Migration {
    Migration(
      id: id, description: description, up: [], down: down == nil ? .irreversible : .derived,
      source: Source(path: id.stem, format: .code))
  }
}

/// A database as the body of a migration sees it: every command goes through its session.
public struct MigrationDatabase {
  let database: Database
  let session: Session?

  /// The database's name.
  public var name: String { database.name }

  /// Runs any command; blocks until the server has answered.
  /// - Throws: `MongoError`, also for `writeErrors` in a reply.
  public func run(_ command: Document) throws -> Document {
    try database.run(
      command, session: session, options: session == nil ? .majority : CommandOptions())
  }

  /// Inserts documents, in batches when there are many.
  public func insert(_ collection: String, _ documents: [Document]) throws {
    var rest = documents[...]
    while !rest.isEmpty {
      _ = try database.insert(collection, Array(rest.prefix(1000)), session: session)
      rest = rest.dropFirst(1000)
    }
  }

  /// Runs update statements `{q, u, multi, …}`.
  public func update(_ collection: String, _ updates: [Document]) throws -> Document {
    try database.update(collection, updates, session: session)
  }

  /// Runs delete statements `{q, limit}`.
  public func delete(_ collection: String, _ deletes: [Document]) throws -> Document {
    try database.delete(collection, deletes, session: session)
  }

  /// Finds documents and calls `body` with each.
  public func find(
    _ collection: String, filter: Document = [:], options: Document = [:],
    _ body: (Document) throws -> Void
  ) throws {
    try database.find(collection, filter: filter, options: options, session: session)
      .forEach(body)
  }
}
