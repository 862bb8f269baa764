import ArgumentParser
import Migration

/// `martlet migrate forget`: removes what is kept for the way back.
struct ForgetCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "forget", "Remove a kept collection, or a migration's pre-images, for good.",
    discussion: """
      After this the change cannot be taken back any more. `migrate status` lists what there is.

      EXAMPLES:
        martlet migrate forget legacy__kept_4b645ecb
        martlet migrate forget 002_two_factor --yes
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var lock: LockOptions
  @OptionGroup var confirmation: ConfirmationOptions

  @Argument(
    help: ArgumentHelp(
      "Kept collections, or migrations whose pre-images are to go.", valueName: "name"))
  var names: [String]

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations, filesNeeded: false)
    let list = names.joined(separator: ", ")
    try context.confirm(
      "remove what is kept as \(list) from \(project.database) for good?", confirmation,
      project.settings)
    let run = MigrationRun(context, project, confirmation)
    return try run.perform(lock) { migrator, _ in
      for name in names { try migrator.forget(name, cancellation: context.cancellation) }
      context.console.show(NamesPage(action: "forget", names: names, sentence: "is gone for good"))
      context.console.next("martlet migrate status")
      return .done
    }
  }
}
