import ArgumentParser

/// `martlet migrate`: one file for each command beside this one.
struct MigrateGroup: ParsableCommand {
  static let configuration = CommandConfiguration.martlet(
    "migrate", "Versioned migrations: what is applied, what would happen, do it, take it back.",
    groups: [
      CommandGroup(
        name: "Look",
        subcommands: [
          StatusCommand.self, PlanCommand.self, HistoryCommand.self, ShowCommand.self,
        ]),
      CommandGroup(
        name: "Run", subcommands: [UpCommand.self, DownCommand.self, RedoCommand.self]),
      CommandGroup(
        name: "Write", subcommands: [CreateCommand.self, LintCommand.self, TestCommand.self]),
      CommandGroup(
        name: "Set right",
        subcommands: [
          BaselineCommand.self, MarkCommand.self, RepairCommand.self, UnlockCommand.self,
          ForgetCommand.self,
        ]),
    ])
}
