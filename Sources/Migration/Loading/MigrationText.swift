#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The text of migration files.
enum MigrationText {
  /// Reads a regular file, following links. Blocks.
  /// - Throws: `unreadableFile`, `tooLarge`, `notUTF8`.
  static func read(_ path: String) throws(MigrationError) -> String {
    let bytes = try contents(path)
    let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
    guard let string = String(validating: text, as: UTF8.self) else {
      let (line, column) = firstInvalid(bytes)
      throw MigrationError(
        .notUTF8, "the file is not UTF-8", file: path, line: line, column: column,
        hint: bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
          ? "it is UTF-16: save it as UTF-8" : "save it as UTF-8")
    }
    return string
  }

  private static func contents(_ path: String) throws(MigrationError) -> [UInt8] {
    // Not blocking, so that a pipe in the folder is an error and not a wait for ever.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw failure(path, String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw failure(path, String(cString: strerror(errno)))
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw failure(path, "not a regular file") }
    let size = Int(status.st_size)
    guard size <= Limits.fileSize else {
      throw MigrationError(
        .tooLarge, "the file is larger than \(Limits.fileSize / 1_048_576) MB", file: path,
        hint: "large data belongs into a backup or an import, not into a migration")
    }
    var bytes = [UInt8](repeating: 0, count: size)
    var filled = 0
    while filled < size {
      let count = bytes.withUnsafeMutableBytes { buffer in
        pread(descriptor, buffer.baseAddress.map { $0 + filled }, size - filled, off_t(filled))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        throw failure(path, count < 0 ? String(cString: strerror(errno)) : "it became shorter")
      }
      filled += count
    }
    return bytes
  }

  private static func failure(_ path: String, _ reason: String) -> MigrationError {
    MigrationError(.unreadableFile, "the file cannot be read: \(reason)", file: path)
  }

  private static func firstInvalid(_ bytes: [UInt8]) -> (Int, Int) {
    let shown = String(decoding: bytes, as: UTF8.self).unicodeScalars
    var (line, column) = (1, 1)
    for scalar in shown {
      if scalar == "\u{FFFD}" { break }
      (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1)
    }
    return (line, column)
  }
}
