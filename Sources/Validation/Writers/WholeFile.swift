import Foundation
package import Glibc

/// Files that are there whole or not at all.
package enum WholeFile {
  /// Writes under a temporary name, syncs, renames, syncs the folder. Readable by the owner only:
  /// snapshots and reports hold names and `_id`s. Blocks.
  package static func write(
    _ text: String, to path: String, mode: mode_t = 0o600
  ) throws(ValidationError) {
    guard try isReplaceable(path) else { return try writeThrough(text, to: path) }
    let temporary = "\(path).\(getpid()).part"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw failure("create", path) }
    do throws(ValidationError) {
      try writeAll(Array(text.utf8), to: descriptor, path)
      guard fsync(descriptor) == 0 else { throw failure("write", path) }
    } catch {
      close(descriptor)
      unlink(temporary)
      throw error
    }
    // An error that a network file system saw late comes with close.
    guard close(descriptor) == 0, rename(temporary, path) == 0 else {
      let error = failure("write", path)
      unlink(temporary)
      throw error
    }
    let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let parent = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard parent >= 0 else { return }
    fsync(parent)
    close(parent)
  }

  /// False for a device or a pipe, which is written to and never replaced.
  /// - Throws: ``ValidationError`` `unwritable` for a folder.
  static func isReplaceable(_ path: String) throws(ValidationError) -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else { return true }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return true
    case S_IFDIR:
      throw ValidationError(
        .unwritable, "cannot write \(path): it is a folder", file: path,
        hint: "name a file in it")
    default: return false
    }
  }

  private static func writeThrough(_ text: String, to path: String) throws(ValidationError) {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("open", path) }
    defer { close(descriptor) }
    try writeAll(Array(text.utf8), to: descriptor, path)
  }

  /// Makes the folder and those above it.
  static func makeFolder(_ path: String) throws(ValidationError) {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ValidationError(
        .unwritable, "cannot make the folder \(path)", file: path,
        hint: "name a folder that can be written")
    }
  }

  /// Removes a file; nothing happens when there is none.
  static func remove(_ path: String) { unlink(path) }

  /// The content, at most `limit` bytes and one more; nil and `errno` when it cannot be read. A device
  /// without an end does not fill the memory.
  static func read(_ path: String, limit: Int = 1 << 30) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while bytes.count <= limit {
      let wanted = min(buffer.count, limit + 1 - bytes.count)
      let count = Foundation.read(descriptor, &buffer, wanted)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return nil }
      guard count > 0 else { break }
      bytes.append(contentsOf: buffer[..<count])
    }
    return bytes
  }

  /// Why a file could not be read just now.
  static var reason: String { String(cString: strerror(errno)) }

  private static func writeAll(
    _ bytes: [UInt8], to descriptor: Int32, _ path: String
  ) throws(ValidationError) {
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes {
        Foundation.write(descriptor, $0.baseAddress, $0.count)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw failure("write", path) }
      done += count
    }
  }

  private static func failure(_ what: String, _ path: String) -> ValidationError {
    ValidationError(
      .unwritable, "cannot \(what) \(path): \(String(cString: strerror(errno)))", file: path)
  }
}
