internal import BSON
internal import Crypto
public import Dump
internal import Synchronization

/// Passes bytes on and keeps their SHA-256 and number.
public final class HashingSink: ByteSink {
  private struct State {
    var hash = SHA256()
    var count: Int64 = 0
  }

  private let target: any ByteSink
  private let state = Mutex(State())

  public init(_ target: any ByteSink) { self.target = target }

  public func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    state.withLock { state in
      state.hash.update(bufferPointer: bytes)
      state.count += Int64(bytes.count)
    }
    try target.write(bytes)
  }

  /// What has passed so far.
  public var digest: FileDigest {
    state.withLock { FileDigest(size: $0.count, sha256: Hex.encode($0.hash.finalize())) }
  }
}

/// Size and checksum of a file.
public struct FileDigest: Sendable, Hashable {
  /// Bytes, as stored.
  public var size: Int64
  /// 64 lower-case hexadecimal digits.
  public var sha256: String

  public init(size: Int64, sha256: String) {
    self.size = size
    self.sha256 = sha256
  }

  init(of bytes: [UInt8]) {
    self.init(size: Int64(bytes.count), sha256: Hex.encode(SHA256.hash(data: bytes)))
  }
}

/// Passes bytes on as they are read and keeps their SHA-256 and number.
final class HashingSource: ByteSource {
  private let source: any ByteSource
  private var hash = SHA256()
  private var count: Int64 = 0

  init(_ source: any ByteSource) { self.source = source }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    let read = try source.read(into: buffer)
    hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<read]))
    count += Int64(read)
    return read
  }

  var digest: FileDigest { FileDigest(size: count, sha256: Hex.encode(hash.finalize())) }
}

/// Copies all of a source to a sink.
enum Transfer {
  /// Blocks. `check` is called for each piece and may throw.
  /// - Returns: bytes.
  @discardableResult
  static func all(
    _ source: any ByteSource, to sink: any ByteSink, check: () throws -> Void = {}
  ) throws -> Int64 {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    defer { buffer.deallocate() }
    var total: Int64 = 0
    while true {
      let count = try source.read(into: buffer)
      if count == 0 { return total }
      try check()
      try sink.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      total += Int64(count)
    }
  }

  /// Reads a small whole source.
  static func bytes(_ source: any ByteSource, limit: Int) throws -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 64)
    defer { buffer.deallocate() }
    var bytes: [UInt8] = []
    while true {
      let count = try source.read(into: buffer)
      if count == 0 { return bytes }
      bytes.append(contentsOf: buffer[..<count])
      guard bytes.count <= limit else {
        throw BackupError(.damaged, "the file is larger than anything that belongs there")
      }
    }
  }
}

/// Throws everything away; reading to the end is the point.
final class NullSink: ByteSink {
  func write(_ bytes: UnsafeRawBufferPointer) {}
}

extension ByteSink {
  /// Writes an array.
  func write(all bytes: [UInt8]) throws(DumpError) {
    let result: Result<Void, DumpError> = bytes.withUnsafeBytes { raw in
      do throws(DumpError) { return .success(try write(raw)) } catch { return .failure(error) }
    }
    try result.get()
  }
}
