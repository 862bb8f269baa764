/// Something in a migration that lint warns of.
public struct Finding: Sendable, Hashable, CustomStringConvertible {
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
  /// Where the step, or the file, begins.
  public let location: Location
  /// What, one sentence, lower case.
  public let message: String
  /// Why that is dangerous.
  public let why: String
  /// The safer form as YAML.
  public let safer: String?

  /// `file:line:column: warning ML004: message`.
  public var description: String { "\(location): \(severity.rawValue) \(code): \(message)" }
}

/// Looks for dangerous things in migrations; pure, no server is asked.
public enum Lint {
  /// Everything that the rules find, migrations and steps in order.
  ///
  /// The migrations are taken as one run: indexes of earlier ones count for later ones. Rules that a
  /// file allows (`lint: { allow: […] }`) are left out for it.
  /// - Parameters:
  ///   - server: narrows the rules that depend on the release.
  ///   - database: which names are full ones; without it, none are taken for full.
  public static func lint(
    _ migrations: [Migration], server: Release? = nil, database: String? = nil
  ) -> [Finding] {
    var linter = Linter(server: server, database: database)
    for migration in migrations.sorted(by: { $0.id < $1.id }) { linter.lint(migration) }
    return linter.findings
  }
}
