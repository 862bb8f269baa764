internal import BSON
public import Fingerprint
internal import MongoDB

/// Reads an archive piece by piece; what it hands out stays valid as long as it is held.
///
/// A pull state machine over bounded buffers: it waits only for its source, allocates by a length
/// only after checking it, and ends every input with an event, the end, or a ``DumpError``.
/// Checksums are compared as each namespace ends. - Source: archive-format.md 1.
public final class ArchiveReader {
  /// One namespace that the prelude announces.
  public struct Stream: Sendable {
    /// Where in the archive a namespace stands.
    public enum Progress: Sendable { case waiting, open, ended }

    /// What the prelude says of it.
    public let entry: ArchiveEntry
    /// The name in the blocks: buckets for a time-series.
    public let namespace: Namespace
    public internal(set) var progress = Progress.waiting
    /// Count, bytes and fingerprint so far.
    public internal(set) var tally = CollectionTally()
    /// Checksum so far.
    public internal(set) var crc = CRC64()
  }

  /// Contiguous whole documents of one namespace.
  public struct Run: @unchecked Sendable {
    /// Index into ``ArchiveReader/streams``.
    public let stream: Int
    /// Documents.
    public let count: Int
    /// Bytes from the start of the archive.
    public let offset: Int64
    let chunk: Chunk
    let range: Range<Int>

    init(stream: Int, count: Int, offset: Int64, chunk: Chunk, range: Range<Int>) {
      self.stream = stream
      self.count = count
      self.offset = offset
      self.chunk = chunk
      self.range = range
    }

    /// The documents, one behind the other; valid as long as the run is held.
    public var bytes: UnsafeRawBufferPointer { chunk.slice(range) }

    /// Calls `body` with each document's bytes.
    public func forEach(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
      try RawDocuments.forEach(in: bytes, body)
    }
  }

  /// What comes next in the archive.
  public enum Event: Sendable {
    /// Documents of a namespace.
    case documents(Run)
    /// A namespace has ended and its checksum is right.
    case ended(stream: Int)
  }

  /// What stands before the data.
  public let prelude: ArchivePrelude
  /// The namespaces, in the order of the prelude.
  public private(set) var streams: [Stream]
  /// Bytes from the start of the archive that are dealt with.
  public var offset: Int64 { input.offset }

  private enum State {
    case between
    case inside(Int)
    case finished
  }
  private var state = State.between
  private var input: TokenInput
  private var indices: [Namespace: Int]
  private let tallies: Bool

  /// Reads the prelude.
  ///
  /// - Parameters:
  ///   - chunkSize: bytes of each buffer; a run is never larger, unless one document is.
  ///   - budget: bytes of all buffers together that consumers may hold on to.
  ///   - tallies: also count and fingerprint the documents.
  /// - Throws: ``DumpError`` `.damaged` or what the source throws.
  public convenience init(
    _ source: any ByteSource, chunkSize: Int = 1 << 20, budget: Int = 64 << 20,
    tallies: Bool = true
  ) throws(DumpError) {
    try self.init(
      source, pool: ChunkPool(budget: budget, chunkSize: chunkSize), tallies: tallies)
  }

  init(_ source: any ByteSource, pool: ChunkPool, tallies: Bool = true) throws(DumpError) {
    input = try TokenInput(source, pool: pool)
    self.tallies = tallies
    prelude = try Self.readPrelude(&input)
    streams = []
    indices = [:]
    for entry in prelude.entries {
      let namespace = entry.dataNamespace(serverVersion: prelude.header.serverVersion)
      guard indices.updateValue(streams.count, forKey: namespace) == nil else {
        throw DumpError(
          .damaged, "the archive's prelude names a collection twice",
          namespace: namespace.description, offset: input.offset)
      }
      streams.append(Stream(entry: entry, namespace: namespace))
    }
  }

  /// The next event, or nil at the end of a complete archive. Blocks.
  /// - Throws: ``DumpError`` `.damaged` with offset and namespace; nothing more can be read then.
  public func next() throws(DumpError) -> Event? {
    do throws(DumpError) {
      while true {
        switch state {
        case .finished: return nil
        case .between:
          guard let event = try readHeader() else { continue }
          return event
        case .inside(let stream):
          guard let run = try readRun(stream) else { continue }
          return .documents(run)
        }
      }
    } catch {
      if case .inside(let stream) = state {
        state = .finished
        throw error.located(streams[stream].namespace, input.offset)
      }
      state = .finished
      throw error.located(nil, input.offset)
    }
  }

  // MARK: - Prelude

  private static func readPrelude(_ input: inout TokenInput) throws(DumpError) -> ArchivePrelude {
    do throws(DumpError) {
      try input.expectMagic()
      guard let first = try input.document() else {
        throw DumpError(.damaged, "the archive has no header")
      }
      let header = try ArchiveHeader(first)
      var entries: [ArchiveEntry] = []
      while let document = try input.document() {
        entries.append(try ArchiveEntry(document))
        guard entries.count <= ArchiveFormat.maximumEntries else {
          throw DumpError(.damaged, "the archive's prelude has no end")
        }
      }
      return ArchivePrelude(header: header, entries: entries)
    } catch { throw error.located(nil, input.offset) }
  }

  // MARK: - Blocks

  /// Nil when a block has been entered or the archive has ended.
  private func readHeader() throws(DumpError) -> Event? {
    guard try !input.isAtEnd() else {
      try requireComplete()
      state = .finished
      return nil
    }
    guard case .document(let length) = try input.token() else {
      throw DumpError(.damaged, "a terminator stands where a namespace header belongs")
    }
    let header = try NamespaceHeader(input.current(length))
    guard let stream = indices[header.namespace] else {
      throw DumpError(
        .damaged, "data of a collection that the archive's prelude does not name",
        namespace: header.namespace.description)
    }
    guard streams[stream].progress != .ended else {
      throw DumpError(
        .damaged, "a collection goes on after its end", namespace: header.namespace.description)
    }
    input.consume(length)
    guard header.isEnd else {
      streams[stream].progress = .open
      state = .inside(stream)
      return nil
    }
    try finish(stream, header)
    return .ended(stream: stream)
  }

  private func finish(_ stream: Int, _ header: NamespaceHeader) throws(DumpError) {
    let name = header.namespace.description
    guard case .terminator = try input.token() else {
      throw DumpError(.damaged, "documents follow the end of a collection", namespace: name)
    }
    guard header.crc == streams[stream].crc.value else {
      throw DumpError(
        .damaged, "a collection's checksum differs: its documents were altered", namespace: name,
        hint: "martlet inspect --salvage OUT FILE copies what is still whole")
    }
    input.consume(4)
    streams[stream].progress = .ended
  }

  /// As many documents as are in the buffer; nil when the block has ended.
  private func readRun(_ stream: Int) throws(DumpError) -> Run? {
    let offset = input.offset
    guard let (chunk, range, count) = try input.run() else {
      state = .between
      return nil
    }
    let run = Run(stream: stream, count: count, offset: offset, chunk: chunk, range: range)
    streams[stream].crc.update(run.bytes)
    if tallies {
      RawDocuments.forEach(in: run.bytes) { streams[stream].tally.add(document: $0) }
    }
    return run
  }

  private func requireComplete() throws(DumpError) {
    let missing = streams.filter { $0.progress != .ended }
    guard let first = missing.first else { return }
    let others = missing.count == 1 ? "" : " and \(missing.count - 1) more are not complete"
    throw DumpError(
      .damaged, "the archive ends too early: a collection is not complete" + others,
      namespace: first.namespace.description)
  }
}

/// Documents that lie one behind the other.
enum RawDocuments {
  /// Calls `body` with each; the lengths were checked before.
  @inline(__always)
  static func forEach(
    in bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    var at = 0
    while bytes.count - at >= 5 {
      let length = Int(
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
      guard length >= 5, length <= bytes.count - at else { return }
      try body(UnsafeRawBufferPointer(rebasing: bytes[at..<at + length]))
      at += length
    }
  }
}

extension RawDocuments {
  /// Calls `body` with each document of a server's batch.
  @inline(__always)
  static func forEach(
    in batch: RawBatch, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    try batch.forEach(body)
  }
}

extension DumpError {
  /// The same error with a place, where it has none yet.
  func located(_ namespace: Namespace?, _ offset: Int64) -> DumpError {
    var error = self
    if error.code == .damaged {
      if error.namespace == nil { error.namespace = namespace?.description }
      if error.offset == nil { error.offset = offset }
    }
    return error
  }
}
