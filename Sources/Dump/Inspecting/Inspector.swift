internal import BSON
import Fingerprint

/// Reads a dump from end to end, checks all that can be checked without a server, and reports.
public struct Inspector {
  /// Also look into every document: types, lengths, nesting, UTF-8. Slower by a few times.
  public var checksDocuments = false
  /// Called now and then with the bytes read so far, uncompressed.
  public var progress: (@Sendable (Int64) throws -> Void)?
  /// Called with each document's bytes and its data namespace.
  public var document: ((Namespace, UnsafeRawBufferPointer) throws -> Void)?

  public init() {}

  /// Reads whatever is at a path: an archive or one database's or server's folder.
  ///
  /// - Throws: ``DumpError`` `.damaged` with offset and namespace at the first damage.
  public func inspect(path: String) throws -> DumpReport {
    if FilePath.isDirectory(path) { return try inspect(DirectoryDump(path: path)) }
    do {
      let opened = try Input.open(try FileSource(path: path), path: path)
      return try inspect(opened)
    } catch var error as DumpError {
      if error.path == nil { error.path = path }
      throw error
    }
  }

  /// Reads an archive whose wrappers are taken off.
  ///
  /// - Throws: ``DumpError`` `.damaged`.
  public func inspect(_ input: Input.Opened) throws -> DumpReport {
    let reader = try ArchiveReader(input.source)
    var order = OrderCheck()
    while let event = try reader.next() {
      switch event {
      case .documents(let run):
        let stream = reader.streams[run.stream]
        order.saw(run.stream, stream)
        try check(run.bytes, at: run.offset, of: stream.namespace)
        try progress?(run.offset)
      case .ended(let index): order.ended(index, reader.streams[index])
      }
    }
    return try report(reader, input, order)
  }

  private func report(_ reader: ArchiveReader, _ input: Input.Opened, _ order: OrderCheck) throws
    -> DumpReport
  {
    let header = reader.prelude.header
    var findings = order.findings
    if order.mostOpen > Int(header.concurrentCollections) {
      findings.append(
        "\(order.mostOpen) collections are interleaved but the header says "
          + "\(header.concurrentCollections): mongorestore may hang")
    }
    if ServerVersionText.parse(header.serverVersion) == nil {
      findings.append("the server version '\(header.serverVersion)' is not a version")
    }
    let collections = try reader.streams.map { stream in
      DumpReport.Collection(
        namespace: stream.entry.namespace, dataNamespace: stream.namespace,
        metadata: try stream.metadata(), tally: stream.tally, crc: stream.crc.value)
    }
    return DumpReport(
      format: "archive", isCompressed: input.formats.contains(.gzip),
      serverVersion: header.serverVersion, toolVersion: header.toolVersion,
      concurrentCollections: header.concurrentCollections,
      collections: collections.sorted { $0.namespace < $1.namespace }, findings: findings)
  }

  /// Reads a folder's files.
  ///
  /// - Throws: ``DumpError`` `.damaged`.
  public func inspect(_ dump: DirectoryDump) throws -> DumpReport {
    var collections: [DumpReport.Collection] = []
    var isCompressed = false
    var done: Int64 = 0
    var items = dump.items
    if let oplog = dump.oplog {
      items.append(.init(namespace: .oplog, data: oplog, metadata: nil, size: 0))
    }
    for item in items {
      let metadata = try item.metadata.map { try DirectoryDump.metadata(at: $0) }
      var tally = CollectionTally()
      if item.data == nil, let metadata, !metadata.isView {
        // Even an empty collection has a file: a dump that was killed has none, or an unfinished one.
        throw DumpError(
          .damaged, "the collection has metadata but no documents' file",
          namespace: item.namespace.description, path: item.metadata,
          hint: "'martlet load --no-verify' makes such a collection, without documents")
      }
      if let path = item.data {
        let opened = try Input.open(try FileSource(path: path), path: path)
        if opened.formats.contains(.gzip) { isCompressed = true }
        tally = try read(opened.source, path, item.namespace, &done)
      }
      collections.append(
        DumpReport.Collection(
          namespace: item.namespace.logical, dataNamespace: item.namespace,
          metadata: metadata
            ?? CollectionMetadata(
              options: nil, indexes: [], uuid: nil, collectionName: nil, type: nil),
          tally: tally, crc: nil))
    }
    return DumpReport(
      format: "directory", isCompressed: isCompressed, serverVersion: dump.serverVersion,
      toolVersion: dump.toolVersion, concurrentCollections: nil, collections: collections,
      findings: dump.unknown.map { "the file \($0) is not part of a dump" })
  }

  private func read(
    _ source: any ByteSource, _ path: String, _ namespace: Namespace, _ done: inout Int64
  ) throws -> CollectionTally {
    var tally = CollectionTally()
    do {
      let reader = try DocumentFileReader(source, pool: ChunkPool(budget: 64 << 20))
      while let run = try reader.next() {
        RawDocuments.forEach(in: run.bytes) { tally.add(document: $0) }
        try check(run.bytes, at: run.offset, of: namespace)
        done += Int64(run.bytes.count)
        try progress?(done)
      }
    } catch var error as DumpError {
      error.path = path
      if error.namespace == nil { error.namespace = namespace.description }
      throw error
    }
    return tally
  }

  private func check(_ bytes: UnsafeRawBufferPointer, at offset: Int64, of namespace: Namespace)
    throws
  {
    guard checksDocuments || document != nil else { return }
    var offset = offset
    try RawDocuments.forEach(in: bytes) { raw in
      if checksDocuments {
        do { try DocumentView(raw).validate(strict: false) } catch {
          throw DumpError(
            .damaged, "a document is not BSON", namespace: namespace.description, offset: offset,
            cause: error)
        }
      }
      try document?(namespace, raw)
      offset += Int64(raw.count)
    }
  }
}

extension ArchiveReader.Stream {
  /// The parsed metadata.
  /// - Throws: ``DumpError`` `.damaged` with the namespace.
  public func metadata() throws(DumpError) -> CollectionMetadata {
    do throws(DumpError) { return try CollectionMetadata(text: entry.metadata) } catch {
      throw error.located(entry.namespace, 0)
    }
  }
}

/// What mongorestore's demultiplexer relies on. - Source: archive-format.md 1.8.
struct OrderCheck {
  private(set) var findings: [String] = []
  private(set) var mostOpen = 0
  private var open: Set<Int> = []
  private var sawRegular = false
  private var sawOplog = false

  mutating func saw(_ index: Int, _ stream: ArchiveReader.Stream) {
    guard open.insert(index).inserted else { return }
    mostOpen = max(mostOpen, open.count)
    note(stream)
  }

  mutating func ended(_ index: Int, _ stream: ArchiveReader.Stream) {
    if open.remove(index) == nil { note(stream) }
  }

  private mutating func note(_ stream: ArchiveReader.Stream) {
    let namespace = stream.namespace
    if namespace.isSpecial, sawRegular {
      findings.append("\(namespace) comes after ordinary collections")
    }
    if sawOplog { findings.append("\(namespace) comes after the oplog") }
    if namespace == .oplog { sawOplog = true } else if !namespace.isSpecial { sawRegular = true }
  }
}
