internal import BSON

/// Snapshots as files: one JSON document, there whole or not at all.
public enum SnapshotFile {
  /// Most bytes of a snapshot or manifest.
  public static let maximumSize = 256 << 20

  /// Writes a snapshot, replacing what is there; readable by the owner only. Blocks.
  /// - Throws: ``ValidationError`` `unwritable`.
  public static func write(_ snapshot: Snapshot, to path: String) throws(ValidationError) {
    let text = ExtendedJSON.text(document(snapshot), .relaxed, indent: 2) + "\n"
    try WholeFile.write(text, to: path)
  }

  /// Proves that a snapshot could be written there, before a long run finds out at its end.
  /// - Throws: ``ValidationError`` `unwritable`.
  public static func prepare(_ path: String) throws(ValidationError) {
    guard try WholeFile.isReplaceable(path) else { return }
    let probe = path + ".martlet-probe"
    try WholeFile.write("", to: probe)
    WholeFile.remove(probe)
  }

  /// Reads a snapshot, or the manifest of a backup. Blocks.
  /// - Parameter database: of a manifest with several, the one that is meant.
  /// - Throws: ``ValidationError`` `unreadableSnapshot` or `newerSnapshot`.
  public static func read(
    _ path: String, database: String? = nil
  ) throws(ValidationError) -> Snapshot {
    guard let bytes = WholeFile.read(path, limit: maximumSize) else {
      throw ValidationError(
        .unreadableSnapshot, "cannot read the snapshot: \(WholeFile.reason)", file: path,
        hint: "martlet validate before --save FILE writes one")
    }
    guard bytes.count <= maximumSize else {
      throw ValidationError(.unreadableSnapshot, "larger than a snapshot may be", file: path)
    }
    let document: Document
    do {
      document = try ExtendedJSON.parseDocument(utf8: bytes)
    } catch {
      throw ValidationError(
        .unreadableSnapshot, "not a snapshot: \(error.message)", file: path,
        hint: "it was cut off, or is another file; take a new one")
    }
    guard let schema = document["schema"]?.stringValue, schema.hasPrefix("martlet-snapshot/") else {
      if let manifest = ManifestReader.snapshot(document, database: database) { return manifest }
      throw ValidationError(
        .unreadableSnapshot, "neither a snapshot nor the manifest of a backup", file: path)
    }
    guard schema == Snapshot.schema else {
      throw ValidationError(
        .newerSnapshot,
        "the snapshot has the format \(schema), this martlet reads \(Snapshot.schema)",
        file: path, hint: "compare it with the version that wrote it")
    }
    return try snapshot(document, path)
  }

  // MARK: - writing

  static func document(_ snapshot: Snapshot) -> Document {
    [
      "schema": .string(Snapshot.schema), "takenAt": .integer(snapshot.takenAt),
      "takenAtText": .string(Words.instant(snapshot.takenAt)),
      "database": .string(snapshot.database),
      "server": .document(Document(snapshot.server.map { ($0.name, .string($0.value)) })),
      "migrations": .array(snapshot.migrations.map { .string($0) }),
      "collections": .array(snapshot.collections.map { .document(collection($0)) }),
      "queries": .array(snapshot.queries.map { .document(query($0)) }),
      "indexUse": .array(snapshot.indexUses.map { .document(use($0)) }),
      "ttlPasses": snapshot.ttlPasses.map { .integer($0) } ?? .null,
    ]
  }

  private static func use(_ use: IndexUse) -> Document {
    [
      "member": .string(use.member), "collection": .string(use.collection),
      "index": .string(use.index), "operations": .integer(use.operations),
      "since": .integer(use.since),
    ]
  }

  static func collection(_ collection: CollectionSnapshot) -> Document {
    var fields: Document = ["name": .string(collection.name), "kind": .string(collection.kind)]
    if let options = collection.options { fields.append("options", .document(options)) }
    if let indexes = collection.indexes {
      fields.append("indexes", .array(indexes.map { .document($0) }))
    }
    let numbers = [
      ("count", collection.count), ("bytes", collection.bytes),
      ("storageSize", collection.storageSize), ("indexSize", collection.indexSize),
    ]
    for (name, number) in numbers { if let number { fields.append(name, .integer(number)) } }
    if let fingerprint = collection.fingerprint {
      fields.append("fingerprint", .string(fingerprint))
    }
    return fields
  }

  private static func query(_ query: QuerySnapshot) -> Document {
    [
      "name": .string(query.name), "stages": .array(query.stages.map { .string($0) }),
      "indexes": .array(query.indexes.map { .string($0) }),
      "documents": .integer(query.documents), "runs": .integer(query.runs),
      "p50Ms": .double(query.p50), "p95Ms": .double(query.p95),
    ]
  }

  // MARK: - reading

  private static func snapshot(
    _ document: Document, _ path: String
  ) throws(ValidationError) -> Snapshot {
    guard let takenAt = document["takenAt"]?.integerValue, Self.isNatural(takenAt),
      let database = document["database"]?.stringValue,
      let collections = document["collections"]?.arrayValue,
      let queries = document["queries"]?.arrayValue
    else { throw incomplete(path) }
    var snapshot = Snapshot(takenAt: takenAt, database: database)
    snapshot.migrations = (document["migrations"]?.arrayValue ?? []).compactMap(\.stringValue)
    for fact in document["server"]?.documentValue ?? [:] {
      snapshot.server.append(Fact(fact.key, fact.value.stringValue ?? ""))
    }
    for entry in collections {
      guard let fields = entry.documentValue, let collection = collection(fields) else {
        throw incomplete(path)
      }
      snapshot.collections.append(collection)
    }
    for entry in queries {
      guard let fields = entry.documentValue, let name = fields["name"]?.stringValue,
        let p50 = fields["p50Ms"]?.doubleValue, let p95 = fields["p95Ms"]?.doubleValue,
        p50.isFinite, p95.isFinite
      else { throw incomplete(path) }
      snapshot.queries.append(
        QuerySnapshot(
          name: name, stages: (fields["stages"]?.arrayValue ?? []).compactMap(\.stringValue),
          indexes: (fields["indexes"]?.arrayValue ?? []).compactMap(\.stringValue),
          documents: fields["documents"]?.integerValue ?? 0,
          runs: fields["runs"]?.integerValue ?? 0, p50: p50, p95: p95))
    }
    for fields in (document["indexUse"]?.arrayValue ?? []).compactMap(\.documentValue) {
      snapshot.indexUses.append(
        IndexUse(
          member: fields["member"]?.stringValue ?? "",
          collection: fields["collection"]?.stringValue ?? "",
          index: fields["index"]?.stringValue ?? "",
          operations: fields["operations"]?.integerValue ?? 0,
          since: fields["since"]?.integerValue ?? 0))
    }
    snapshot.ttlPasses = document["ttlPasses"]?.integerValue
    guard
      snapshot.ttlPasses.map(isNatural) ?? true,
      snapshot.indexUses.allSatisfy({ isNatural($0.operations) && isNatural($0.since) }),
      snapshot.queries.allSatisfy({ isNatural($0.documents) && isNatural($0.runs) })
    else { throw incomplete(path) }
    return snapshot
  }

  static func collection(_ fields: Document) -> CollectionSnapshot? {
    let numbers = ["count", "bytes", "storageSize", "indexSize"].compactMap {
      fields[$0]?.integerValue
    }
    guard let name = fields["name"]?.stringValue, numbers.allSatisfy(isNatural) else { return nil }
    return CollectionSnapshot(
      name: name, kind: fields["kind"]?.stringValue ?? "collection",
      options: fields["options"]?.documentValue,
      indexes: fields["indexes"]?.arrayValue?.compactMap(\.documentValue),
      count: fields["count"]?.integerValue, bytes: fields["bytes"]?.integerValue,
      fingerprint: fields["fingerprint"]?.stringValue,
      storageSize: fields["storageSize"]?.integerValue,
      indexSize: fields["indexSize"]?.integerValue)
  }

  /// Nothing is counted that does not fit into a double: with more one cannot calculate.
  static func isNatural(_ number: Int64) -> Bool { (0...1 << 53).contains(number) }

  private static func incomplete(_ path: String) -> ValidationError {
    ValidationError(
      .unreadableSnapshot, "the snapshot lacks parts that it must have", file: path,
      hint: "it was edited; take a new one")
  }
}

/// Takes from a backup's `manifest.json` what can be compared: count, bytes, fingerprint, indexes.
enum ManifestReader {
  static func snapshot(_ manifest: Document, database: String?) -> Snapshot? {
    guard
      let entries = (manifest["namespaces"] ?? manifest["collections"])?.arrayValue?
        .compactMap(\.documentValue), !entries.isEmpty
    else { return nil }
    var list: [(database: String, entry: CollectionSnapshot)] = []
    for fields in entries {
      // Users and roles have no type; what they are in is not this database.
      guard let (owner, name) = namespace(fields), fields["type"]?.stringValue != "" else {
        continue
      }
      let options = (fields["options"] ?? fields["metadata"]?.documentValue?["options"])?
        .documentValue
      list.append(
        (
          owner,
          CollectionSnapshot(
            name: name, kind: fields["type"]?.stringValue ?? "collection", options: options,
            indexes: fields["indexes"]?.arrayValue.flatMap { items in
              let documents = items.compactMap(\.documentValue)
              return documents.count == items.count ? documents : nil
            },
            count: natural(fields["count"] ?? fields["documents"]),
            bytes: natural(fields["bytes"]),
            fingerprint: fields["fingerprint"]?.stringValue)
        ))
    }
    guard let chosen = database ?? list.first?.database else { return nil }
    let collections = list.filter { $0.database == chosen && !$0.entry.name.hasPrefix("system.") }
      .map(\.entry)
    guard !collections.isEmpty else { return nil }
    var snapshot = Snapshot(
      takenAt: 0, database: chosen, collections: collections, origin: .manifest)
    snapshot.migrations = (manifest["migrations"]?.arrayValue ?? []).compactMap(\.stringValue)
    return snapshot
  }

  private static func natural(_ value: Value?) -> Int64? {
    value?.integerValue.flatMap { SnapshotFile.isNatural($0) ? $0 : nil }
  }

  private static func namespace(_ fields: Document) -> (String, String)? {
    if let owner = fields["database"] ?? fields["db"],
      let name = fields["collection"] ?? fields["name"],
      let database = owner.stringValue, let collection = name.stringValue
    {
      return (database, collection)
    }
    let whole = (fields["namespace"] ?? fields["ns"] ?? fields["name"])?.stringValue ?? ""
    let parts = whole.split(separator: ".", maxSplits: 1).map(String.init)
    return parts.count == 2 ? (parts[0], parts[1]) : nil
  }
}
