internal import BSON
import Fingerprint
public import MongoDB

/// Dumps a server, a database or a collection.
public struct Dumper: Sendable {
  private let pool: ClientPool
  private let options: DumpOptions

  /// - Parameter pool: lends `parallel` + 2 clients at a time.
  public init(pool: ClientPool, options: DumpOptions) {
    self.pool = pool
    self.options = options
  }

  /// Dumps to a target, which appears under its name only when all of it is there. Blocks.
  ///
  /// - Throws: ``DumpError``, or ``MongoError`` of the server.
  public func run(to target: DumpTarget) throws -> DumpSummary {
    try options.check()
    // Half of it is held by readers; the rest waits to be compressed and written.
    let chunks = ChunkPool(
      budget: max(options.memory, (options.parallel + 6) << 19), chunkSize: 512 << 10)
    let compression = try options.compressionLevel.map { level throws(DumpError) in
      try CompressionPool(level: level, threads: options.compressionThreads)
    }
    defer { compression?.close() }

    var basis = try pool.withClient { client in
      var planner = ConsistencyPlanner(
        client: client, options: options, spoolDirectory: spoolDirectory(target))
      return try planner.settle()
    }
    defer { basis.tail?.stop() }
    for notice in basis.notices { options.notice?(notice) }
    let output = try open(target, basis, chunks, compression)
    try output.begin(header(basis), basis.plan)

    let tallies = try DumpReaders(
      pool: pool, chunks: chunks, options: options, basis: basis, output: output
    ).run()
    var summary = try finish(&basis, output, chunks, tallies)
    summary.written = try output.commit()
    return summary
  }

  // MARK: - Output

  private func open(
    _ target: DumpTarget, _ basis: DumpBasis, _ chunks: ChunkPool, _ compression: CompressionPool?
  ) throws -> any DumpOutput {
    let usesOplog = basis.tail != nil && basis.point.level == .majority
    switch target {
    case .archive(let path):
      return ArchiveOutput(
        sink: try OutputFile(path: path), compression: compression,
        announcesOplog: usesOplog)
    case .archiveStream(let sink):
      return ArchiveOutput(
        sink: sink, compression: compression,
        announcesOplog: usesOplog || basis.point.mayChange)
    case .directory(let path):
      return try DirectoryOutput(
        path: path, compression: compression, level: options.compressionLevel,
        database: options.database)
    case .documents(let sink):
      guard options.collection != nil, compression == nil else {
        throw DumpError(.usage, "standard output takes one collection's plain documents")
      }
      return DocumentsOutput(sink: sink)
    }
  }

  private func header(_ basis: DumpBasis) -> ArchiveHeader {
    ArchiveHeader(
      concurrentCollections: Int32(clamping: options.parallel),
      serverVersion: basis.server.version.description, toolVersion: options.toolVersion)
  }

  /// Beside the output, where there is room for a dump.
  private func spoolDirectory(_ target: DumpTarget) -> String {
    switch target {
    case .archive(let path): return FilePath.parent(of: path)
    case .directory(let path):
      let parent = FilePath.parent(of: path)
      return FilePath.isDirectory(parent) ? parent : "."
    case .archiveStream, .documents:
      return FilePath.temporaryDirectory
    }
  }

  // MARK: - End

  private func finish(
    _ basis: inout DumpBasis, _ output: any DumpOutput, _ chunks: ChunkPool, _ read: ReadResult
  ) throws -> DumpSummary {
    var summary = DumpSummary()
    summary.serverVersion = basis.server.version.description
    summary.toolVersion = options.toolVersion
    summary.collections = basis.plan.enumerated().map { index, collection in
      DumpSummary.Collection(
        namespace: collection.namespace, type: collection.type, metadata: collection.metadata,
        tally: read.tallies[index], crc: read.crcs[index])
    }
    var notices = basis.notices
    if let tail = basis.tail, let spool = basis.spool {
      let end = try endingPoint(tail)
      switch basis.point.level {
      case .snapshot(let time):
        summary.mode = .snapshot
        summary.clusterTime = time
        summary.replayStart = tail.begun(by: time)
        notices += try laterChanges(basis, tail, time, end)
        tail.stop()
      case .majority, .local:
        summary.mode = .oplog
        summary.oplogStart = tail.start
        summary.replayStart = tail.start
        summary.oplogEnd = end
        if let reason = basis.point.reason {
          notices.append(
            "\(reason): the rest was read later, and the dump has the oplog instead; "
              + "load it with --oplogReplay")
        }
        try refuseUnreplayable(tail.events(after: tail.start, to: end), read.gone)
        tail.stop()
        summary.collections.append(try writeOplog(spool, end, output, chunks))
      }
      if summary.mode == .snapshot { try endAnnouncedOplog(output) }
    }
    for notice in notices where !basis.notices.contains(notice) { options.notice?(notice) }
    summary.notices = notices
    return summary
  }

  /// The majority point once everything has been read; blocks until the tail is there.
  private func endingPoint(_ tail: OplogTail) throws -> Timestamp {
    let end = try pool.withClient { client in try client.hello().majorityTime }
    let last = max(end ?? tail.start, tail.start)
    try tail.wait(for: last)
    return last
  }

  /// What happened after the snapshot. By UUID nothing can have been read wrongly; by name it can.
  private func laterChanges(
    _ basis: DumpBasis, _ tail: OplogTail, _ time: Timestamp, _ end: Timestamp
  ) throws -> [String] {
    let byName = Dictionary(
      basis.plan.map { ($0.source.description, $0) }, uniquingKeysWith: { a, _ in a })
    var notices: [String] = []
    for event in tail.events(after: time, to: end) {
      guard event.kind == .dropped || event.kind == .renamed,
        let collection = byName[event.namespace]
      else { continue }
      guard collection.uuid != nil else {
        throw DumpError(
          .inconsistent, "the collection was dropped or renamed while it was dumped",
          namespace: event.namespace, hint: "run the dump again")
      }
      let verb = event.kind == .dropped ? "dropped" : "renamed"
      notices.append(
        "\(event.namespace) was \(verb) after the snapshot; the dump has it as it was before")
    }
    return notices
  }

  private func refuseUnreplayable(_ events: [SchemaEvent], _ gone: [Namespace]) throws {
    let selector = CollectionSelector(options)
    for event in events {
      let isOurs =
        Namespace(event.namespace).map { selector.takesEntry($0) }
        ?? selector.takes(database: event.namespace)
      guard isOurs || event.kind == .unreplayable else { continue }
      if event.kind == .renamed || event.kind == .unreplayable {
        throw DumpError(
          .inconsistent,
          "'\(event.command)' happened during the dump, which no replay can follow",
          namespace: event.namespace, hint: "run the dump again")
      }
    }
    let dropped = Set(events.filter { $0.kind == .dropped }.map(\.namespace))
    for namespace in gone {
      guard dropped.contains(namespace.description) || dropped.contains(namespace.database) else {
        throw DumpError(
          .inconsistent, "the collection disappeared while it was dumped",
          namespace: namespace.description, hint: "run the dump again")
      }
    }
  }

  private func writeOplog(
    _ spool: OplogSpool, _ end: Timestamp, _ output: any DumpOutput, _ chunks: ChunkPool
  ) throws -> DumpSummary.Collection {
    let oplog = try output.beginOplog()
    var tally = CollectionTally()
    var chunk = try chunks.take()
    func submit() throws {
      var crc = CRC64()
      crc.update(chunk.bytes)
      try output.write(chunk, crc: crc, to: oplog)
    }
    try spool.forEach(upTo: end) { raw in
      if chunk.free.count < raw.count {
        try submit()
        chunk = try chunks.take(raw.count)
      }
      chunk.append(raw)
      tally.add(document: raw)
    }
    if chunk.count > 0 { try submit() }
    let crc = try output.end(oplog)
    return DumpSummary.Collection(
      namespace: .oplog, type: "", metadata: nil, tally: tally, crc: crc)
  }

  /// A stream whose prelude promised an oplog gets an empty one.
  private func endAnnouncedOplog(_ output: any DumpOutput) throws {
    if let archive = output as? ArchiveOutput, archive.announcesOplog {
      _ = try archive.end(.oplog)
    }
  }
}
