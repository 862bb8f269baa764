internal import BSON
import Glibc

/// A file without a name that holds oplog entries until they are needed.
final class OplogSpool: Sendable {
  private struct State {
    var buffer: [UInt8] = []
    var length: Int64 = 0
  }

  private static let bufferSize = 256 << 10

  private let descriptor: Int32
  private let state = Monitor(State())

  /// - Parameter directory: where there is room for it.
  /// - Throws: ``DumpError`` `.file`.
  init(directory: String) throws(DumpError) {
    var template = Array((directory + "/.martlet-oplog.XXXXXX").utf8CString)
    descriptor = mkstemp(&template)
    guard descriptor >= 0 else { throw DumpError.system("create", directory) }
    // Gone with the process, however that ends.
    unlink(template)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
  }

  deinit { close(descriptor) }

  /// Bytes of entries.
  var length: Int64 { state.withLock { $0.length + Int64($0.buffer.count) } }

  /// Adds an entry; they come in the order of their timestamps.
  func append(_ entry: Document) throws(DumpError) { try append(array: entry.bytes) }

  /// Adds whole entries, one behind the other.
  func append(array entries: [UInt8]) throws(DumpError) {
    let result: Result<Void, DumpError> = entries.withUnsafeBytes { raw in
      do throws(DumpError) { return .success(try append(contentsOf: raw)) } catch {
        return .failure(error)
      }
    }
    try result.get()
  }

  /// Adds whole entries, one behind the other. Of one thread.
  func append(contentsOf entries: UnsafeRawBufferPointer) throws(DumpError) {
    let full: [UInt8]? = state.withLock { state in
      let isFull = state.buffer.count + entries.count > Self.bufferSize
      let full = isFull ? state.buffer : []
      if isFull { state.buffer = [] }
      if entries.count < Self.bufferSize { state.buffer += entries }
      state.length += Int64(full.count + (entries.count < Self.bufferSize ? 0 : entries.count))
      return isFull ? full : nil
    }
    if let full { try write(full) }
    // Sixteen megabytes are not copied once more.
    if entries.count >= Self.bufferSize { try sink.write(entries) }
  }

  /// Calls `body` with each entry up to `end`, inclusive. Nothing may be appended meanwhile.
  func forEach(upTo end: Timestamp?, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    let rest = state.withLock { state in
      defer { state.buffer = [] }
      state.length += Int64(state.buffer.count)
      return state.buffer
    }
    try write(rest)
    guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw DumpError.system("rewind", "the spool") }
    let source = FileSource(descriptor: descriptor, path: "the oplog's spool")
    let reader = try DocumentFileReader(
      source, pool: ChunkPool(budget: 34 << 20, chunkSize: 256 << 10))
    while let run = try reader.next() {
      try RawDocuments.forEach(in: run.bytes) { raw in
        if let end {
          let time = try DocumentView(raw).first("ts")?.value().timestampValue
          guard let time, time <= end else { return }
        }
        try body(raw)
      }
    }
  }

  private func write(_ bytes: [UInt8]) throws(DumpError) {
    try sink.write(array: bytes)
  }

  private var sink: DescriptorSink {
    DescriptorSink(descriptor: descriptor, path: "the oplog's spool")
  }
}
