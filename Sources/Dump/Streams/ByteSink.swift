import Glibc

/// Where bytes go.
public protocol ByteSink: AnyObject, Sendable {
  /// Writes all of them; called by one thread at a time. Blocks.
  /// - Throws: ``DumpError`` `.file`.
  func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError)
}

extension ByteSink {
  /// Writes an array.
  func write(array bytes: [UInt8]) throws(DumpError) {
    let result: Result<Void, DumpError> = bytes.withUnsafeBytes { raw in
      do throws(DumpError) { return .success(try write(raw)) } catch { return .failure(error) }
    }
    try result.get()
  }
}

/// An open descriptor: standard output, a pipe.
public final class DescriptorSink: ByteSink {
  private let descriptor: Int32
  private let path: String

  /// The descriptor stays its owner's.
  public init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  public func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    try Self.write(bytes, to: descriptor, path)
  }

  static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, _ path: String)
    throws(DumpError)
  {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        throw DumpError.system("write", path)
      }
    }
  }
}

/// Collects bytes in memory; for small outputs and tests.
public final class MemorySink: ByteSink {
  private let collected = Monitor<[UInt8]>([])
  public init() {}
  public var bytes: [UInt8] { collected.withLock { $0 } }
  public func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    collected.withLock { $0.append(contentsOf: bytes) }
  }
}

/// A file that appears under its name only when it is complete.
///
/// Written beside it under `.NAME.PID.partial`, mode 0600 narrowed by nothing else; ``commit()``
/// makes it durable and renames it, anything else removes it.
public final class OutputFile: ByteSink {
  /// The name that it will have.
  public let path: String
  private let temporary: String
  private let descriptor: Int32
  private let committed = Monitor(false)

  /// - Parameter directory: where the temporary file stands; that of `path` when nil.
  /// - Throws: ``DumpError`` `.file`.
  public init(path: String) throws(DumpError) {
    // What a link points to is replaced, not the link; a device or a pipe never is.
    let path = FilePath.resolved(path)
    guard FilePath.isReplaceable(path) else {
      throw DumpError(.file, "not a file, so it cannot be replaced by one", path: path)
    }
    self.path = path
    temporary = FilePath.sibling(of: path, "partial")
    unlink(temporary)
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw DumpError.system("create", path) }
    AbandonedOutput.hold(descriptor)
  }

  deinit {
    close(descriptor)
    if !committed.withLock({ $0 }) { unlink(temporary) }
  }

  public func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    try DescriptorSink.write(bytes, to: descriptor, path)
  }

  /// Makes the bytes durable and gives the file its name.
  /// - Throws: ``DumpError`` `.file`.
  public func commit() throws(DumpError) {
    guard fsync(descriptor) == 0 else { throw DumpError.system("fsync", path) }
    guard rename(temporary, path) == 0 else { throw DumpError.system("rename", path) }
    committed.withLock { $0 = true }
    try FilePath.synchronize(directory: FilePath.parent(of: path))
  }

  /// Writes a whole small file, durably, under its final name.
  public static func write(_ bytes: [UInt8], to path: String) throws(DumpError) {
    let file = try OutputFile(path: path)
    try file.write(array: bytes)
    try file.commit()
  }

  /// Replaces the first `length` bytes, not yet committed, by others: copies the rest.
  func replaceStart(_ length: Int64, with bytes: [UInt8]) throws(DumpError) {
    let other = temporary + ".new"
    unlink(other)
    let copy = open(other, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard copy >= 0 else { throw DumpError.system("create", path) }
    AbandonedOutput.hold(copy)
    defer { close(copy) }
    let target = DescriptorSink(descriptor: copy, path: path)
    try target.write(array: bytes)
    let source = open(temporary, O_RDONLY | O_CLOEXEC)
    guard source >= 0 else { throw DumpError.system("open", path) }
    defer { close(source) }
    guard lseek(source, off_t(length), SEEK_SET) >= 0 else { throw DumpError.system("seek", path) }
    try Self.copyRest(from: source, to: copy, path)
    guard rename(other, temporary) == 0 else { throw DumpError.system("rename", path) }
    // The same descriptor goes on writing, now to the copy and at its end.
    guard dup2(copy, descriptor) >= 0 else { throw DumpError.system("dup", path) }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
  }

  private static func copyRest(from source: Int32, to target: Int32, _ path: String)
    throws(DumpError)
  {
    let reader = FileSource(descriptor: source, path: path)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = try reader.read(into: buffer)
      if count == 0 { return }
      let piece = UnsafeRawBufferPointer(rebasing: buffer[..<count])
      try DescriptorSink.write(piece, to: target, path)
    }
  }
}
