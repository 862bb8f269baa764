/// Something in a migration that lint warns of.
public struct Finding: Sendable, Hashable {
  /// How bad it is.
  public enum Severity: String, Sendable, Hashable, Comparable, CaseIterable {
    case notice
    case warning
    case error

    public static func < (a: Self, b: Self) -> Bool { a.rank < b.rank }
    private var rank: Int { self == .error ? 2 : self == .warning ? 1 : 0 }
  }

  /// The rule's stable code, `ML001`.
  public let code: String
  public let severity: Severity
  /// Name of the migration.
  public let migration: String
  /// Index of the step from 0, in `up` or in `down`; nil for the whole migration.
  public let step: Int?
  /// True when the step is one of `down`.
  public let inDown: Bool
  /// Where.
  public let location: Location
  /// What, one sentence, lower case.
  public let message: String
  /// Why that is dangerous.
  public let why: String
  /// The safer form as YAML.
  public let safer: String?
}

/// What lint looks for, as pure functions of the migrations.
public enum Lint {
  /// Everything that the rules find, by migration and step; `server` narrows rules that depend on it.
  public static func lint(_ migrations: [Migration], server: Release? = nil) -> [Finding] {
    []
  }
}
