/// Which namespaces a dump takes. - Source: archive-format.md 3.1.
struct CollectionSelector: Sendable {
  let database: String?
  let collection: String?
  let excluded: Set<String>
  let prefixes: [String]

  init(_ options: DumpOptions) {
    database = options.database
    collection = options.collection
    excluded = Set(options.excludedCollections)
    prefixes = options.excludedPrefixes + options.temporaryPrefixes
  }

  /// What of `config` a restore elsewhere can use.
  private static let config: Set<String> = [
    "chunks", "collections", "databases", "settings", "shards", "tags", "version",
  ]

  /// System collections that hold user data.
  private static let admin: Set<String> = [
    "system.users", "system.roles", "system.version", "system.views",
  ]

  func takes(database name: String) -> Bool {
    if let database { return name == database }
    return name != "local" && !name.hasPrefix("__mdb_internal")
  }

  /// For names as listCollections gives them.
  func takes(_ namespace: Namespace) -> Bool {
    let name = namespace.collection
    guard takes(database: namespace.database) else { return false }
    if let collection { return name == collection }
    guard !excluded.contains(name), !prefixes.contains(where: { name.hasPrefix($0) }) else {
      return false
    }
    if name.contains("$"), !name.contains(".oplog.$") { return false }
    switch namespace.database {
    case "config" where database == nil: return Self.config.contains(name)
    case "admin":
      if name == "system.keys" { return false }
      return !name.hasPrefix("system.") || name == "system.js" || Self.admin.contains(name)
    default: return !name.hasPrefix("system.") || name == "system.js"
    }
  }

  /// For the namespaces of oplog entries: buckets and views belong to their collections.
  func takesEntry(_ namespace: Namespace) -> Bool {
    if database == nil, collection == nil { return true }
    guard namespace.database == database else { return false }
    if namespace.collection == "$cmd" || namespace.collection == "system.views" { return true }
    return takes(namespace.logical)
  }
}
