/// Reads migration files.
public struct MigrationLoader: Sendable {
  /// The folder.
  public let directory: String

  /// Reads every migration of a folder.
  public init(directory: String) { self.directory = directory }

  /// Reads the folder; what is wrong inside files is in the result. Blocks on the disk.
  /// - Throws: `unreadableFolder`.
  public func load() throws(MigrationError) -> LoadedMigrations {
    LoadedMigrations(migrations: [], problems: [])
  }
}
