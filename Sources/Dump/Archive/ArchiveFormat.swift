internal import BSON

/// The constants of the archive stream. - Source: archive-format.md 1.
enum ArchiveFormat {
  static let magic: [UInt8] = [0x6D, 0xE2, 0x99, 0x81]
  static let terminator: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF]
  static let version = "0.1"
  /// The server's limit for a document, and what it allows its own oplog entries on top.
  static let maximumDocument = (16 << 20) + (16 << 10)
  /// More than any server has collections; a prelude of more is a lie.
  static let maximumEntries = 10_000_000
}

/// The first document of an archive.
public struct ArchiveHeader: Sendable, Hashable {
  /// How many namespaces the writer may have open at a time.
  public var concurrentCollections: Int32
  /// Always `0.1`.
  public var version: String
  /// Of the server that was dumped.
  public var serverVersion: String
  /// Of the program that wrote the archive; free text.
  public var toolVersion: String

  public init(concurrentCollections: Int32, serverVersion: String, toolVersion: String) {
    self.concurrentCollections = concurrentCollections
    version = ArchiveFormat.version
    self.serverVersion = serverVersion
    self.toolVersion = toolVersion
  }

  init(_ document: Document) throws(DumpError) {
    guard let concurrent = document["concurrent_collections"]?.integerValue,
      let version = document["version"]?.stringValue,
      let server = document["server_version"]?.stringValue,
      let tool = document["tool_version"]?.stringValue
    else {
      throw DumpError(.damaged, "the archive's header lacks one of its four fields")
    }
    guard let concurrentCollections = Int32(exactly: concurrent), concurrentCollections >= 0 else {
      throw DumpError(.damaged, "the archive's header says a number of collections that cannot be")
    }
    self.concurrentCollections = concurrentCollections
    self.version = version
    serverVersion = server
    toolVersion = tool
  }

  var document: Document {
    [
      "concurrent_collections": .int32(concurrentCollections), "version": .string(version),
      "server_version": .string(serverVersion), "tool_version": .string(toolVersion),
    ]
  }
}

/// What a prelude says of one collection.
public struct ArchiveEntry: Sendable, Hashable {
  /// The name that users know: never `system.buckets.`.
  public var namespace: Namespace
  /// The text of `metadata.json`; empty when there is none.
  public var metadata: String
  /// `collection`, `view`, `timeseries`; empty for the oplog and for users; nil in old archives.
  public var type: String?
  /// Bytes, in practice 0.
  public var size: Int64 = 0

  public init(namespace: Namespace, metadata: String, type: String?) {
    self.namespace = namespace
    self.metadata = metadata
    self.type = type
  }

  init(_ document: Document) throws(DumpError) {
    guard let database = document["db"]?.stringValue,
      let collection = document["collection"]?.stringValue, !collection.isEmpty,
      let metadata = document["metadata"]?.stringValue
    else {
      throw DumpError(.damaged, "a collection's entry in the archive's prelude lacks a field")
    }
    namespace = Namespace(database, collection)
    self.metadata = metadata
    type = document["type"]?.stringValue
    size = document["size"]?.integerValue ?? 0
  }

  var document: Document {
    var document: Document = [
      "db": .string(namespace.database), "collection": .string(namespace.collection),
      "metadata": .string(metadata), "size": .integer(size),
    ]
    if let type { document.append("type", .string(type)) }
    return document
  }

  /// The namespace under which the data stands in the archive.
  ///
  /// Up to 8.2 a time-series is dumped as its buckets.
  public func dataNamespace(serverVersion: String) -> Namespace {
    guard type == "timeseries", !ServerVersionText.isAtLeast(serverVersion, 8, 3) else {
      return namespace
    }
    return namespace.buckets
  }
}

/// All that stands before the first block.
public struct ArchivePrelude: Sendable, Hashable {
  public var header: ArchiveHeader
  public var entries: [ArchiveEntry]

  public init(header: ArchiveHeader, entries: [ArchiveEntry]) {
    self.header = header
    self.entries = entries
  }

  /// The bytes, magic and terminator included; entries in the order of their names.
  var encoded: [UInt8] {
    var out = ArchiveFormat.magic + header.document.bytes
    for entry in entries.sorted(by: { $0.namespace < $1.namespace }) {
      out += entry.document.bytes
    }
    return out + ArchiveFormat.terminator
  }
}

/// The document before each run of documents, and the one that ends a namespace.
struct NamespaceHeader: Sendable, Hashable {
  var namespace: Namespace
  var isEnd: Bool
  var crc: UInt64

  var encoded: [UInt8] {
    let document: Document = [
      "db": .string(namespace.database), "collection": .string(namespace.collection),
      "EOF": .bool(isEnd), "CRC": .int64(Int64(bitPattern: crc)),
    ]
    return document.bytes
  }

  init(namespace: Namespace, isEnd: Bool, crc: UInt64) {
    self.namespace = namespace
    self.isEnd = isEnd
    self.crc = crc
  }

  /// Takes the four fields in any order; other fields or types are refused, as mongorestore does.
  init(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    var database: String?
    var collection: String?
    isEnd = false
    crc = 0
    do {
      var iterator = try DocumentView(bytes).makeIterator()
      while let element = try iterator.next() {
        switch (element.key, try element.value()) {
        case ("db", .string(let value)): database = value
        case ("collection", .string(let value)): collection = value
        case ("EOF", .bool(let value)) where element.valueBytes.allSatisfy { $0 <= 1 }:
          isEnd = value
        case ("CRC", .int64(let value)): crc = UInt64(bitPattern: value)
        default:
          throw DumpError(.damaged, "a namespace header has a field that does not belong there")
        }
      }
    } catch let error as DumpError { throw error } catch {
      throw DumpError(.damaged, "a namespace header is not BSON", cause: error)
    }
    guard isEnd || crc == 0 else {
      throw DumpError(
        .damaged, "a namespace header has a checksum before there is anything to check")
    }
    guard let database, let collection, !collection.isEmpty else {
      throw DumpError(.damaged, "a namespace header without a database or a collection")
    }
    namespace = Namespace(database, collection)
  }
}

/// Server versions as a dump's header holds them: `6.0.5`, `7.0.0-rc1`, `unknown`.
enum ServerVersionText {
  /// The first two numbers; nil when they are not there.
  static func parse(_ text: String) -> (major: Int, minor: Int)? {
    let core = text.prefix { $0 != "-" && $0 != "+" }
    let parts = core.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count >= 2, let major = Int(parts[0]), let minor = Int(parts[1]) else { return nil }
    return (major, minor)
  }

  static func isAtLeast(_ text: String, _ major: Int, _ minor: Int) -> Bool {
    guard let version = parse(text) else { return false }
    return (version.major, version.minor) >= (major, minor)
  }
}
