internal import BSON
internal import MongoDB

/// One collection that a dump will read.
struct PlannedCollection: Sendable {
  /// The name that users know.
  let namespace: Namespace
  /// Where the documents are.
  let source: Namespace
  /// `collection`, `view`, `timeseries`, or empty for users and roles of one database.
  let type: String
  /// Nil where mongodump writes none.
  let metadata: CollectionMetadata?
  /// Of `source`; reads by it notice a drop or a rename.
  var uuid: Binary?
  /// Only these documents.
  var filter: Document?
  /// Bytes and documents, as the server estimates them.
  var size: Int64 = 0
  var count: Int64 = 0

  /// In the archive: the same as `source`, except for users and roles of one database.
  var target: Namespace
  /// No documents are read.
  var isView: Bool { type == "view" }
  var isCapped: Bool { metadata?.options?["capped"]?.isTruthy == true }
  var isClustered: Bool { metadata?.options?.has("clusteredIndex") == true || source.isBuckets }
  /// Ranges of `_id` can be read through its index.
  var hasIDIndex: Bool {
    metadata?.indexes.contains { $0["key"]?.documentValue?.keys == ["_id"] } == true
  }

  var metadataText: String {
    get throws(DumpError) {
      guard let metadata else { return "" }
      do throws(DumpError) { return try metadata.text() } catch {
        var error = error
        error.namespace = namespace.description
        throw error
      }
    }
  }
}

/// Lists what there is to dump, with metadata and sizes.
struct DumpPlanner {
  let client: Client
  let options: DumpOptions
  private let selector: CollectionSelector

  init(client: Client, options: DumpOptions) {
    self.client = client
    self.options = options
    selector = CollectionSelector(options)
  }

  /// Users and roles first, views next, then the rest, the largest first.
  func plan() throws -> [PlannedCollection] {
    var planned: [PlannedCollection] = []
    for database in try databases() { planned += try collections(of: database) }
    if options.includesUsersAndRoles, let database = options.database {
      planned += users(of: database)
    }
    return planned.sorted { a, b in
      let (x, y) = (rank(a), rank(b))
      return x != y ? x < y : a.size != b.size ? a.size > b.size : a.target < b.target
    }
  }

  private func rank(_ collection: PlannedCollection) -> Int {
    collection.target.isSpecial ? 0 : collection.isView ? 1 : 2
  }

  private func databases() throws -> [String] {
    if let database = options.database { return [database] }
    let reply = try client.run(["listDatabases": 1, "nameOnly": true], on: "admin")
    let names = (reply["databases"]?.arrayValue ?? []).compactMap {
      $0.documentValue?["name"]?.stringValue
    }
    // Every server has databases of its own; who sees none may read none, and gets no error.
    guard !names.isEmpty else {
      throw MongoError(
        .privilege, "not authorized: the user may not see any database",
        hint: "grant the user a role that may read them: backup, or readAnyDatabase")
    }
    return names.filter(selector.takes(database:))
  }

  private func collections(of database: String) throws -> [PlannedCollection] {
    let handle = client.database(database)
    let all = try handle.listCollections()
    var uuids: [String: Binary] = [:]
    for info in all { uuids[info.name] = info.uuid }
    var planned: [PlannedCollection] = []
    for info in all where selector.takes(Namespace(database, info.name)) {
      let type = info.raw["type"]?.stringValue ?? "collection"
      if options.viewsAsCollections, type != "view" { continue }
      planned.append(try plan(info, type, handle, uuids))
    }
    return planned
  }

  private func plan(
    _ info: CollectionInfo, _ type: String, _ handle: Database, _ uuids: [String: Binary]
  ) throws -> PlannedCollection {
    let namespace = Namespace(handle.name, info.name)
    var options = info.raw["options"]?.documentValue ?? [:]
    var shownType = type
    var source = namespace
    var indexes: [Document] = []
    if type == "view" {
      if self.options.viewsAsCollections {
        shownType = "collection"
        options = options.filteringElements { !$0.isNamed("viewOn") && !$0.isNamed("pipeline") }
      }
    } else {
      // One that is being built may yet be aborted; when it is not, the oplog has its commit.
      indexes = try handle.listIndexes(info.name, includeBuildUUIDs: true)
        .filter { $0.buildUUID == nil }.map(\.spec)
      if type == "timeseries" { source = namespace.buckets }
    }
    let metadata = CollectionMetadata(
      options: options.isEmpty ? nil : options, indexes: indexes,
      uuid: type == "collection" ? info.uuid.map { Hex.encode($0.stored) } : nil,
      collectionName: info.name, type: shownType)
    var planned = PlannedCollection(
      namespace: namespace, source: source, type: shownType, metadata: metadata, target: source)
    planned.uuid = uuids[source.collection]
    planned.filter = try filter(info, options)
    if shownType != "view", type != "view" { measure(&planned) }
    return planned
  }

  /// On a time-series only the meta field can be asked for; buckets keep it as `meta`.
  private func filter(_ info: CollectionInfo, _ collectionOptions: Document) throws -> Document? {
    guard let query = options.query else { return nil }
    guard let series = collectionOptions["timeseries"]?.documentValue else { return query }
    guard let field = series["metaField"]?.stringValue else {
      throw DumpError(.usage, "a time-series without a meta field cannot be filtered")
    }
    return try MetaFilter.rewrite(query, metaField: field)
  }

  /// Statistics are for order and progress only: without the privilege there are none.
  private func measure(_ collection: inout PlannedCollection) {
    let database = client.database(collection.source.database)
    let name = collection.source.collection
    if let stats = try? database.run(["collStats": .string(name)]) {
      collection.size = Int64(stats["size"]?.doubleValue ?? 0)
      collection.count = stats["count"]?.integerValue ?? 0
    } else if let count = try? database.estimatedCount(name) {
      collection.count = count
      collection.size = count * 512
    }
  }

  private func users(of database: String) -> [PlannedCollection] {
    [
      ("users", ["db": .string(database)] as Document?), ("roles", ["db": .string(database)]),
      ("version", nil),
    ].map { name, filter in
      PlannedCollection(
        namespace: Namespace(database, "$admin.system.\(name)"),
        source: Namespace("admin", "system.\(name)"), type: "", metadata: nil, filter: filter,
        target: Namespace(database, "$admin.system.\(name)"))
    }
  }
}

/// Turns a query on a time-series into one on its buckets.
enum MetaFilter {
  static func rewrite(_ query: Document, metaField: String) throws(DumpError) -> Document {
    var out = Document()
    for element in query {
      if element.key.hasPrefix("$"), let parts = element.value.arrayValue {
        var rewritten: [Value] = []
        for part in parts {
          guard let document = part.documentValue else { continue }
          rewritten.append(.document(try rewrite(document, metaField: metaField)))
        }
        out.append(element.key, .array(rewritten))
      } else if element.key == metaField || element.key.hasPrefix(metaField + ".") {
        out.append("meta" + element.key.dropFirst(metaField.count), element.value)
      } else {
        throw DumpError(
          .usage, "a query on a time-series may only name its meta field",
          hint: "the meta field is '\(metaField)'")
      }
    }
    return out
  }
}
