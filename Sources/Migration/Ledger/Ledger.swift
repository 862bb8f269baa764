public import BSON
public import MongoDB

/// The names of the collections that Martlet keeps in the database it migrates.
public struct LedgerNames: Sendable, Hashable {
  /// The ledger itself: `migrations` unless configured.
  public let ledger: String
  public init(ledger: String = "migrations") { self.ledger = ledger }
  /// Append-only: every attempt in both directions.
  public var history: String { ledger + ".history" }
  /// One document: the lease.
  public var lock: String { ledger + ".lock" }
  /// Collections that a drop or a `down` put aside.
  public var kept: String { ledger + ".kept" }
  /// The prefix of the collections with pre-images.
  public var undoPrefix: String { ledger + ".undo." }

  /// The collection with the pre-images of one migration; a long name is replaced by its hash,
  /// because 4.2 allows 120 bytes with the database's name.
  public func undo(of migration: String) -> String {
    undoPrefix + (migration.utf8.count <= 40 ? migration : StepHash.short(of: migration))
  }

  /// True for collections that are Martlet's own.
  public func isOurs(_ collection: String) -> Bool {
    collection == ledger || collection == history || collection == lock || collection == kept
      || collection.hasPrefix(undoPrefix)
  }
}

/// Reads and writes the ledger; every write waits for the majority.
public struct Ledger {
  let database: Database
  let names: LedgerNames

  /// A ledger in a database; nothing is read or created yet.
  public init(_ database: Database, names: LedgerNames) {
    self.database = database
    self.names = names
  }

  /// All entries by name. Blocks; only reads.
  /// - Throws: ``MigrationError`` `.foreignLedger` for documents that another tool wrote;
  ///   `MongoError`.
  public func load() throws -> [String: LedgerEntry] {
    var entries: [String: LedgerEntry] = [:]
    let cursor = try database.find(
      names.ledger, command: .init(readConcern: ["level": "majority"]))
    while let document = try cursor.next() {
      guard let entry = LedgerEntry(document) else { throw foreign(document) }
      entries[entry.name] = entry
    }
    return entries
  }

  /// Creates the collections and the unique index on `name` where they are missing.
  public func prepare() throws {
    let existing = Set(try database.listCollections().map(\.name))
    guard !existing.contains(names.ledger) else { return try ensureIndex() }
    do {
      _ = try database.run(["create": .string(names.ledger)])
    } catch {
      // 48: another run was faster.
      guard error.code == 48 else { throw error }
    }
    try ensureIndex()
  }

  private func ensureIndex() throws {
    let indexes = try database.listIndexes(names.ledger)
    guard !indexes.contains(where: { $0.key == ["name": 1] }) else { return }
    _ = try database.run([
      "createIndexes": .string(names.ledger),
      "indexes": [["key": ["name": 1], "name": "name_1", "unique": true]],
    ])
  }

  /// Writes an entry that begins, in place of an earlier attempt of the same name.
  ///
  /// An entry of the Python manager is replaced too: its `_id` differs, its name does not.
  public func begin(_ entry: LedgerEntry) throws {
    var document = entry.document
    document.remove("_id")
    let reply = try database.update(
      names.ledger,
      [
        [
          "q": [
            "name": .string(entry.name),
            "fence": ["$not": ["$gt": .int64(entry.fence)]],
          ],
          "u": [
            [
              "$replaceWith": [
                "$mergeObjects": [
                  ["_id": ["$ifNull": ["$_id", .string(entry.name)]]],
                  ["$literal": .document(document)],
                ]
              ]
            ]
          ],
          "upsert": true,
        ]
      ])
    guard (reply["n"]?.integerValue ?? 0) == 1 else { throw lost(entry.name) }
  }

  /// Changes fields of an entry that this run owns.
  /// - Throws: `MongoError` `.leaseLost` when a later lease has taken the entry over.
  public func change(
    _ name: String, fence: Int64, set: Document, unset: [String] = [], session: Session? = nil
  ) throws {
    var update: Document = [:]
    if !set.isEmpty { update.append("$set", .document(set)) }
    if !unset.isEmpty {
      update.append("$unset", .document(Document(unset.map { ($0, Value.int32(1)) })))
    }
    let reply = try database.update(
      names.ledger,
      [["q": ["name": .string(name), "fence": .int64(fence)], "u": .document(update)]],
      session: session)
    guard (reply["n"]?.integerValue ?? 0) == 1 else { throw lost(name) }
  }

  /// Journals one step.
  public func journal(
    _ name: String, fence: Int64, step index: Int, _ step: JournalStep, also: Document = [:],
    session: Session? = nil
  ) throws {
    var set: Document = ["steps.\(index)": .document(step.document)]
    set.append(contentsOf: also)
    try change(name, fence: fence, set: set, session: session)
  }

  /// Removes an entry that has been taken back.
  public func remove(_ name: String, fence: Int64?, session: Session? = nil) throws {
    var filter: Document = ["name": .string(name)]
    if let fence { filter.append("fence", .int64(fence)) }
    let reply = try database.delete(
      names.ledger, [["q": .document(filter), "limit": 1]], session: session)
    guard (reply["n"]?.integerValue ?? 0) == 1 else { throw lost(name) }
  }

  private func lost(_ name: String) -> MigrationError {
    MigrationError(
      .leaseLost, "another run has taken over migration \(name)",
      hint: "look at `martlet migrate status`, then run the command again")
  }

  private func foreign(_ document: Document) -> MigrationError {
    let shape = document.keys.prefix(8).joined(separator: ", ")
    return MigrationError(
      .foreignLedger,
      "collection \(names.ledger) holds documents of another tool (fields: \(shape))",
      hint: "set `migrations: { collection: martlet_migrations }` in martlet.yaml, then mark what "
        + "is applied with `martlet migrate baseline --to ID`")
  }
}
