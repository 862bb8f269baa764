/// What a folder of migrations holds, and everything that is wrong with it.
public struct LoadedMigrations: Sendable {
  /// Whether the folder can be used all the same.
  public enum Severity: String, Sendable, Hashable {
    case error
    case notice
  }

  /// Something that was found, with what it means for the run.
  public struct Problem: Sendable, Hashable, CustomStringConvertible {
    public let severity: Severity
    /// What and where.
    public let error: MigrationError

    public init(_ severity: Severity, _ error: MigrationError) {
      self.severity = severity
      self.error = error
    }

    public var description: String { error.description }
  }

  /// Those that could be read, in their order.
  public let migrations: [Migration]
  /// Everything found, by file.
  public let problems: [Problem]

  public init(migrations: [Migration], problems: [Problem]) {
    self.migrations = migrations
    self.problems = problems
  }

  /// The problems that forbid a run.
  public var errors: [MigrationError] {
    problems.compactMap { $0.severity == .error ? $0.error : nil }
  }

  /// The migrations, if nothing is wrong with any file.
  /// - Throws: the first error, with all the others in ``MigrationError/others``.
  public func validated() throws(MigrationError) -> [Migration] {
    guard var first = errors.first else { return migrations }
    first.others = Array(errors.dropFirst())
    throw first
  }
}
