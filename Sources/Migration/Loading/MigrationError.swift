/// What went wrong with migrations: in a file, in the plan, in the ledger or on the way.
public struct MigrationError: Error, Sendable, Hashable {
  /// A stable name for a kind of failure; callers decide by it, `--json` prints it.
  ///
  /// A struct, so that each part of the engine declares its own codes beside its own code.
  public struct Code: RawRepresentable, Sendable, Hashable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
  }

  /// The kind of failure.
  public let code: Code
  /// One sentence, lower case; never holds document values or credentials.
  public let message: String
  /// Path of the migration file, when the failure is in one.
  public let file: String?
  /// Line in the file, from 1.
  public let line: Int?
  /// Column in the line, in Unicode scalars from 1.
  public let column: Int?
  /// What to do about it.
  public var hint: String?
  /// Everything else that was found wrong at the same time.
  public var others: [MigrationError]

  /// Makes an error; the position is given as far as it is known.
  public init(
    _ code: Code, _ message: String, file: String? = nil, line: Int? = nil, column: Int? = nil,
    hint: String? = nil, others: [MigrationError] = []
  ) {
    self.code = code
    self.message = message
    self.file = file
    self.line = line
    self.column = column
    self.hint = hint
    self.others = others
  }

  /// An error at a place in a file.
  public init(_ code: Code, _ message: String, at location: Location, hint: String? = nil) {
    self.init(
      code, message, file: location.file, line: location.line, column: location.column, hint: hint)
  }
}

extension MigrationError: CustomStringConvertible {
  /// `file:line:column: message`, a `HINT:` line, then the other problems in the same form.
  public var description: String {
    var text = [file, line.map(String.init), column.map(String.init)].compactMap(\.self)
      .joined(separator: ":")
    text += text.isEmpty ? message : ": \(message)"
    if let hint { text += "\nHINT: \(hint)" }
    return ([text] + others.map(\.description)).joined(separator: "\n")
  }
}

extension MigrationError.Code {
  /// The folder is missing or cannot be listed.
  public static let unreadableFolder = Self(rawValue: "unreadable-folder")
  /// A file cannot be read, or is larger than a migration may be.
  public static let unreadableFile = Self(rawValue: "unreadable-file")
  /// Bytes that are not UTF-8 text.
  public static let notUTF8 = Self(rawValue: "not-utf8")
  /// YAML or JSON that does not parse.
  public static let syntax = Self(rawValue: "syntax")
  /// A key twice in one mapping.
  public static let duplicateKey = Self(rawValue: "duplicate-key")
  /// A file without content.
  public static let emptyFile = Self(rawValue: "empty-file")
  /// More than one YAML document in a file.
  public static let multipleDocuments = Self(rawValue: "multiple-documents")
  /// A key that means nothing there.
  public static let unknownKey = Self(rawValue: "unknown-key")
  /// A value of another type than its key asks for.
  public static let wrongType = Self(rawValue: "wrong-type")
  /// A value outside what its key allows.
  public static let invalidValue = Self(rawValue: "invalid-value")
  /// A key that has to be there and is not.
  public static let missingKey = Self(rawValue: "missing-key")
  /// A YAML tag other than those of the core schema.
  public static let unknownTag = Self(rawValue: "unknown-tag")
  /// Nested too deep, too many nodes after aliases, or a step that no command can carry.
  public static let tooLarge = Self(rawValue: "too-large")
  /// A file whose name is not that of a migration.
  public static let fileName = Self(rawValue: "file-name")
  /// Two files with one number.
  public static let duplicateNumber = Self(rawValue: "duplicate-number")
  /// A `.down.json` without its `.up.json`.
  public static let missingUp = Self(rawValue: "missing-up")
  /// A number that is not there between two others (a notice).
  public static let gap = Self(rawValue: "gap")
}
