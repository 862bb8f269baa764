public import BSON
public import MongoDB

/// Collections that were to be dropped and are kept under another name instead.
///
/// A rename is instant and loses no late write. With an archive the renamed collection is then written
/// there, read back and dropped; without one it stays in the database. Both last until forgotten.
public struct KeptCollections {
  /// One that is kept.
  public struct Kept: Sendable {
    /// The name it has now.
    public let name: String
    /// The name it had.
    public let collection: String
    public let migration: String
    public let reason: String
    public let at: DateTime
    /// TTL indexes with the expiry they had, to be put back.
    public let ttl: [Document]
    public var documents: Int64?
    public var bytes: Int64?
    /// Where it is, when it is outside the database.
    public var archive: ArchivedCollection?
  }

  let database: Database
  let names: LedgerNames
  let archive: (any CollectionArchive)?

  public init(
    _ database: Database, names: LedgerNames, archive: (any CollectionArchive)? = nil
  ) {
    self.database = database
    self.names = names
    self.archive = archive
  }

  /// The largest expiry that servers of any supported version take on an existing index: what it
  /// would delete, the smaller one it replaces has deleted already.
  static func longestExpiry(release: Release, now: DateTime) -> Value {
    guard release < Release(major: 6) else { return .int32(.max) }
    // Before 6.0 an expiry may not exceed the server's epoch seconds.
    return .int64(now.milliseconds / 1000 - 86_400)
  }

  /// A name short enough for 4.2's limit of 120 bytes with the database's name.
  static func keptName(for collection: String, token: String) -> String {
    var prefix = ""
    for character in collection where (prefix + String(character)).utf8.count <= 40 {
      prefix.append(character)
    }
    return "\(prefix)__kept_\(StepHash.short(of: collection + "/" + token))"
  }

  /// What has to be journalled before a collection is put aside; nil when it is not there.
  func intent(for collection: String, token: String) throws -> Document? {
    guard let info = try database.listCollections(filter: ["name": .string(collection)]).first
    else { return nil }
    var create: Document = ["create": .string(collection)]
    for option in info.options where option.key != "uuid" {
      create.append(option.key, option.value)
    }
    var intent: Document = [
      "kind": "unkeep", "collection": .string(collection),
      "kept": .string(Self.keptName(for: collection, token: token)),
      "type": info.raw["type"] ?? "collection", "create": .document(create),
    ]
    guard info.raw["type"] != "view" else { return intent }
    let indexes = try database.listIndexes(collection).map(\.spec)
    intent.append("indexes", .array(indexes.map { .document($0) }))
    return intent
  }

  /// Puts a collection aside as its intent says; going on with a half-done one is the same call.
  ///
  /// An empty one is dropped after the rename: only then can no late write be lost.
  /// - Returns: true when something is kept.
  func keep(_ intent: Document, migration: String, reason: String, release: Release) throws -> Bool
  {
    let collection = intent["collection"]?.stringValue ?? ""
    let kept = intent["kept"]?.stringValue ?? ""
    let type = intent["type"]?.stringValue ?? "collection"
    if type == "view" {
      try dropIfThere(collection)
      return false
    }
    if type == "timeseries" {
      return try keepTimeSeries(intent, migration: migration, reason: reason)
    }
    let there = Set(try database.listCollections().map(\.name))
    // What has the name once ours is in the archive is somebody else's, and would overwrite that.
    if there.contains(collection), !there.contains(kept), try archived(kept) == nil {
      let now = try database.client.serverTime()
      let ttl = try ttlIndexes(intent)
      try record(kept, intent, ttl: ttl, migration: migration, reason: reason, at: now)
      for index in ttl {
        _ = try database.run([
          "collMod": .string(collection),
          "index": [
            "name": index["name"] ?? "",
            "expireAfterSeconds": Self.longestExpiry(release: release, now: now),
          ],
        ])
      }
      CrashPoint.reached("keep.before-rename")
      try database.rename(collection, to: kept)
      CrashPoint.reached("keep.renamed")
    }
    return try finish(kept)
  }

  /// Decides about a collection that was renamed: kept with documents, dropped without.
  /// - Returns: true when it is kept.
  func finish(_ kept: String) throws -> Bool {
    let found = try database.findOne(kept, options: ["projection": ["_id": 1]])
    guard found == nil else {
      try moveOut(kept)
      return true
    }
    // Moved out by an attempt that died right after it.
    if try archived(kept) != nil { return true }
    try dropIfThere(kept)
    try erase(kept)
    return false
  }

  /// Writes a kept collection to the archive, notes where, and only then drops it.
  private func moveOut(_ kept: String) throws {
    guard let archive else { return }
    let written = try archive.keep(
      kept, as: kept, database: database.name, pool: database.client.pool)
    CrashPoint.reached("keep.archived")
    try note(written, of: kept)
    CrashPoint.reached("keep.noted")
    try dropIfThere(kept)
  }

  private func note(_ written: ArchivedCollection, of kept: String) throws {
    _ = try database.update(
      names.kept,
      [
        [
          "q": ["_id": .string(kept)],
          "u": [
            "$set": [
              "archive": [
                "path": .string(written.path), "collection": .string(written.collection),
                "documents": .int64(written.documents), "bytes": .int64(written.bytes),
              ]
            ]
          ],
        ]
      ])
  }

  private func archived(_ kept: String) throws -> ArchivedCollection? {
    try database.findOne(names.kept, filter: ["_id": .string(kept)]).flatMap(Self.archive(in:))
  }

  private static func archive(in record: Document) -> ArchivedCollection? {
    guard let archive = record["archive"]?.documentValue, let path = archive["path"]?.stringValue
    else { return nil }
    return ArchivedCollection(
      collection: archive["collection"]?.stringValue ?? "", path: path,
      documents: archive["documents"]?.integerValue ?? 0,
      bytes: archive["bytes"]?.integerValue ?? 0)
  }

  /// Brings back what an intent put aside: by rename, or as an empty collection again.
  func bringBack(_ intent: Document) throws {
    let collection = intent["collection"]?.stringValue ?? ""
    let kept = intent["kept"]?.stringValue ?? ""
    var there = Set(try database.listCollections().map(\.name))
    if !there.contains(kept), let archived = try archived(kept) {
      if intent["type"] == "timeseries" {
        try free(collection, there)
        try load(archived, as: collection)
        return try discard(kept, archived)
      }
      // Under another name first: a load that dies leaves nothing that looks complete.
      let loading = kept + "_l"
      try load(archived, as: loading)
      CrashPoint.reached("keep.loaded")
      try database.rename(loading, to: kept)
      there.insert(kept)
    }
    if there.contains(kept) {
      try free(collection, there)
      try database.rename(kept, to: collection)
    } else if !there.contains(collection), let create = intent["create"]?.documentValue {
      _ = try database.run(create, options: .majority)
      let indexes = (intent["indexes"]?.arrayValue ?? []).filter {
        $0.documentValue?["name"] != "_id_" && $0.documentValue?.has("clustered") != true
      }
      if !indexes.isEmpty {
        _ = try database.run(
          ["createIndexes": .string(collection), "indexes": .array(indexes)], options: .majority)
      }
    }
    for index in try ttlIndexes(intent) {
      _ = try database.run(["collMod": .string(collection), "index": .document(index)])
    }
    if let archived = try archived(kept) { return try discard(kept, archived) }
    try erase(kept)
  }

  /// Makes room for a name that comes back: an empty collection goes, one with documents stays.
  private func free(_ collection: String, _ there: Set<String>) throws {
    guard there.contains(collection) else { return }
    guard try database.findOne(collection, options: ["projection": ["_id": 1]]) == nil else {
      throw MigrationError(
        .conflict,
        "\(collection) exists and has documents, so what was kept cannot take its name back",
        hint: "rename or empty \(collection), then run the command again")
    }
    try dropIfThere(collection)
  }

  private func load(_ archived: ArchivedCollection, as collection: String) throws {
    guard let archive else {
      throw MigrationError(
        .notReady,
        "\(collection) is kept in the archive \(archived.path), which cannot be read here",
        hint: "run `martlet migrate down` where that archive is")
    }
    try archive.load(
      archived, as: collection, database: database.name, pool: database.client.pool)
  }

  /// The archive is deleted after the record: a leftover file does no harm.
  private func discard(_ kept: String, _ archived: ArchivedCollection) throws {
    try erase(kept)
    try archive?.delete(archived)
  }

  /// Everything that is kept, oldest first, with its size.
  public func all() throws -> [Kept] {
    var found: [Kept] = []
    let cursor = try database.find(names.kept, options: ["sort": ["at": 1]])
    while let document = try cursor.next() {
      guard let name = document["_id"]?.stringValue,
        let collection = document["collection"]?.stringValue
      else { continue }
      var kept = Kept(
        name: name, collection: collection, migration: document["migration"]?.stringValue ?? "",
        reason: document["reason"]?.stringValue ?? "",
        at: document["at"]?.dateValue ?? DateTime(milliseconds: 0),
        ttl: (document["ttl"]?.arrayValue ?? []).compactMap(\.documentValue))
      kept.archive = Self.archive(in: document)
      if let archive = kept.archive {
        kept.documents = archive.documents
        kept.bytes = archive.bytes
      } else if let stats = try? database.run(["collStats": .string(name)]) {
        kept.documents = stats["count"]?.integerValue
        kept.bytes = stats["size"]?.integerValue
      }
      found.append(kept)
    }
    return found
  }

  /// Drops a kept collection for good.
  /// - Returns: false when nothing of that name is kept.
  public func forget(_ name: String) throws -> Bool {
    guard let record = try database.findOne(names.kept, filter: ["_id": .string(name)]) else {
      return false
    }
    try dropIfThere(name)
    try erase(name)
    if let archived = Self.archive(in: record) { try archive?.delete(archived) }
    return true
  }

  // MARK: - Parts

  private func ttlIndexes(_ intent: Document) throws -> [Document] {
    (intent["indexes"]?.arrayValue ?? []).compactMap { value in
      guard let spec = value.documentValue, let name = spec["name"],
        let seconds = spec["expireAfterSeconds"]
      else { return nil }
      return ["name": name, "expireAfterSeconds": seconds]
    }
  }

  private func record(
    _ kept: String, _ intent: Document, ttl: [Document], migration: String, reason: String,
    at: DateTime
  ) throws {
    _ = try database.update(
      names.kept,
      [
        [
          "q": ["_id": .string(kept)],
          "u": [
            "collection": intent["collection"] ?? "", "migration": .string(migration),
            "reason": .string(reason), "at": .date(at),
            "ttl": .array(ttl.map { .document($0) }),
          ],
          "upsert": true,
        ]
      ])
  }

  private func erase(_ kept: String) throws {
    _ = try database.delete(names.kept, [["q": ["_id": .string(kept)], "limit": 1]])
  }

  private func dropIfThere(_ collection: String) throws { try database.drop(collection) }

  /// No server can rename a time-series: with documents it goes to the archive, or stays.
  private func keepTimeSeries(_ intent: Document, migration: String, reason: String) throws -> Bool
  {
    let collection = intent["collection"]?.stringValue ?? ""
    let kept = intent["kept"]?.stringValue ?? ""
    if try database.findOne(collection) == nil {
      try dropIfThere(collection)
      return try archived(kept) != nil
    }
    guard let archive else {
      throw MigrationError(
        .irreversible, "\(collection) is a time-series with data, which no server can rename",
        hint: "use the martlet program, which archives it, or dump and empty it first")
    }
    let written = try archive.keep(
      collection, as: kept, database: database.name, pool: database.client.pool)
    try record(
      kept, intent, ttl: [], migration: migration, reason: reason,
      at: try database.client.serverTime())
    try note(written, of: kept)
    try dropIfThere(collection)
    return true
  }
}
