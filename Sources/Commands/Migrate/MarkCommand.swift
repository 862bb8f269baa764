import ArgumentParser
import Migration

/// `martlet migrate mark`: says that a migration is applied, or is not.
struct MarkCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "mark", "Say that a migration is applied, or is not, without running it.",
    discussion: """
      Changes the ledger only. For what was done by hand, and for a file that is gone.

      EXAMPLES:
        martlet migrate mark 004 --applied
        martlet migrate mark 003_audit_logging --unapplied --yes
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var lock: LockOptions
  @OptionGroup var confirmation: ConfirmationOptions

  @Argument(help: ArgumentHelp("Its name or number.", valueName: "id"))
  var id: String

  enum Mark: String, EnumerableFlag { case applied, unapplied }

  @Flag(help: "What the ledger is to say.")
  var mark: Mark

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations, filesNeeded: mark == .applied)
    let run = MigrationRun(context, project, confirmation)
    if mark == .unapplied {
      try context.confirm(
        "forget that \(id) is applied, with what was recorded to take it back?", confirmation,
        project.settings)
    }
    return try run.perform(lock) { migrator, _ in
      try migrator.mark(id, applied: mark == .applied, cancellation: context.cancellation)
      context.console.show(
        NamesPage(
          action: "mark", names: [id], sentence: "is marked as \(mark.rawValue); nothing was run"))
      context.console.next("martlet migrate status")
      return .done
    }
  }
}

/// Names that a command of the ledger was about.
struct NamesPage: CommandOutput {
  let action: String
  let names: [String]
  /// What became of each.
  let sentence: String
  var nothing = "nothing to do"

  var json: JSONValue {
    ["action": .string(action), "names": .strings(names)]
  }

  func write(to page: inout Page) {
    for name in names { page.line("\(name, .name) \(sentence)") }
    if names.isEmpty { page.line("\(nothing)") }
  }
}
