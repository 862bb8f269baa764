import ArgumentParser
import Migration

/// `martlet migrate redo`: takes the newest migration back and applies it again.
struct RedoCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "redo", "Take the newest migration back and apply it again.",
    discussion: """
      For a migration that is being written: edit the file, then redo it.

      EXAMPLES:
        martlet migrate redo --yes
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var lock: LockOptions
  @OptionGroup var confirmation: ConfirmationOptions

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations)
    let run = MigrationRun(context, project, confirmation)
    return try run.perform(lock) { migrator, display in
      let down = try migrator.down(
        .count(1), cancellation: context.cancellation, observer: display.show
      ) { try run.confirm($0) }
      guard let name = down.items.first?.name else {
        throw CommandError(
          .failed, "nothing is applied that could be done again", hint: "martlet migrate up")
      }
      let up = try migrator.up(
        UpRequest(to: name), cancellation: context.cancellation, observer: display.show)
      context.console.show(RedoPage(database: project.database, down: down, up: up))
      context.console.next("martlet migrate status")
      return down.isPartial ? .partlyDone : .done
    }
  }
}

/// Both halves of a redo.
private struct RedoPage: CommandOutput {
  let database: String
  let down: RunReport
  let up: RunReport

  var json: JSONValue {
    [
      "down": RunPage(database: database, report: down).json,
      "up": RunPage(database: database, report: up).json,
    ]
  }

  func write(to page: inout Page) {
    RunPage(database: database, report: down).write(to: &page)
    RunPage(database: database, report: up).write(to: &page)
  }
}
