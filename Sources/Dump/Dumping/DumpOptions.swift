public import BSON
public import Fingerprint
public import MongoDB

/// How consistent a dump is asked to be. - Source: consistency.md.
public enum ConsistencyChoice: Sendable, Hashable {
  /// A snapshot where the server can give one, otherwise none: what `martlet dump` does by itself.
  case automatic
  /// A snapshot, else the oplog, else none: what backups do.
  case best
  /// Everything at one cluster time, or an error.
  case snapshot
  /// Fuzzy data and the oplog of the time it took, as `mongodump --oplog`.
  case oplog
  /// Each collection as it is when its turn comes.
  case none
}

/// How consistent a dump became.
public enum ConsistencyMode: String, Sendable, Hashable {
  case snapshot, oplog, none
}

/// What to dump and how.
public struct DumpOptions: Sendable {
  /// One database, or all.
  public var database: String?
  /// One collection of it.
  public var collection: String?
  /// Only the documents that match; needs a collection.
  public var query: Document?
  /// Collections of the database that are left out.
  public var excludedCollections: [String] = []
  /// Beginnings of names that are left out.
  public var excludedPrefixes: [String] = []
  /// Names with these beginnings are left out in every database: what a caller has there for a moment.
  public var temporaryPrefixes: [String] = []
  /// With a database: its users and roles too.
  public var includesUsersAndRoles = false
  /// Dump what views show, and no collections.
  public var viewsAsCollections = false
  /// How consistent.
  public var consistency = ConsistencyChoice.automatic
  /// Collections, or ranges of one, that are read at a time.
  public var parallel = 4
  /// 1 (fast) to 9; nil writes plain bytes.
  public var compressionLevel: Int?
  /// Threads that compress.
  public var compressionThreads = 2
  /// Where reads go.
  public var readPreference = ReadPreference.primary
  /// Bytes of documents that wait to be written.
  public var memory = 5 << 20
  /// Documents of one range of a collection that is cut, in bytes.
  public var rangeSize: Int64 = 32 << 20
  /// In the archive's header.
  public var toolVersion = "100.9.0-martlet"
  /// Stops the dump when cancelled.
  public var cancellation = Cancellation()
  /// Told of every batch; called by many threads.
  public var progress: (@Sendable (DumpProgress) -> Void)?
  /// Told of what the operator should know: the mode, a change of it, what is left out.
  public var notice: (@Sendable (String) -> Void)?

  public init() {}

  /// Refuses combinations that mongodump refuses.
  /// - Throws: ``DumpError`` `.usage`.
  public func check() throws(DumpError) {
    if collection != nil, database == nil {
      throw DumpError(.usage, "a collection needs a database")
    }
    if query != nil, collection == nil { throw DumpError(.usage, "a query needs a collection") }
    if includesUsersAndRoles, database == nil || collection != nil {
      throw DumpError(.usage, "users and roles are dumped with a database and without a collection")
    }
    if collection?.hasPrefix(Namespace.bucketPrefix) == true {
      throw DumpError(
        .usage, "buckets cannot be dumped by their name", hint: "name the time-series collection")
    }
    if !excludedCollections.isEmpty || !excludedPrefixes.isEmpty {
      guard database != nil, collection == nil else {
        throw DumpError(.usage, "collections are left out of a database, not of a collection")
      }
    }
    guard parallel >= 1 else {
      throw DumpError(.usage, "at least one collection must be read at a time")
    }
  }
}

/// How far a dump is.
public struct DumpProgress: Sendable {
  /// Documents and bytes read so far.
  public var documents: Int64
  public var bytes: Int64
  /// What the server's statistics say there is; not exact.
  public var expectedBytes: Int64
  /// The collection that moved.
  public var namespace: Namespace
}

/// What was dumped.
public struct DumpSummary: Sendable {
  /// One collection, view or time-series.
  public struct Collection: Sendable {
    public var namespace: Namespace
    public var type: String
    /// Nil for users, roles and the oplog.
    public var metadata: CollectionMetadata?
    /// Documents, bytes, fingerprint.
    public var tally: CollectionTally
    /// The archive's checksum; 0 in folders.
    public var crc: UInt64
  }

  public var mode = ConsistencyMode.none
  /// The cluster time of a snapshot.
  public var clusterTime: Timestamp?
  /// The first and last entry that an oplog mode needs, both inclusive.
  public var oplogStart: Timestamp?
  public var oplogEnd: Timestamp?
  /// The first entry, inclusive, that a replay of what happened later needs: of a snapshot that of the oldest
  /// transaction that had begun and that it does not show, nil without one.
  public var replayStart: Timestamp?
  public var serverVersion = ""
  public var toolVersion = ""
  public var collections: [Collection] = []
  /// Bytes of output.
  public var written: Int64 = 0
  /// What the operator should know.
  public var notices: [String] = []

  public init() {}

  /// Documents and bytes of everything but the oplog.
  public var total: CollectionTally {
    collections.filter { $0.namespace != .oplog }.reduce(into: CollectionTally()) {
      $0.add($1.tally)
    }
  }

  /// The summary as `--summary` writes it.
  public var document: Document {
    var out: Document = [
      "format": "martlet-dump-summary/1", "consistency": .string(mode.rawValue),
      "serverVersion": .string(serverVersion), "toolVersion": .string(toolVersion),
    ]
    if let clusterTime { out.append("clusterTime", .timestamp(clusterTime)) }
    if let oplogStart { out.append("oplogStart", .timestamp(oplogStart)) }
    if let oplogEnd { out.append("oplogEnd", .timestamp(oplogEnd)) }
    out.append("documents", .integer(total.count))
    out.append("bytes", .integer(total.bytes))
    out.append("written", .integer(written))
    out.append(
      "collections",
      .array(
        collections.map { collection in
          [
            "namespace": .string(collection.namespace.description),
            "type": .string(collection.type), "count": .integer(collection.tally.count),
            "bytes": .integer(collection.tally.bytes),
            "fingerprint": .string(collection.tally.fingerprint.description),
            "indexes": .integer(collection.metadata?.indexes.count ?? 0),
          ]
        }))
    out.append("notices", .array(notices.map { .string($0) }))
    return out
  }
}
