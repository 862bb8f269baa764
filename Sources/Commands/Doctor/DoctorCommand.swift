import ArgumentParser
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
    checkup.checks += FileChecks.check(settings.migrationsDirectory.value)

    context.console.show(checkup)
    context.console.next(
      checkup.status == .done ? "martlet migrate status" : "mend what failed, then martlet doctor")
    return checkup.status
  }

  private func serverChecks(
    _ context: CommandContext, _ settings: Settings, _ connection: ConnectionSettings
  ) throws -> [Check] {
    do {
      return try ClientPool(connection, maxSize: 2).withClient { client in
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
