import Migration
import MongoDB

/// What the migrate commands start from: the settings, the files, and the engine on a server.
struct MigrationProject {
  let settings: Settings
  let files: LoadedMigrations
  let migrator: Migrator

  /// Reads the folder and prepares the engine; connects on first use.
  ///
  /// - Parameter filesNeeded: false for commands that look at the ledger only; then a missing folder
  ///   counts as an empty one.
  /// - Throws: `CommandError`, ``MigrationError`` or `MongoError`.
  init(
    _ context: CommandContext, _ options: MigrationsOptions, filesNeeded: Bool = true
  ) throws {
    settings = try context.settings(options)
    let database = try settings.requiredDatabase()
    guard !database.isEmpty else { throw CommandError(.usage, "the database's name is empty") }
    files = try Self.load(settings, needed: filesNeeded)
    for problem in files.problems where problem.severity == .notice {
      context.console.detail("\(problem.error.message)")
    }
    let names = LedgerNames(ledger: settings.migrationsCollection.value)
    var migrator = try Migrator(
      pool: try context.pool(settings), database: database, files: files, names: names,
      tool: "martlet \(Version.text)")
    migrator.archive = KeptArchives(folder: "\(settings.folder)/.martlet/kept")
    self.migrator = migrator
  }

  /// The migrations of the configured folder.
  /// - Throws: `CommandError` or ``MigrationError`` `.unreadableFolder`.
  static func load(_ settings: Settings, needed: Bool = true) throws -> LoadedMigrations {
    do {
      return try MigrationLoader(directory: settings.migrationsDirectory.value).load()
    } catch {
      if !needed, error.code == .unreadableFolder {
        return LoadedMigrations(migrations: [], problems: [])
      }
      throw error
    }
  }

  var database: String { migrator.database }
  var isProduction: Bool { settings.environment.value == .production }
}
