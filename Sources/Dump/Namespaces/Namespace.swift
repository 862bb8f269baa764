/// A database and a collection.
public struct Namespace: Sendable, Hashable, Comparable, CustomStringConvertible {
  public var database: String
  public var collection: String

  public init(_ database: String, _ collection: String) {
    self.database = database
    self.collection = collection
  }

  /// Splits at the first dot: a database name has none. Nil without a dot.
  public init?(_ text: String) {
    guard let dot = text.firstIndex(of: ".") else { return nil }
    database = String(text[..<dot])
    collection = String(text[text.index(after: dot)...])
  }

  /// The oplog inside an archive: no database, collection `oplog`.
  public static let oplog = Namespace("", "oplog")

  /// What time-series buckets are stored under, before 8.3.
  static let bucketPrefix = "system.buckets."

  public var description: String { "\(database).\(collection)" }

  public static func < (a: Self, b: Self) -> Bool {
    (a.database, a.collection) < (b.database, b.collection)
  }

  /// True for `system.buckets.NAME`.
  public var isBuckets: Bool { collection.hasPrefix(Self.bucketPrefix) }

  /// The name that users know: without `system.buckets.`.
  public var logical: Namespace {
    isBuckets
      ? Namespace(database, String(collection.dropFirst(Self.bucketPrefix.count))) : self
  }

  /// Where the buckets of this time-series are stored.
  public var buckets: Namespace { Namespace(database, Self.bucketPrefix + collection) }

  /// Users, roles and versions, which mongorestore wants before everything else.
  public var isSpecial: Bool {
    if database == "admin" {
      return ["system.users", "system.roles", "system.version"].contains(collection)
    }
    return collection.hasPrefix("$admin.system.") || collection == "system.indexes"
  }
}
