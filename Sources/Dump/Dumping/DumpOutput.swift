internal import BSON
internal import Glibc

/// Where a dump goes.
public enum DumpTarget: Sendable {
  /// An archive file; appears under its name when it is complete.
  case archive(path: String)
  /// An archive on a stream that is its owner's: standard output, a pipe to an encryptor.
  case archiveStream(any ByteSink)
  /// A folder, as `--out DIR`.
  case directory(path: String)
  /// The documents of one collection, one behind the other, without metadata.
  case documents(any ByteSink)
}

/// What the readers write to; called by several threads.
protocol DumpOutput: Sendable {
  /// Starts with what will come; `openAtOnce` namespaces are open at a time.
  func begin(_ header: ArchiveHeader, _ collections: [PlannedCollection]) throws
  /// Adds documents of a collection. `crc` is theirs alone.
  func write(_ chunk: Chunk, crc: CRC64, to collection: PlannedCollection) throws
  /// Ends a collection; gives back its checksum, 0 where there is none.
  func end(_ collection: PlannedCollection) throws -> UInt64
  /// Starts the oplog, which was not announced before; after every collection has ended.
  func beginOplog() throws -> PlannedCollection
  /// Makes the output durable and visible. Returns its size in bytes.
  func commit() throws -> Int64
}

extension PlannedCollection {
  /// The oplog as one more collection.
  static let oplog = PlannedCollection(
    namespace: .oplog, source: Namespace("local", "oplog.rs"), type: "", metadata: nil,
    target: .oplog)

  func entry() throws(DumpError) -> ArchiveEntry {
    ArchiveEntry(namespace: namespace, metadata: try metadataText, type: type)
  }
}

/// Writes one archive.
final class ArchiveOutput: DumpOutput {
  private struct Begun {
    var prelude: ArchivePrelude?
    /// Bytes of output that the prelude takes.
    var preludeLength: Int64 = 0
  }

  private let sink: any ByteSink
  private let file: OutputFile?
  private let output: OrderedOutput
  private let writer: ArchiveWriter
  private let compression: CompressionPool?
  let announcesOplog: Bool
  private let begun = Monitor(Begun())

  /// - Parameter announcesOplog: the oplog is in the prelude from the start. A file can have it put
  ///   in later, a stream cannot.
  init(
    sink: any ByteSink, compression: CompressionPool?, announcesOplog: Bool
  ) {
    self.sink = sink
    file = sink as? OutputFile
    if let file { AbandonedOutput.remove(beside: file.path) }
    self.compression = compression
    self.announcesOplog = announcesOplog
    output = OrderedOutput(sink, compression: compression)
    writer = ArchiveWriter(output)
  }

  func begin(_ header: ArchiveHeader, _ collections: [PlannedCollection]) throws {
    var entries = try collections.map { collection throws(DumpError) in try collection.entry() }
    if announcesOplog { entries.append(try PlannedCollection.oplog.entry()) }
    let prelude = ArchivePrelude(header: header, entries: entries)
    try writer.begin(prelude)
    // Written alone, so that it can be replaced.
    try writer.finish()
    let length = output.written
    begun.withLock { $0 = Begun(prelude: prelude, preludeLength: length) }
  }

  func write(_ chunk: Chunk, crc: CRC64, to collection: PlannedCollection) throws {
    try writer.write(chunk, crc: crc, to: collection.target)
  }

  func end(_ collection: PlannedCollection) throws -> UInt64 {
    try writer.end(collection.target)
  }

  func beginOplog() throws -> PlannedCollection {
    guard !announcesOplog else { return .oplog }
    guard let file, var prelude = begun.withLock({ $0.prelude }) else {
      throw DumpError(
        .inconsistent, "the oplog cannot be added to a stream that did not announce it")
    }
    try writer.finish()
    prelude.entries.append(try PlannedCollection.oplog.entry())
    let small = MemorySink()
    let replacement = OrderedOutput(small, compression: compression)
    let writer = ArchiveWriter(replacement)
    try writer.begin(prelude)
    try writer.finish()
    try file.replaceStart(begun.withLock { $0.preludeLength }, with: small.bytes)
    return .oplog
  }

  func commit() throws -> Int64 {
    try writer.finish()
    try file?.commit()
    return output.written
  }
}

/// Writes a folder: beside its name first, in place when complete.
final class DirectoryOutput: DumpOutput {
  private struct Open {
    let output: OrderedOutput
    let file: OutputFile
    /// Of the thousands of small collections, most never need a whole chunk.
  }

  private struct State {
    var open: [Namespace: Open] = [:]
    var written: Int64 = 0
    var header: ArchiveHeader?
    var committed = false
    var databases: Set<String> = []
  }

  private let path: String
  private let temporary: String
  /// Open while the folder is ours.
  private let lock: Int32
  private let compression: CompressionPool?
  private let level: Int?
  private let single: String?
  private let state = Monitor(State())

  /// - Parameter database: the one that is dumped; its folder then has the prelude.
  init(path: String, compression: CompressionPool?, level: Int?, database: String?)
    throws(DumpError)
  {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    self.path = path
    self.compression = compression
    self.level = level
    single = database
    temporary = FilePath.sibling(of: path, "partial")
    AbandonedOutput.remove(beside: path)
    FilePath.remove(tree: temporary)
    try FilePath.create(directory: temporary)
    lock = AbandonedOutput.hold(directory: temporary)
  }

  deinit {
    close(lock)
    if !state.withLock({ $0.committed }) { FilePath.remove(tree: temporary) }
  }

  private var suffix: String { compression == nil ? "" : ".gz" }

  func begin(_ header: ArchiveHeader, _ collections: [PlannedCollection]) throws {
    state.withLock { $0.header = header }
    for database in Set(collections.map(\.target.database)) {
      try FilePath.create(directory: FilePath.join(temporary, database))
    }
    for collection in collections where collection.metadata != nil {
      let name = FileNames.escape(collection.namespace.collection) + ".metadata.json" + suffix
      try writeSmall(
        Array(try collection.metadataText.utf8),
        FilePath.join(FilePath.join(temporary, collection.target.database), name))
    }
    for collection in collections where collection.isView == false {
      // Empty collections too have a file; it is made when their turn comes.
      state.withLock { _ = $0.databases.insert(collection.target.database) }
    }
  }

  func write(_ chunk: Chunk, crc: CRC64, to collection: PlannedCollection) throws {
    let output = try open(collection).output
    state.withLock { _ in output.enqueue(chunk) }
    try output.drain()
  }

  func end(_ collection: PlannedCollection) throws -> UInt64 {
    guard !collection.isView else { return 0 }
    let open = try open(collection)
    try open.output.finish()
    if compression != nil, open.output.written == 0 {
      try write([], to: open.file)
    }
    try open.file.commit()
    state.withLock { state in
      state.open[collection.target] = nil
      state.written += open.output.written
    }
    return 0
  }

  func beginOplog() throws -> PlannedCollection { .oplog }

  func commit() throws -> Int64 {
    let header = state.withLock { $0.header }
    let prelude: Document = [
      "ServerVersion": .string(header?.serverVersion ?? "unknown"),
      "ToolVersion": .string(header?.toolVersion ?? ""),
    ]
    var folder = temporary
    if let single, FilePath.isDirectory(FilePath.join(temporary, single)) {
      folder = FilePath.join(temporary, single)
    }
    try writeSmall(
      Array(prelude.extendedJSON(.canonical).utf8),
      FilePath.join(folder, "prelude.json" + suffix))
    try move(temporary, to: path)
    state.withLock { $0.committed = true }
    try FilePath.synchronize(directory: FilePath.parent(of: path))
    return state.withLock { $0.written }
  }

  /// Renames the whole folder, or its files one by one into a folder that is there already: what
  /// mongodump would have overwritten is replaced, the rest stays.
  private func move(_ from: String, to: String) throws(DumpError) {
    if FilePath.isDirectory(from), FilePath.isDirectory(to) {
      // The prelude last: it says that the dump is whole.
      let names = try FilePath.list(from).sorted {
        ($0.hasPrefix("prelude") ? 1 : 0, $0) < ($1.hasPrefix("prelude") ? 1 : 0, $1)
      }
      for name in names { try move(FilePath.join(from, name), to: FilePath.join(to, name)) }
      rmdir(from)
      try FilePath.synchronize(directory: to)
    } else {
      try FilePath.create(directory: FilePath.parent(of: to))
      guard rename(from, to) == 0 else { throw DumpError.system("rename", to) }
    }
  }

  private func open(_ collection: PlannedCollection) throws(DumpError) -> Open {
    if let open = state.withLock({ $0.open[collection.target] }) { return open }
    let result: Result<Open, DumpError> = state.withLock { state in
      if let open = state.open[collection.target] { return .success(open) }
      do throws(DumpError) {
        let file = try OutputFile(path: filePath(of: collection))
        let open = Open(output: OrderedOutput(file, compression: compression), file: file)
        state.open[collection.target] = open
        return .success(open)
      } catch { return .failure(error) }
    }
    return try result.get()
  }

  private func filePath(of collection: PlannedCollection) -> String {
    // The oplog keeps its name although its content is gzip.
    if collection.target == .oplog { return FilePath.join(temporary, "oplog.bson") }
    let target = collection.target
    let stem =
      target.collection.hasPrefix("$")
      ? target.collection : FileNames.escape(target.collection)
    return FilePath.join(FilePath.join(temporary, target.database), stem + ".bson" + suffix)
  }

  private func writeSmall(_ bytes: [UInt8], _ path: String) throws(DumpError) {
    let file = try OutputFile(path: path)
    try write(bytes, to: file)
    try file.commit()
  }

  private func write(_ bytes: [UInt8], to file: OutputFile) throws(DumpError) {
    var bytes = bytes
    if let level { bytes = try GzipMember.make(bytes, level: level) }
    try file.write(array: bytes)
  }
}

/// Writes one collection's documents and nothing else.
final class DocumentsOutput: DumpOutput {
  private let output: OrderedOutput

  init(sink: any ByteSink) { output = OrderedOutput(sink, compression: nil) }

  func begin(_ header: ArchiveHeader, _ collections: [PlannedCollection]) throws {}
  func write(_ chunk: Chunk, crc: CRC64, to collection: PlannedCollection) throws {
    output.enqueue(chunk)
    try output.drain()
  }
  func end(_ collection: PlannedCollection) throws -> UInt64 { 0 }
  func beginOplog() throws -> PlannedCollection {
    throw DumpError(.inconsistent, "plain documents have no place for an oplog")
  }
  func commit() throws -> Int64 {
    try output.finish()
    return output.written
  }
}
