import ArgumentParser
import Migration
import MongoDB

/// `martlet migrate unlock`: takes the lock away from a run that is gone.
struct UnlockCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "unlock", "Take the lock away from a run that is gone.",
    discussion: """
      A run that died loses its lock by itself within a minute. With --force the lock is taken from a \
      living run too: that run notices and stops at its next step.

      EXAMPLES:
        martlet migrate unlock
        martlet migrate unlock --force --yes
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var confirmation: ConfirmationOptions

  @Flag(help: "Even when its holder may still be working.")
  var force = false

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations, filesNeeded: false)
    if force {
      try context.confirm(
        "take the lock away even from a run that is working?", confirmation, project.settings)
    }
    let holder = try project.migrator.unlock(force: force)
    context.console.show(UnlockPage(holder: holder))
    context.console.next("martlet migrate status")
    return .done
  }
}

private struct UnlockPage: CommandOutput {
  let holder: LeaseHolder?

  var json: JSONValue { ["unlocked": holder.map(StatusPage.json) ?? .null] }

  func write(to page: inout Page) {
    guard let holder else { return page.line("nobody holds the lock") }
    page.line("taken away from \(holder.description)")
  }
}
