public import BSON

/// A database as it was: what a later look is compared with.
public struct Snapshot: Sendable, Hashable {
  /// The format's name and version, raised when a reader of the old one would be misled.
  public static let schema = "martlet-snapshot/1"

  /// Milliseconds since 1970.
  public var takenAt: Int64
  public var database: String
  /// Version, topology and so on, in the order to show.
  public var server: [Fact]
  public var collections: [CollectionSnapshot]
  public var queries: [QuerySnapshot]
  /// How often each index had been used, on each member.
  public var indexUses: [IndexUse] = []
  /// How often the primary's TTL monitor had been at work; nil where the server did not tell.
  public var ttlPasses: Int64?
  /// Names of the migrations that were applied.
  public var migrations: [String] = []
  /// What it was made from: a snapshot, or a backup's manifest that has no queries and options.
  public var origin: Origin

  public enum Origin: String, Sendable, Hashable { case snapshot, manifest }

  public init(
    takenAt: Int64, database: String, server: [Fact] = [], collections: [CollectionSnapshot] = [],
    queries: [QuerySnapshot] = [], origin: Origin = .snapshot
  ) {
    self.takenAt = takenAt
    self.database = database
    self.server = server
    self.collections = collections
    self.queries = queries
    self.origin = origin
  }

  /// Refuses a snapshot of another database.
  /// - Throws: ``ValidationError`` `differentSnapshot`.
  public func require(database name: String, file: String) throws(ValidationError) {
    guard database != name else { return }
    throw ValidationError(
      .differentSnapshot, "the snapshot is of the database \(database), not of \(name)",
      file: file, hint: "name the snapshot that was taken of \(name)")
  }

  func collection(_ name: String) -> CollectionSnapshot? {
    collections.first { $0.name == name }
  }
}

/// One collection, view or time-series as it was.
public struct CollectionSnapshot: Sendable, Hashable {
  public var name: String
  /// `collection`, `view`, `timeseries`.
  public var kind: String
  /// As listed; nil where the origin does not tell.
  public var options: Document?
  /// As listed, in their order; nil where the origin does not tell.
  public var indexes: [Document]?
  /// Documents; nil for views.
  public var count: Int64?
  /// Bytes of BSON, uncompressed.
  public var bytes: Int64?
  /// 32 hexadecimal digits, independent of order, the same as in a backup's manifest; nil for views.
  public var fingerprint: String?
  /// Bytes on disk, of documents and of indexes.
  public var storageSize: Int64?
  public var indexSize: Int64?

  public init(
    name: String, kind: String = "collection", options: Document? = nil,
    indexes: [Document]? = nil, count: Int64? = nil, bytes: Int64? = nil,
    fingerprint: String? = nil, storageSize: Int64? = nil, indexSize: Int64? = nil
  ) {
    self.name = name
    self.kind = kind
    self.options = options
    self.indexes = indexes
    self.count = count
    self.bytes = bytes
    self.fingerprint = fingerprint
    self.storageSize = storageSize
    self.indexSize = indexSize
  }
}

/// How often an index was used on a member since it last started.
public struct IndexUse: Sendable, Hashable {
  /// `host:port`.
  public var member: String
  public var collection: String
  public var index: String
  public var operations: Int64
  /// When counting began, milliseconds since 1970.
  public var since: Int64

  public init(
    member: String, collection: String, index: String, operations: Int64, since: Int64
  ) {
    self.member = member
    self.collection = collection
    self.index = index
    self.operations = operations
    self.since = since
  }
}

/// A named query as it ran.
public struct QuerySnapshot: Sendable, Hashable {
  public var name: String
  /// Stages from the outermost to the innermost.
  public var stages: [String]
  public var indexes: [String]
  public var documents: Int64
  public var runs: Int64
  /// Milliseconds.
  public var p50: Double
  public var p95: Double

  public init(
    name: String, stages: [String], indexes: [String], documents: Int64, runs: Int64, p50: Double,
    p95: Double
  ) {
    self.name = name
    self.stages = stages
    self.indexes = indexes
    self.documents = documents
    self.runs = runs
    self.p50 = p50
    self.p95 = p95
  }

  init(
    name: String, plan: QueryPlan, documents: Int64, runs: Int64, p50: Double, p95: Double
  ) {
    self.init(
      name: name, stages: plan.stages, indexes: plan.indexes, documents: documents, runs: runs,
      p50: p50, p95: p95)
  }

  var plan: QueryPlan { QueryPlan(stages: stages, indexes: indexes) }
}
