import ArgumentParser
import Migration

/// `martlet migrate baseline`: takes over a database that has it all already.
struct BaselineCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "baseline", "Mark everything up to a migration as applied, without running it.",
    discussion: """
      For a database that was built by hand or by another tool and has all this already.

      EXAMPLES:
        martlet migrate baseline --to 003
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var lock: LockOptions

  @Option(help: ArgumentHelp("The last one that counts as applied.", valueName: "id"))
  var to: String

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations)
    let run = MigrationRun(context, project, ConfirmationOptions())
    return try run.perform(lock) { migrator, _ in
      let names = try migrator.baseline(to: to, cancellation: context.cancellation)
      context.console.show(
        NamesPage(
          action: "baseline", names: names, sentence: "counts as applied",
          nothing: "all of them were applied already"))
      context.console.next("martlet migrate status")
      return .done
    }
  }
}
