internal import BSON

/// What a dump folder holds, found by its file names. - Source: archive-format.md 2.1.
public struct DirectoryDump: Sendable {
  /// One collection's files.
  public struct Item: Sendable, Hashable {
    /// As stored: buckets for a time-series.
    public var namespace: Namespace
    /// The documents; nil for a view.
    public var data: String?
    /// The metadata file; nil for users and roles of one database, and in old dumps.
    public var metadata: String?
    /// Bytes on disk.
    public var size: Int64
  }

  /// The folder.
  public let path: String
  /// Ordered by namespace.
  public private(set) var items: [Item] = []
  /// The oplog's file.
  public private(set) var oplog: String?
  /// From `prelude.json`; nil in old dumps.
  public private(set) var serverVersion: String?
  /// From `prelude.json`.
  public private(set) var toolVersion: String?
  /// Files that mean nothing to us.
  public private(set) var unknown: [String] = []

  /// Looks through a dump's root folder.
  ///
  /// - Parameter database: the folder is that of one database, which gets this name; nil when it is
  ///   the root of a dump.
  /// - Throws: ``DumpError`` `.file` or `.damaged`.
  public init(path: String, database: String? = nil) throws(DumpError) {
    self.path = path
    if let database, try Self.holdsCollections(path) {
      try scan(folder: path, database: database)
    } else {
      try scanRoot(only: database)
    }
    items.sort { $0.namespace < $1.namespace }
    try readPrelude()
  }

  private static func holdsCollections(_ path: String) throws(DumpError) -> Bool {
    try FilePath.list(path).contains { name in
      !FilePath.isDirectory(FilePath.join(path, name)) && !name.hasPrefix("oplog.bson")
        && FileKind(name).map { $0.isData || $0.isMetadata } == true
    }
  }

  private mutating func scanRoot(only database: String?) throws(DumpError) {
    for name in try FilePath.list(path) where !name.hasPrefix(".") {
      let full = FilePath.join(path, name)
      if FilePath.isDirectory(full) {
        if database == nil || database == name { try scan(folder: full, database: name) }
      } else if name == "oplog.bson" || name == "oplog.bson.gz" {
        oplog = full
      } else if !name.hasPrefix("prelude.json") {
        unknown.append(full)
      }
    }
  }

  private mutating func scan(folder: String, database: String) throws(DumpError) {
    var data: [String: String] = [:]
    var metadata: [String: String] = [:]
    for name in try FilePath.list(folder) where !name.hasPrefix(".") {
      let full = FilePath.join(folder, name)
      guard !FilePath.isDirectory(full), let kind = FileKind(name) else {
        if !name.hasPrefix("prelude.json") { unknown.append(full) }
        continue
      }
      if kind.isMetadata { metadata[kind.stem] = full } else { data[kind.stem] = full }
    }
    try pair(database, data, metadata)
  }

  /// Joins data and metadata; a time-series has its metadata under its own name.
  private mutating func pair(
    _ database: String, _ data: [String: String], _ metadata: [String: String]
  ) throws(DumpError) {
    var used: Set<String> = []
    for stem in data.keys.sorted() {
      guard let file = data[stem] else { continue }
      var described = metadata[stem] == nil ? nil : stem
      var stored = Namespace(database, try name(of: stem, metadata[stem]))
      if stored.isBuckets {
        let logical = FileNames.escape(stored.logical.collection)
        described = metadata[logical] == nil ? described : logical
      } else if described == nil, FileNames.isCut(stem) {
        stored = Namespace(database, try cutBuckets(stem, metadata, &described))
      }
      if let described { used.insert(described) }
      items.append(
        Item(
          namespace: stored, data: file, metadata: described.flatMap { metadata[$0] },
          size: FilePath.size(file) ?? 0))
    }
    for stem in metadata.keys.sorted() where !used.contains(stem) {
      let collection = try name(of: stem, metadata[stem])
      items.append(
        Item(
          namespace: Namespace(database, collection), data: nil, metadata: metadata[stem], size: 0))
    }
  }

  /// The buckets of a time-series with a long name: their own file name is cut, and only some
  /// metadata file tells the name.
  private func cutBuckets(
    _ stem: String, _ metadata: [String: String], _ described: inout String?
  ) throws(DumpError) -> String {
    for (other, file) in metadata {
      guard let known = try Self.metadata(at: file).collectionName else { continue }
      let buckets = Namespace.bucketPrefix + known
      if FileNames.escape(buckets) == stem {
        described = other
        return buckets
      }
    }
    return try FileNames.collection(of: stem, known: nil)
  }

  private func name(of stem: String, _ metadata: String?) throws(DumpError) -> String {
    guard FileNames.isCut(stem) else {
      return try FileNames.collection(of: stem, known: nil)
    }
    // Without metadata under the same name it may be a time-series' buckets: told later.
    guard let metadata else { return stem }
    let known = try Self.metadata(at: metadata).collectionName
    do throws(DumpError) { return try FileNames.collection(of: stem, known: known) } catch {
      var error = error
      error.path = metadata
      throw error
    }
  }

  /// Reads and parses a metadata file, compressed or not.
  /// - Throws: ``DumpError``.
  public static func metadata(at path: String) throws(DumpError) -> CollectionMetadata {
    do throws(DumpError) {
      return try CollectionMetadata(text: try text(at: path))
    } catch {
      var error = error
      if error.path == nil { error.path = path }
      throw error
    }
  }

  static func text(at path: String) throws(DumpError) -> String {
    let source = try Input.open(try FileSource(path: path), path: path).source
    let bytes = try FilePath.readAll(source, path: path, limit: 64 << 20)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw DumpError(.damaged, "a metadata file is not UTF-8", path: path)
    }
    return text
  }

  /// `prelude.json` stands in the folder, or in the one above when it is a database's.
  private mutating func readPrelude() throws(DumpError) {
    let subfolders = Set(items.map { FilePath.join(path, $0.namespace.database) }).sorted()
    for folder in [path, FilePath.parent(of: path)] + subfolders {
      for name in ["prelude.json", "prelude.json.gz"] {
        let file = FilePath.join(folder, name)
        guard FilePath.exists(file) else { continue }
        let document: Document
        do { document = try ExtendedJSON.parseDocument(try Self.text(at: file)) } catch {
          throw DumpError(.damaged, "the prelude is not JSON", path: file)
        }
        serverVersion = document["ServerVersion"]?.stringValue
        toolVersion = document["ToolVersion"]?.stringValue
        guard serverVersion != nil else {
          throw DumpError(.damaged, "the prelude has no ServerVersion", path: file)
        }
        return
      }
    }
  }
}

/// A dump file's name, taken apart.
struct FileKind {
  let stem: String
  let isMetadata: Bool
  var isData: Bool { !isMetadata }

  /// Nil for a name that is neither data nor metadata.
  init?(_ name: String) {
    var name = name[...]
    if name.hasSuffix(".gz") { name = name.dropLast(3) }
    if name.hasSuffix(".metadata.json") {
      stem = String(name.dropLast(14))
      isMetadata = true
    } else if name.hasSuffix(".bson") || name.hasSuffix(".bin") {
      stem = String(name[..<(name.lastIndex(of: ".") ?? name.endIndex)])
      isMetadata = false
    } else {
      return nil
    }
  }
}
