internal import BSON
import Fingerprint
public import MongoDB

/// Loads a dump into a server.
public struct Loader: Sendable {
  let pool: ClientPool
  let options: LoadOptions

  /// - Parameter pool: lends `insertThreads` + 2 clients at a time.
  public init(pool: ClientPool, options: LoadOptions) {
    self.pool = pool
    self.options = options
  }

  /// Loads everything that is selected. Blocks.
  ///
  /// What can be read twice is verified before the first write. Documents that the server refuses are
  /// counted and told, and do not end the load unless asked to.
  /// - Throws: ``DumpError``; or ``MongoError`` of the server.
  public func run(from source: LoadSource) throws -> LoadSummary {
    try options.check()
    let chunks = ChunkPool(budget: max(options.memory, 24 << 20), chunkSize: 2 << 20)
    switch source {
    case .archive(let path):
      let expected = try verify(path)
      let opened = try Input.open(try FileSource(path: path), path: path)
      return try archive(opened.source, chunks, expected)
    case .archiveStream(let stream):
      return try archive(try Input.open(stream).source, chunks, nil)
    case .directory(let path, let database):
      return try directory(try DirectoryDump(path: path, database: database), chunks)
    case .file(let path, let namespace):
      return try file(path, namespace, chunks)
    case .documents(let stream, let namespace):
      let item = (namespace, namespace, CollectionMetadata.none, String?.none)
      return try load([item], chunks, nil) { feed, items in
        let source = try Input.open(stream).source
        return try items.indices.map { try feed.documents(source, $0, path: nil) }
      }
    }
  }

  /// Reads the whole archive once. Returns its bytes of documents.
  private func verify(_ path: String) throws -> Int64? {
    guard options.verifiesFirst, try FileSource(path: path).isSeekable else { return nil }
    var inspector = Inspector()
    let cancellation = options.cancellation
    inspector.progress = { _ in try cancellation.check() }
    return try inspector.inspect(path: path).total.bytes
  }

  private func archive(_ source: any ByteSource, _ chunks: ChunkPool, _ expected: Int64?) throws
    -> LoadSummary
  {
    let reader = try ArchiveReader(source, pool: chunks)
    let entries = try reader.streams.map { stream in
      (stream.entry.namespace, stream.namespace, try stream.metadata(), String?.none)
    }
    return try load(entries, chunks, expected) { feed, _ in try feed.archive(reader) }
  }

  private func directory(_ dump: DirectoryDump, _ chunks: ChunkPool) throws -> LoadSummary {
    var expected: Int64?
    if options.verifiesFirst {
      var inspector = Inspector()
      let cancellation = options.cancellation
      inspector.progress = { _ in try cancellation.check() }
      expected = try inspector.inspect(dump).total.bytes
    }
    var entries = try dump.items.map { item in
      let metadata = try item.metadata.map { try DirectoryDump.metadata(at: $0) }
      return (item.namespace.logical, item.namespace, metadata ?? .none, item.data)
    }
    if let oplog = dump.oplog {
      entries.append((.oplog, .oplog, .none, Optional(oplog)))
    }
    return try load(entries, chunks, expected) { feed, _ in try feed.files() }
  }

  private func file(_ path: String, _ namespace: Namespace, _ chunks: ChunkPool) throws
    -> LoadSummary
  {
    var metadata = CollectionMetadata.none
    if let stem = FileKind(FilePath.name(of: path))?.stem {
      for suffix in [".metadata.json", ".metadata.json.gz"] {
        let beside = FilePath.join(FilePath.parent(of: path), stem + suffix)
        if FilePath.exists(beside) { metadata = try DirectoryDump.metadata(at: beside) }
      }
    }
    let entry = (namespace, namespace, metadata, Optional(path))
    return try load([entry], chunks, nil) { feed, _ in try feed.files() }
  }

  // MARK: - The load itself

  private typealias Entry = (
    source: Namespace, data: Namespace, metadata: CollectionMetadata, file: String?
  )

  /// Plans, makes the collections, feeds the documents, replays, builds the indexes, compares.
  private func load(
    _ entries: [Entry], _ chunks: ChunkPool, _ expected: Int64?,
    feed: (LoadFeed, [LoadItem]) throws -> LoadFeed.Tallies
  ) throws -> LoadSummary {
    let items = try LoadPlanner(options: options).plan(entries)
    let server = try pool.withClient { try $0.hello() }
    let run = LoadRun(
      pool: pool, options: options, items: items, server: server, chunks: chunks,
      expected: expected)
    try run.check()
    if options.dryRun { return run.dryRun() }
    try run.createCollections()
    let tallies = try run.insert(feed)
    // Before the replay, which may change or drop them.
    try run.createViews()
    if options.replaysOplog { try options.beforeReplay?(run.summary(tallies, 0)) }
    let replayed = try run.replay()
    try run.buildIndexes()
    try run.setExpiries()
    try run.mergeUsers()
    try run.checkIndexes()
    return run.summary(tallies, replayed)
  }
}

extension CollectionMetadata {
  /// Of users, roles, the oplog, and files that stand alone.
  static let none = CollectionMetadata(
    options: nil, indexes: [], uuid: nil, collectionName: nil, type: nil)
}
