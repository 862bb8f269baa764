public import BSON
import Fingerprint

/// What a backup set holds, written last: a set without it does not exist.
public struct Manifest: Sendable, Hashable {
  /// Readers refuse a greater one.
  public static let version = 1
  static let name = "manifest.json"

  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// Everything that is configured.
    case full
    /// The data archive alone.
    case database
    /// Application files and streams of other services, without the data.
    case files
  }

  /// One file of the set.
  public struct File: Sendable, Hashable {
    public enum Role: String, Sendable, Hashable {
      case data, files, command
      /// Oplog entries that complete a safety backup up to the swap.
      case lateWrites
    }

    /// In the set's folder.
    public var name: String
    public var role: Role
    /// As stored.
    public var digest: FileDigest
    public var isEncrypted: Bool
    public var isCompressed: Bool
    /// The configured name of a command's stream.
    public var stream: String?
    /// Files and folders of an archive of files; nil otherwise.
    public var entries: Int64?

    public init(
      name: String, role: Role, digest: FileDigest, isEncrypted: Bool, isCompressed: Bool,
      stream: String? = nil, entries: Int64? = nil
    ) {
      self.name = name
      self.role = role
      self.digest = digest
      self.isEncrypted = isEncrypted
      self.isCompressed = isCompressed
      self.stream = stream
      self.entries = entries
    }
  }

  /// One collection, view or time-series.
  public struct Collection: Sendable, Hashable {
    public var namespace: String
    /// `collection`, `view`, `timeseries`; empty for users and roles.
    public var type: String
    public var count: Int64
    /// Of BSON, uncompressed.
    public var bytes: Int64
    /// 32 hexadecimal digits, see `Fingerprint`; of the buckets for a time-series.
    public var fingerprint: String
    public var indexes: [Document]
    /// Of the collection itself, when it is clustered or a time-series.
    public var expireAfterSeconds: Int64?

    public init(
      namespace: String, type: String, count: Int64, bytes: Int64, fingerprint: String,
      indexes: [Document], expireAfterSeconds: Int64? = nil
    ) {
      self.namespace = namespace
      self.type = type
      self.count = count
      self.bytes = bytes
      self.fingerprint = fingerprint
      self.indexes = indexes
      self.expireAfterSeconds = expireAfterSeconds
    }
  }

  /// The server that was backed up.
  public struct Server: Sendable, Hashable {
    public var version = ""
    /// `standalone`, `replicaSet`, `sharded`.
    public var topology = ""
    public var replicaSet: String?
    /// Hexadecimal ObjectID; an oplog chain belongs to one.
    public var replicaSetID: String?
    public init() {}
  }

  /// How consistent the data is.
  public struct Consistency: Sendable, Hashable {
    /// `snapshot`, `oplog` or `none`.
    public var mode = "none"
    /// The cluster time of a snapshot.
    public var time: Timestamp?
    /// Entries that make an oplog mode whole, both inclusive. Of a snapshot, the first entry of a
    /// transaction that had begun and that it does not show; nil without one.
    public var oplogStart: Timestamp?
    public var oplogEnd: Timestamp?
    public init() {}

    /// The moment that restoring the set alone gives; nil when there is no single one.
    public var moment: Timestamp? { time ?? oplogEnd }
    /// What counts and fingerprints of the manifest are of: the moment, the documents as they are in the
    /// archive before its oplog, or the documents as they were read one after the other.
    public var fingerprintsOf: String {
      switch mode {
      case "snapshot": "moment"
      case "oplog": "archive before its oplog"
      default: "archive"
      }
    }
    /// Where recovery to a later time has to begin to replay.
    public var replayStart: Timestamp? { oplogStart ?? time }
    /// Whether the entry of that time is needed too.
    var includesReplayStart: Bool { oplogStart != nil }
  }

  public var id: String
  public var kind: Kind
  public var tags: [String] = []
  /// Seconds since 1970.
  public var started: Int64
  public var finished: Int64
  public var durationMilliseconds: Int64 = 0
  public var host = ""
  public var tool = ""
  /// The one database; nil is the whole server.
  public var database: String?
  public var server: Server?
  public var consistency: Consistency?
  public var collections: [Collection] = []
  public var files: [File] = []
  /// Names of the migrations that were applied.
  public var migrations: [String] = []
  public var notices: [String] = []
  /// What it was taken before: a restore, a migration.
  public var safetyFor: String?

  public init(id: String, kind: Kind, started: Int64, finished: Int64) {
    self.id = id
    self.kind = kind
    self.started = started
    self.finished = finished
  }

  /// The data archive, when there is one.
  public var data: File? { files.first { $0.role == .data } }
  /// Documents of everything but the oplog.
  public var documents: Int64 { collections.reduce(0) { $0 + $1.count } }
  /// Bytes of BSON, uncompressed.
  public var dataBytes: Int64 { collections.reduce(0) { $0 + $1.bytes } }
  /// Bytes in the store.
  public var storedBytes: Int64 { files.reduce(0) { $0 + $1.digest.size } }
}

extension Manifest {
  /// Without the checksum.
  public var document: Document {
    var out: Document = [
      "format": "martlet-backup", "version": .integer(Self.version), "id": .string(id),
      "kind": .string(kind.rawValue), "tags": .array(tags.map { .string($0) }),
      "started": .string(Moment.iso(started)), "finished": .string(Moment.iso(finished)),
      "durationMs": .integer(durationMilliseconds), "host": .string(host), "tool": .string(tool),
    ]
    if let database { out.append("database", .string(database)) }
    if let safetyFor { out.append("safetyFor", .string(safetyFor)) }
    if let server { out.append("server", .document(server.document)) }
    if let consistency { out.append("consistency", .document(consistency.document)) }
    out.append("documents", .integer(documents))
    out.append("bytes", .integer(dataBytes))
    out.append("storedBytes", .integer(storedBytes))
    out.append("migrations", .array(migrations.map { .string($0) }))
    out.append("notices", .array(notices.map { .string($0) }))
    out.append("files", .array(files.map { .document($0.document) }))
    out.append("collections", .array(collections.map { .document($0.document) }))
    return out
  }

  static let newerHint = "use the version of martlet that made the backup, or a newer one"

  /// - Throws: ``BackupError`` `.damaged`, or `.unsupported` for a newer version.
  init(_ document: Document, path: String) throws(BackupError) {
    let reader = ManifestReader(document: document, path: path)
    guard document["format"]?.stringValue == "martlet-backup" else {
      throw reader.damaged("format")
    }
    let version = try reader.integer("version")
    guard version <= Self.version else {
      throw BackupError(
        .unsupported,
        "the manifest has version \(version), this program reads up to \(Self.version)",
        path: path, hint: Self.newerHint)
    }
    guard let kind = Kind(rawValue: try reader.string("kind")) else { throw reader.damaged("kind") }
    self.init(
      id: try reader.string("id"), kind: kind, started: try reader.time("started"),
      finished: try reader.time("finished"))
    tags = try reader.strings("tags")
    durationMilliseconds = try reader.integer("durationMs")
    host = try reader.string("host")
    tool = try reader.string("tool")
    database = document["database"]?.stringValue
    safetyFor = document["safetyFor"]?.stringValue
    migrations = try reader.strings("migrations")
    notices = try reader.strings("notices")
    if let part = reader.part("server") { server = try Server(part) }
    if let part = reader.part("consistency") { consistency = try Consistency(part) }
    for part in try reader.parts("files") { files.append(try File(part)) }
    for part in try reader.parts("collections") { collections.append(try Collection(part)) }
  }
}

extension Manifest.File {
  fileprivate var document: Document {
    var out: Document = [
      "name": .string(name), "role": .string(role.rawValue), "size": .integer(digest.size),
      "sha256": .string(digest.sha256), "encrypted": .bool(isEncrypted),
      "compressed": .bool(isCompressed),
    ]
    if let stream { out.append("stream", .string(stream)) }
    if let entries { out.append("entries", .integer(entries)) }
    return out
  }

  fileprivate init(_ reader: ManifestReader) throws(BackupError) {
    guard let role = Role(rawValue: try reader.string("role")) else { throw reader.damaged("role") }
    self.init(
      name: try reader.string("name"), role: role,
      digest: FileDigest(size: try reader.integer("size"), sha256: try reader.string("sha256")),
      isEncrypted: reader.document["encrypted"]?.boolValue ?? false,
      isCompressed: reader.document["compressed"]?.boolValue ?? false,
      stream: reader.document["stream"]?.stringValue,
      entries: reader.document["entries"]?.integerValue)
    try StoreName.check(name)
  }
}

extension Manifest.Collection {
  fileprivate var document: Document {
    var out: Document = [
      "namespace": .string(namespace), "type": .string(type), "count": .integer(count),
      "bytes": .integer(bytes), "fingerprint": .string(fingerprint),
      "indexes": .array(indexes.map { .document($0) }),
    ]
    if let expireAfterSeconds { out.append("expireAfterSeconds", .integer(expireAfterSeconds)) }
    return out
  }

  fileprivate init(_ reader: ManifestReader) throws(BackupError) {
    self.init(
      namespace: try reader.string("namespace"), type: try reader.string("type"),
      count: try reader.integer("count"), bytes: try reader.integer("bytes"),
      fingerprint: try reader.string("fingerprint"),
      indexes: try reader.parts("indexes").map(\.document),
      expireAfterSeconds: reader.document["expireAfterSeconds"]?.integerValue)
  }
}

extension Manifest.Server {
  fileprivate var document: Document {
    var out: Document = ["version": .string(version), "topology": .string(topology)]
    if let replicaSet { out.append("replicaSet", .string(replicaSet)) }
    if let replicaSetID { out.append("replicaSetId", .string(replicaSetID)) }
    return out
  }

  fileprivate init(_ reader: ManifestReader) throws(BackupError) {
    version = try reader.string("version")
    topology = try reader.string("topology")
    replicaSet = reader.document["replicaSet"]?.stringValue
    replicaSetID = reader.document["replicaSetId"]?.stringValue
  }
}

extension Manifest.Consistency {
  fileprivate var document: Document {
    var out: Document = ["mode": .string(mode)]
    for (name, value) in [("time", time), ("oplogStart", oplogStart), ("oplogEnd", oplogEnd)] {
      if let value { out.append(name, .string(OplogTime.text(value))) }
    }
    out.append("fingerprints", .string(fingerprintsOf))
    if let moment { out.append("moment", .string(Moment.iso(Int64(moment.seconds)))) }
    return out
  }

  fileprivate init(_ reader: ManifestReader) throws(BackupError) {
    mode = try reader.string("mode")
    time = try reader.oplogTime("time")
    oplogStart = try reader.oplogTime("oplogStart")
    oplogEnd = try reader.oplogTime("oplogEnd")
  }
}

/// Takes members out of a JSON document of ours, or says what is wrong with it.
struct ManifestReader {
  let document: Document
  let path: String

  func damaged(_ name: String) -> BackupError {
    BackupError(.damaged, "'\(name)' is missing or of a wrong type", path: path)
  }

  func string(_ name: String) throws(BackupError) -> String {
    guard let value = document[name]?.stringValue else { throw damaged(name) }
    return value
  }

  func integer(_ name: String) throws(BackupError) -> Int64 {
    guard let value = document[name]?.integerValue else { throw damaged(name) }
    return value
  }

  func time(_ name: String) throws(BackupError) -> Int64 {
    guard let value = Moment.parse(iso: try string(name)) else { throw damaged(name) }
    return value
  }

  func oplogTime(_ name: String) throws(BackupError) -> Timestamp? {
    guard let text = document[name]?.stringValue else { return nil }
    guard let value = OplogTime.parse(text) else { throw damaged(name) }
    return value
  }

  func strings(_ name: String) throws(BackupError) -> [String] {
    guard let values = document[name]?.arrayValue else { throw damaged(name) }
    return values.compactMap(\.stringValue)
  }

  func part(_ name: String) -> ManifestReader? {
    document[name]?.documentValue.map { ManifestReader(document: $0, path: path) }
  }

  func parts(_ name: String) throws(BackupError) -> [ManifestReader] {
    guard let values = document[name]?.arrayValue else { throw damaged(name) }
    return values.compactMap { value in
      value.documentValue.map { ManifestReader(document: $0, path: path) }
    }
  }
}
