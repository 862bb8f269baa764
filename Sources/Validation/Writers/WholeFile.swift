import Foundation
package import Glibc

/// Files that are there whole or not at all.
package enum WholeFile {
  /// Writes under a temporary name, syncs, renames, syncs the folder. Readable by the owner only:
  /// snapshots and reports hold names and `_id`s. Blocks.
  package static func write(
    _ text: String, to path: String, mode: mode_t = 0o600
  ) throws(ValidationError) {
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

  /// The whole content, or nil and `errno` when it cannot be read.
  static func read(_ path: String) -> [UInt8]? {
    FileManager.default.contents(atPath: path).map { [UInt8]($0) }
  }

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
