import ArgumentParser
import Migration
import MongoDB

/// `martlet doctor`: whether migrations could run now, and why not.
struct DoctorCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "doctor", "Is everything ready for migrations, and if not, why?",
    discussion: """
      Only reads. With --write-check it also writes one document, waits until a majority of the members \
      has it, and removes it again.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions

  @Flag(help: "Also prove that a majority of the members takes a write.")
  var writeCheck = false

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let settings = try context.settings(migrations)
    let connection = try context.connection(settings)
    var checkup = Checkup(server: connection.redactedURI, database: settings.database?.value)
    checkup.checks = [SettingsCheck.check(settings)]
    checkup.checks += try serverChecks(context, settings, connection)
    checkup.checks += FileChecks.check(
      settings.migrationsDirectory.value, database: settings.database?.value)
    checkup.checks += ledgerChecks(context, settings, connected: checkup.checks)

    context.console.show(checkup)
    context.console.next(
      checkup.status == .done ? "martlet migrate status" : "mend what failed, then martlet doctor")
    return checkup.status
  }

  /// Without a server, a database or files there is nothing to compare.
  private func ledgerChecks(
    _ context: CommandContext, _ settings: Settings, connected checks: [Check]
  ) -> [Check] {
    guard let database = settings.database?.value,
      !checks.contains(where: { $0.id == "connection" && $0.state == .failed }),
      let files = try? MigrationLoader(directory: settings.migrationsDirectory.value).load(),
      let pool = try? context.pool(settings),
      let migrator = try? Migrator(
        pool: pool, database: database, files: files,
        names: LedgerNames(ledger: settings.migrationsCollection.value))
    else { return LedgerChecks.names.map { .skipped($0, "no connection, database or files") } }
    return LedgerChecks(migrator: migrator).all()
  }

  private func serverChecks(
    _ context: CommandContext, _ settings: Settings, _ connection: ConnectionSettings
  ) throws -> [Check] {
    do {
      return try CommandContext.pool(connection, maxSize: 2).withClient { client in
        let server = try client.hello()
        let checks = ServerChecks(
          client: client, server: server, database: settings.database?.value,
          collection: settings.migrationsCollection.value, cancellation: context.cancellation)
        return try checks.all(write: writeCheck)
      }
    } catch let error as MongoError where error.kind != .cancelled {
      let report = ErrorReport(error)
      return [
        .failed(
          "connection", report.message, fix: report.hint ?? "is mongod running there?",
          report.status)
      ]
        + ServerChecks.names.dropFirst().map { .skipped($0, "no connection") }
    }
  }
}
