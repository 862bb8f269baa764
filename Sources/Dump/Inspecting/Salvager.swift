internal import BSON

/// Copies what is still whole of a damaged archive into a new, sound one.
public struct Salvager {
  /// What was kept and what was lost of one namespace.
  public struct Collection: Sendable {
    public let namespace: Namespace
    /// Documents that were kept.
    public var kept: Int64 = 0
    /// Documents that had their length but not their form, and were left out.
    public var dropped: Int64 = 0
    /// The archive has an end and a checksum for it.
    public var isComplete = false
    /// Complete, nothing skipped inside it, and the checksum is right: nothing is lost.
    public var isIntact = false
  }

  /// The outcome.
  public struct Report: Sendable {
    public var collections: [Collection] = []
    /// Stretches of the uncompressed archive that made no sense.
    public var skipped: [Range<Int64>] = []
    /// Why the reading stopped before the end, if it did.
    public var stopped: String?

    /// True when nothing at all is lost.
    public var isIntact: Bool {
      skipped.isEmpty && stopped == nil && collections.allSatisfy(\.isIntact)
    }
  }

  public init() {}

  /// Reads `source` (wrappers taken off) and writes an archive to `sink`.
  ///
  /// Damage inside a block costs the documents up to the next namespace header; a document is kept
  /// only when its structure is right. Without a readable prelude nothing can be salvaged.
  /// - Throws: ``DumpError`` `.damaged` for the prelude, or what the sink throws.
  public func salvage(_ source: any ByteSource, to sink: any ByteSink) throws(DumpError) -> Report {
    let pool = ChunkPool(budget: 128 << 20)
    let output = OrderedOutput(sink, compression: nil)
    let writer = ArchiveWriter(output)
    var run = try SalvageRun(source, pool: pool, writer: writer)
    try run.copy()
    try output.finish()
    return run.report
  }
}

/// One salvage under way.
private struct SalvageRun {
  var report = Salvager.Report()
  private var input: TokenInput
  private let pool: ChunkPool
  private let writer: ArchiveWriter
  private let prelude: ArchivePrelude
  private var index: [Namespace: Int] = [:]
  private var crcs: [CRC64] = []
  private var suspect: Set<Int> = []
  private var current: Int?

  init(_ source: any ByteSource, pool: ChunkPool, writer: ArchiveWriter) throws(DumpError) {
    self.pool = pool
    self.writer = writer
    input = try TokenInput(source, pool: pool)
    try input.expectMagic()
    guard let first = try input.document() else {
      throw DumpError(.damaged, "the archive has no header")
    }
    var entries: [ArchiveEntry] = []
    while let document = try input.document() { entries.append(try ArchiveEntry(document)) }
    prelude = ArchivePrelude(header: try ArchiveHeader(first), entries: entries)
    for entry in entries {
      let namespace = entry.dataNamespace(serverVersion: prelude.header.serverVersion)
      index[namespace] = report.collections.count
      report.collections.append(.init(namespace: namespace))
      crcs.append(CRC64())
    }
  }

  mutating func copy() throws(DumpError) {
    try writer.begin(prelude)
    var damageStart: Int64?
    while true {
      do throws(DumpError) {
        guard try step() else { break }
      } catch {
        guard error.code == .damaged else { throw error }
        if let current { suspect.insert(current) }
        // What follows can only be of the one collection that has not ended.
        if current != nil, report.collections.count(where: { !$0.isComplete }) == 1,
          input.consume(ifPresent: GzipSource.gap)
        {
          continue
        }
        current = nil
        damageStart = input.offset
        guard try input.skip(to: isHeader) else {
          report.skipped.append((damageStart ?? 0)..<input.offset)
          report.stopped = error.message
          break
        }
        report.skipped.append((damageStart ?? 0)..<input.offset)
      }
    }
    for (position, collection) in report.collections.enumerated() {
      if !collection.isComplete || suspect.contains(position) {
        report.collections[position].isIntact = false
      }
      try writer.end(collection.namespace)
    }
    try writer.finish()
  }

  private func isHeader(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let header = try? NamespaceHeader(bytes) else { return false }
    return index[header.namespace] != nil
  }

  /// One token; false at the end of the input.
  private mutating func step() throws(DumpError) -> Bool {
    if let stream = current {
      try copyBlock(stream)
      current = nil
      return true
    }
    guard try !input.isAtEnd() else { return false }
    guard case .document(let length) = try input.token() else {
      throw DumpError(.damaged, "a terminator stands where a namespace header belongs")
    }
    let header = try NamespaceHeader(input.current(length))
    guard let stream = index[header.namespace], !report.collections[stream].isComplete else {
      throw DumpError(.damaged, "a namespace header that does not belong there")
    }
    input.consume(length)
    guard header.isEnd else {
      current = stream
      return true
    }
    report.collections[stream].isComplete = true
    report.collections[stream].isIntact =
      header.crc == crcs[stream].value && report.collections[stream].dropped == 0
    if case .terminator = try input.token() { input.consume(4) }
    return true
  }

  private mutating func copyBlock(_ stream: Int) throws(DumpError) {
    while let (chunk, range, _) = try input.run() {
      let bytes = chunk.slice(range)
      crcs[stream].update(bytes)
      let kept = try pool.take(bytes.count)
      RawDocuments.forEach(in: bytes) { raw in
        if (try? DocumentView(raw).validate()) != nil {
          kept.append(raw)
          report.collections[stream].kept += 1
        } else {
          report.collections[stream].dropped += 1
        }
      }
      var crc = CRC64()
      crc.update(kept.bytes)
      try writer.write(kept, crc: crc, to: report.collections[stream].namespace)
    }
  }
}

extension TokenInput {
  /// Steps over these bytes when they are next.
  fileprivate mutating func consume(ifPresent bytes: [UInt8]) -> Bool {
    guard buffered >= bytes.count, current(bytes.count).elementsEqual(bytes) else { return false }
    consume(bytes.count)
    return true
  }

  /// Goes on to the next place where a document stands that `accepts` likes; false when there is none.
  mutating func skip(to accepts: (UnsafeRawBufferPointer) -> Bool) throws(DumpError) -> Bool {
    // At least one byte, or the same damage would be met again.
    consumeSkipping(1)
    while true {
      guard let start = try findHeader() else { return false }
      consumeSkipping(start)
      if case .document(let length)? = try? token(), length < 4096, accepts(current(length)) {
        return true
      }
      consumeSkipping(1)
    }
  }
}
