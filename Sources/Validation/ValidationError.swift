/// What keeps a validation from being done; what a check finds is a ``CheckResult`` instead.
public struct ValidationError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kind of failure, stable for programs.
  public enum Code: String, Sendable, Hashable, CaseIterable {
    /// The rules file cannot be read.
    case unreadableRules
    /// The rules file says something that cannot be.
    case invalidRules
    /// A snapshot or manifest cannot be read, or is not one.
    case unreadableSnapshot
    /// A snapshot of a format that this version does not know.
    case newerSnapshot
    /// Two snapshots of different databases, or one that was not finished.
    case differentSnapshot
    /// A report or snapshot cannot be written.
    case unwritable
  }

  public let code: Code
  /// Lower case; what failed and on what. No document contents.
  public let message: String
  /// The file, when the failure is in one.
  public let file: String?
  /// From 1.
  public let line: Int?
  /// In Unicode scalars, from 1.
  public let column: Int?
  /// What to do about it.
  public let hint: String?
  /// Everything else that was found wrong in the same file.
  public var others: [ValidationError] = []

  /// Makes an error; the position is given as far as it is known.
  public init(
    _ code: Code, _ message: String, file: String? = nil, line: Int? = nil, column: Int? = nil,
    hint: String? = nil
  ) {
    self.code = code
    self.message = message
    self.file = file
    self.line = line
    self.column = column
    self.hint = hint
  }

  /// `file:line:column: message`, a `HINT:` line, then the other errors in the same form.
  public var description: String {
    let place = [file, line.map(String.init), column.map(String.init)].compactMap(\.self)
      .joined(separator: ":")
    var text = place.isEmpty ? message : "\(place): \(message)"
    if let hint { text += "\nHINT: \(hint)" }
    return ([text] + others.map(\.description)).joined(separator: "\n")
  }
}
