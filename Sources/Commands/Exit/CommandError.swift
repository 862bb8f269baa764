/// An error of a command itself: what it was asked, its configuration, its surroundings.
struct CommandError: Error, Sendable, Hashable, CustomStringConvertible {
  enum Code: String, Sendable, Hashable, CaseIterable {
    /// The command line asks for something that cannot be.
    case usage
    /// `martlet.yaml`, or a value that comes from the environment.
    case configuration
    /// Somebody has to agree first, with `--yes` or at the terminal.
    case confirmation
    /// Somebody was asked and said no.
    case declined
    /// This environment does not allow it.
    case refused
    /// A file could not be read or written.
    case file
    /// What it needs is not there, or not in the state it needs.
    case notReady
    /// Ctrl-C or a signal while no server was involved.
    case interrupted
    /// Another run of this program has it.
    case locked
    case failed
  }

  let code: Code
  /// Lower case; what failed and on what.
  let message: String
  /// What to do about it.
  let hint: String?
  /// File, line and column, where the error lies in a file.
  let location: Location?

  struct Location: Sendable, Hashable, CustomStringConvertible {
    var file: String
    /// From 1.
    var line: Int
    /// From 1, in Unicode scalars.
    var column: Int

    var description: String { "\(file):\(line):\(column)" }
  }

  init(_ code: Code, _ message: String, hint: String? = nil, at location: Location? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
    self.location = location
  }

  var description: String {
    guard let location else { return message }
    return "\(location): \(message)"
  }
}
