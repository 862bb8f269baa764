internal import BSON

/// What there will be, as the dump and then the oplog say: the indexes of collections, built at the end,
/// and the names of views.
struct ReplayCatalog: Sendable {
  private var indexesByNamespace: [Namespace: [Document]] = [:]
  /// `expireAfterSeconds` of collections themselves: clustered ones and time-series.
  private var expiries: [Namespace: Value] = [:]
  /// With the databases that they are of in the dump and the oplog.
  private var views: [Namespace: String] = [:]
  /// What entries were applied to.
  private var changed: Set<Namespace> = []
  /// The names that those made by the oplog have in it.
  private var sources: [Namespace: Namespace] = [:]

  /// Collections and views, ordered by name.
  var all: [Namespace] { (Array(indexesByNamespace.keys) + views.keys).sorted() }

  func holds(_ namespace: Namespace) -> Bool {
    indexesByNamespace[namespace] != nil || isView(namespace)
  }

  func isView(_ namespace: Namespace) -> Bool { views[namespace] != nil }
  func isChanged(_ namespace: Namespace) -> Bool { changed.contains(namespace) }
  func source(of namespace: Namespace) -> Namespace? { sources[namespace] }

  func views(of database: String) -> [Namespace] {
    views.filter { $0.value == database }.keys.sorted()
  }

  mutating func addView(_ namespace: Namespace, of database: String) {
    views[namespace] = database
  }

  mutating func dropView(_ namespace: Namespace) { views[namespace] = nil }

  /// Something happened to `target`, which the oplog calls `source`.
  mutating func note(_ target: Namespace, from source: Namespace) {
    changed.insert(target)
    sources[target] = source
  }

  /// Collections, ordered by name.
  var namespaces: [Namespace] { indexesByNamespace.keys.sorted() }

  func indexes(of namespace: Namespace) -> [Document] { indexesByNamespace[namespace] ?? [] }

  /// What it has when it is made, or as a dump says.
  mutating func set(_ namespace: Namespace, _ indexes: [Document]) {
    indexesByNamespace[namespace] = indexes
  }

  func expiry(of namespace: Namespace) -> Value? { expiries[namespace] }

  mutating func expire(_ namespace: Namespace, after seconds: Value?) {
    expiries[namespace] = seconds
  }

  /// Adds an index, or replaces the one of that name.
  mutating func add(_ index: Document, to namespace: Namespace) {
    var indexes = indexes(of: namespace)
    if let at = indexes.firstIndex(where: { $0["name"] == index["name"] }) {
      indexes[at] = index
    } else {
      indexes.append(index)
    }
    indexesByNamespace[namespace] = indexes
  }

  /// Removes by name, by key, or all but `_id` for `*`.
  mutating func remove(_ which: Value, from namespace: Namespace) {
    indexesByNamespace[namespace]?.removeAll { index in
      switch which {
      case .string("*"): return index["key"]?.documentValue?.keys != ["_id"]
      case .string(let name): return index["name"] == .string(name)
      case .document(let key): return index["key"] == .document(key)
      case .array(let names): return index["name"].map(names.contains) ?? false
      default: return false
      }
    }
  }

  /// Applies the `index` part of a collMod.
  mutating func change(_ change: Document, in namespace: Namespace) {
    guard var indexes = indexesByNamespace[namespace] else { return }
    for at in indexes.indices {
      let isMeant =
        change["name"].map { $0 == indexes[at]["name"] }
        ?? change["keyPattern"].map { $0 == indexes[at]["key"] } ?? false
      guard isMeant else { continue }
      for field in ["expireAfterSeconds", "hidden", "unique", "prepareUnique"] {
        if let value = change[field] { indexes[at][field] = value }
      }
      // As the server lists them afterwards, and as createIndexes takes them.
      if indexes[at]["unique"] == true { indexes[at].remove("prepareUnique") }
      for field in ["hidden", "unique", "prepareUnique"] where indexes[at][field] == false {
        indexes[at].remove(field)
      }
    }
    indexesByNamespace[namespace] = indexes
  }

  mutating func drop(_ namespace: Namespace) {
    indexesByNamespace[namespace] = nil
    expiries[namespace] = nil
  }

  mutating func drop(database: String) {
    for namespace in indexesByNamespace.keys where namespace.database == database {
      indexesByNamespace[namespace] = nil
    }
    views = views.filter { $0.key.database != database }
    expiries = expiries.filter { $0.key.database != database }
  }

  /// One that is not there was renamed before the dump came by: its new name is known.
  mutating func rename(_ namespace: Namespace, to target: Namespace) {
    guard let indexes = indexesByNamespace.removeValue(forKey: namespace) else { return }
    indexesByNamespace[target] = indexes
    expiries[target] = expiries.removeValue(forKey: namespace)
  }
}
