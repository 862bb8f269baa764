public import BSON

/// A migration as its file says it: steps up, the way back, and what it asks for.
public struct Migration: Sendable, Hashable {
  /// Number and name.
  public let id: MigrationID
  /// What it is for, in the author's words.
  public let description: String?
  /// The steps in order; never empty when it was read from a file.
  public let up: [Step]
  /// The way back.
  public let down: Down
  /// Whether its steps have to share one transaction.
  public let transaction: TransactionMode
  /// Declared effects on collections, for the check afterwards: collection name to change.
  public let expect: Document?
  /// What the server must be.
  public let requires: Requirements
  /// Codes of lint rules that its author has accepted.
  public let allowedFindings: [String]
  /// `v1:sha256:` and 64 hexadecimal digits over the canonical content, see ``Checksum``.
  public let checksum: String
  /// Where it came from.
  public let source: Source

  /// The stem, as in the ledger.
  public var name: String { id.stem }

  /// Makes a migration; the checksum is computed.
  public init(
    id: MigrationID, description: String? = nil, up: [Step], down: Down = .derived,
    transaction: TransactionMode = .auto, expect: Document? = nil,
    requires: Requirements = Requirements(), allowedFindings: [String] = [], source: Source
  ) {
    self.id = id
    self.description = description
    self.up = up
    self.down = down
    self.transaction = transaction
    self.expect = expect
    self.requires = requires
    self.allowedFindings = allowedFindings
    self.source = source
    checksum = Checksum.migration(
      up: up, down: down, transaction: transaction, requires: requires, expect: expect)
  }
}

/// How a migration is taken back.
public enum Down: Sendable, Hashable {
  /// By the inverse of each step, from what was there before.
  case derived
  /// By steps that the author wrote.
  case steps([Step])
  /// Not at all; the author said so.
  case irreversible
}

/// Whether the steps of a migration share one transaction.
public enum TransactionMode: String, Sendable, Hashable, CaseIterable {
  /// Those that may, do.
  case auto
  /// All have to, or the migration is refused.
  case required
  /// None does.
  case never
}

/// The file, or the code, that a migration came from.
public struct Source: Sendable, Hashable {
  /// How it is written.
  public enum Format: String, Sendable, Hashable {
    case yaml
    case json
    /// Two files, `NNN_name.up.json` and perhaps `NNN_name.down.json`.
    case golangPair
    /// Written in Swift.
    case code
  }

  /// Path of the file with `up`; for code what the application calls it.
  public let path: String
  /// How it is written.
  public let format: Format

  public init(path: String, format: Format) {
    self.path = path
    self.format = format
  }
}

/// A place in a file.
public struct Location: Sendable, Hashable, CustomStringConvertible {
  /// Path of the file.
  public let file: String
  /// From 1.
  public let line: Int
  /// In Unicode scalars, from 1.
  public let column: Int

  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  /// `file:line:column`.
  public var description: String { "\(file):\(line):\(column)" }
}
