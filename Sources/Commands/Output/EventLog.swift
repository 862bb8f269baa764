import Backup
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file with one line for each event: time, level, what happened. For people who come later.
///
/// Lines of several processes do not mix: each is one write to the end of the file. What cannot be logged
/// is told once and never ends the work.
final class EventLog: Sendable {
  enum Level: String, Sendable { case debug, info, warning, error }
  enum Format: String, Sendable, CaseIterable { case text, json }

  private let descriptor: Int32
  private let format: Format
  /// `backup run`.
  private let command: String
  private let now: @Sendable () -> Int64

  /// Opens or makes the file, and its folder.
  /// - Returns: nil when it cannot be written.
  init?(
    path: String, format: Format, command: String, now: @escaping @Sendable () -> Int64 = Moment.now
  ) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
    if !parts.isEmpty {
      for end in 1...parts.count {
        let folder = parts.prefix(end).joined(separator: "/")
        if !folder.isEmpty { mkdir(folder, 0o700) }
      }
    }
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return nil }
    self.format = format
    self.command = command
    self.now = now
  }

  deinit { close(descriptor) }

  /// Writes one line; line feeds in the message become spaces.
  func write(_ level: Level, _ message: String, _ fields: [(String, JSONValue)] = []) {
    let time = Moment.iso(now())
    let single = message.split(whereSeparator: \.isNewline).joined(separator: " ")
    var line: String
    switch format {
    case .json:
      let own: [(String, JSONValue)] = [
        ("time", .string(time)), ("level", .string(level.rawValue)), ("command", .string(command)),
        ("pid", .integer(Int64(getpid()))), ("message", .string(single)),
      ]
      line = JSONValue.object(own + fields).text(pretty: false)
    case .text:
      let word = level.rawValue.uppercased()
      let padding = String(repeating: " ", count: max(0, 7 - word.utf8.count))
      line = "\(time) \(word)\(padding) \(command): \(single)"
    }
    line += "\n"
    let bytes = Array(line.utf8)
    _ = bytes.withUnsafeBytes {
      #if canImport(Glibc)
        Glibc.write(descriptor, $0.baseAddress, $0.count)
      #elseif canImport(Musl)
        Musl.write(descriptor, $0.baseAddress, $0.count)
      #else
        Darwin.write(descriptor, $0.baseAddress, $0.count)
      #endif
    }
  }
}
