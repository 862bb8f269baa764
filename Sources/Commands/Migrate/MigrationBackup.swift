import Backup
import Migration
import MongoDB

/// The backup that `migrate up` takes before it changes anything.
struct MigrationBackup: Sendable {
  private let choice: Configuration.SafetyBackup
  private let isProduction: Bool
  private let store: any Store
  private let options: BackupOptions
  private let age: Age
  private let pool: ClientPool
  private let console: Console

  /// - Throws: `CommandError` for a store that makes no sense.
  init(_ context: CommandContext, _ project: MigrationProject, store: String?) throws {
    let settings = BackupSettings(context, StoreOptions(store: store), project.settings)
    choice = project.settings.configuration.migrations.backup ?? .auto
    isProduction = project.isProduction
    self.store = try settings.store()
    var options = settings.backupOptions()
    options.kind = .database
    options.database = project.database
    options.tags = ["migration"]
    // The first migration makes it.
    options.requiresDatabase = false
    self.options = options
    age = settings.age
    pool = project.migrator.pool
    console = context.console
  }

  /// Makes and reads back a backup when one is due before this plan; returns its id.
  /// - Throws: what the backup throws; then nothing may be migrated.
  func take(before plan: Plan) throws -> String? {
    guard isDue(plan) else { return nil }
    console.status("backing up \(options.database ?? "", .name) first")
    let made = try BackupRunner(store, pool: pool, options: options).run()
    try Verifier(store, age: age, cancellation: options.cancellation)
      .verify(made.id, depth: .checksums)
    console.status("backup \(made.id, .bold)")
    return made.id
  }

  private func isDue(_ plan: Plan) -> Bool {
    switch choice {
    case .never: false
    case .always: true
    case .auto: isProduction || plan.destroys
    }
  }
}
