internal import BSON
internal import Dump

/// Reads a slice back, checking it on the way.
struct SliceReader {
  private let store: any Store
  private let age: Age

  init(_ store: any Store, age: Age) {
    self.store = store
    self.age = age
  }

  /// Calls `body` with every entry and its time.
  /// - Throws: ``BackupError`` `.damaged` when the bytes or the times are not those described.
  func forEach(
    _ slice: Slice, _ body: (Timestamp, UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let stored: HashingSource
    do throws(BackupError) { stored = HashingSource(try store.get(slice.dataName)) } catch {
      guard error.code == .notFound else { throw error }
      throw BackupError(.damaged, "the slice is missing", path: slice.dataName, hint: Self.hint)
    }
    do {
      var source: any ByteSource = stored
      if slice.isEncrypted { source = try age.decrypting(source) }
      let seen = try read(GzipSource(source), body)
      try Transfer.all(stored, to: NullSink())
      guard stored.digest == slice.digest, seen.count == slice.count, seen.first == slice.start,
        seen.last == slice.end
      else {
        throw BackupError(
          .damaged, "the slice was altered or cut", path: slice.dataName, hint: Self.hint)
      }
    } catch let error as DumpError {
      if let cause = error.cause as? BackupError, cause.code != .damaged { throw cause }
      var failure = BackupError(error, path: slice.dataName)
      if failure.code == .damaged { failure.hint = failure.hint ?? Self.hint }
      throw failure
    }
  }

  private static let hint =
    "an earlier moment may still be reached; martlet backup verify reads all of the captured oplog"

  private func read(
    _ source: any ByteSource, _ body: (Timestamp, UnsafeRawBufferPointer) throws -> Void
  ) throws -> (count: Int64, first: Timestamp?, last: Timestamp?) {
    var bytes: [UInt8] = []
    var start = 0
    // Bytes of BSON before those in hand.
    var before: Int64 = 0
    var count: Int64 = 0
    var first: Timestamp?
    var last: Timestamp?
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { buffer.deallocate() }
    while true {
      let read = try source.read(into: buffer)
      if read == 0 { break }
      bytes.removeFirst(start)
      before += Int64(start)
      start = 0
      bytes.append(contentsOf: buffer[..<read])
      while bytes.count - start >= 5 {
        let length = (0..<4).reduce(0) { $0 | Int(bytes[start + $1]) << (8 * $1) }
        guard length >= 5, length <= 64 << 20 else {
          throw DumpError(
            .damaged, "a document has an impossible length", offset: before + Int64(start))
        }
        guard bytes.count - start >= length else { break }
        let offset = before + Int64(start)
        try bytes[start..<start + length].withUnsafeBytes { raw in
          guard let time = try DocumentView(raw).first("ts")?.value().timestampValue,
            last.map({ $0 < time }) ?? true
          else {
            throw DumpError(.damaged, "entries without a time, or out of order", offset: offset)
          }
          if first == nil { first = time }
          last = time
          try body(time, raw)
        }
        count += 1
        start += length
      }
    }
    guard start == bytes.count else {
      throw DumpError(.damaged, "the slice ends inside an entry", offset: before + Int64(start))
    }
    return (count, first, last)
  }
}
