import Glibc

/// Where bytes come from: a file, a pipe, memory, a decompressor.
public protocol ByteSource: AnyObject {
  /// Reads at most `buffer.count` bytes; 0 is the end. Blocks.
  /// - Throws: ``DumpError`` `.file`, `.damaged` or `.unsupported`.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int
}

extension ByteSource {
  /// Reads until the buffer is full or the input ends.
  func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    var done = 0
    while done < buffer.count {
      let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
      if count == 0 { break }
      done += count
    }
    return done
  }
}

/// Bytes of an open file, pipe or socket.
public final class FileSource: ByteSource {
  private let descriptor: Int32
  private let owned: Bool
  /// The path, for messages.
  public let path: String

  /// Reads from a descriptor that stays its owner's.
  public init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
    owned = false
  }

  /// Opens a file; closed when this is released.
  /// - Throws: ``DumpError`` `.file`.
  public init(path: String) throws(DumpError) {
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw DumpError.system("open", path) }
    self.path = path
    owned = true
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
  }

  deinit { if owned { close(descriptor) } }

  /// True when the input can be read a second time: a regular file.
  public var isSeekable: Bool { lseek(descriptor, 0, SEEK_CUR) >= 0 }

  /// Goes back to the first byte.
  /// - Throws: ``DumpError`` `.file`.
  public func rewind() throws(DumpError) {
    guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw DumpError.system("rewind", path) }
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    while true {
      let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      guard errno == EINTR else { throw DumpError.system("read", path) }
    }
  }
}

/// Bytes in memory.
public final class MemorySource: ByteSource {
  private let bytes: [UInt8]
  private var offset = 0
  private let step: Int

  /// - Parameter step: at most so many bytes a read.
  public init(_ bytes: [UInt8], step: Int = .max) {
    self.bytes = bytes
    self.step = step
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    let count = min(buffer.count, bytes.count - offset, step)
    buffer.copyBytes(from: bytes[offset..<offset + count])
    offset += count
    return count
  }
}

/// Some bytes that were read already, then the rest.
final class PrefixedSource: ByteSource {
  private var prefix: ArraySlice<UInt8>
  private let rest: any ByteSource

  init(_ prefix: [UInt8], then rest: any ByteSource) {
    self.prefix = prefix[...]
    self.rest = rest
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    guard !prefix.isEmpty else { return try rest.read(into: buffer) }
    let count = min(buffer.count, prefix.count)
    buffer.copyBytes(from: prefix.prefix(count))
    prefix = prefix.dropFirst(count)
    return count
  }
}

extension DumpError {
  /// A failed system call, from `errno`.
  static func system(_ call: String, _ path: String) -> DumpError {
    let number = errno
    var hint: String?
    if number == ENOSPC || number == EDQUOT { hint = "free some space, or choose another folder" }
    return DumpError(
      .file, "\(call): \(String(cString: strerror(number)))", path: path, hint: hint)
  }
}
