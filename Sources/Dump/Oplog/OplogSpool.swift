internal import BSON
import Glibc

/// A file without a name that holds oplog entries until they are needed.
final class OplogSpool: Sendable {
  private struct State {
    var buffer: [UInt8] = []
    var length: Int64 = 0
  }

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
  func append(_ entry: Document) throws(DumpError) {
    let full: [UInt8]? = state.withLock { state in
      state.buffer += entry.bytes
      guard state.buffer.count > 256 << 10 else { return nil }
      defer { state.buffer.removeAll(keepingCapacity: true) }
      state.length += Int64(state.buffer.count)
      return state.buffer
    }
    if let full { try write(full) }
  }

  /// Calls `body` with each entry up to `end`, inclusive. Nothing may be appended meanwhile.
  func forEach(upTo end: Timestamp?, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    let rest = state.withLock { state in
      defer { state.buffer.removeAll() }
      state.length += Int64(state.buffer.count)
      return state.buffer
    }
    try write(rest)
    guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw DumpError.system("rewind", "the spool") }
    let source = FileSource(descriptor: descriptor, path: "the oplog's spool")
    let reader = try DocumentFileReader(source, pool: ChunkPool(budget: 64 << 20))
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
    try DescriptorSink(descriptor: descriptor, path: "the oplog's spool").write(array: bytes)
  }
}
