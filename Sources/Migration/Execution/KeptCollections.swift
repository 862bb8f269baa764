public import BSON
public import MongoDB

/// Collections that were to be dropped and are kept under another name instead.
///
/// A rename is instant and loses no late write; the data stays in the database until it is
/// forgotten on request.
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
  }

  let database: Database
  let names: LedgerNames

  public init(_ database: Database, names: LedgerNames) {
    self.database = database
    self.names = names
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
    if type == "timeseries" { return try dropEmptyTimeSeries(collection) }
    let there = Set(try database.listCollections().map(\.name))
    if there.contains(collection), !there.contains(kept) {
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
    guard found == nil else { return true }
    try dropIfThere(kept)
    try erase(kept)
    return false
  }

  /// Brings back what an intent put aside: by rename, or as an empty collection again.
  func bringBack(_ intent: Document) throws {
    let collection = intent["collection"]?.stringValue ?? ""
    let kept = intent["kept"]?.stringValue ?? ""
    let there = Set(try database.listCollections().map(\.name))
    if there.contains(kept) {
      if there.contains(collection) {
        guard try database.findOne(collection, options: ["projection": ["_id": 1]]) == nil else {
          throw MigrationError(
            .conflict,
            "\(collection) exists and has documents, so \(kept) cannot take its name back",
            hint: "rename or empty \(collection), then run the command again")
        }
        try dropIfThere(collection)
      }
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
    try erase(kept)
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
      if let stats = try? database.run(["collStats": .string(name)]) {
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
    guard try database.findOne(names.kept, filter: ["_id": .string(name)]) != nil else {
      return false
    }
    try dropIfThere(name)
    try erase(name)
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

  private func dropEmptyTimeSeries(_ collection: String) throws -> Bool {
    if try database.findOne(collection) != nil {
      throw MigrationError(
        .irreversible, "\(collection) is a time-series with data, which no server can rename",
        hint: "dump it first, empty it, and run the command again")
    }
    try dropIfThere(collection)
    return false
  }
}
