import ArgumentParser
import Migration

/// `martlet migrate repair`: accepts the files as they are, tidies up after dead runs.
struct RepairCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "repair", "Accept edited files as they are and settle entries of runs that died.",
    discussion: """
      Changes the ledger only. Look with --dry-run first: an edited file that is accepted no longer says \
      what was really run.

      EXAMPLES:
        martlet migrate repair --dry-run
        martlet migrate repair --yes
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var lock: LockOptions
  @OptionGroup var confirmation: ConfirmationOptions

  @Flag(help: "Say what would change; nothing is written.")
  var dryRun = false

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations)
    let run = MigrationRun(context, project, confirmation)
    return try run.perform(lock) { migrator, _ in
      let planned = try migrator.repair(dryRun: true, cancellation: context.cancellation)
      if !dryRun, !planned.isEmpty {
        if context.person.isPresent, !confirmation.yes {
          for change in planned { context.console.status("  \(change)") }
        }
        try context.confirm("change the ledger so?", confirmation, project.settings)
      }
      let changes =
        dryRun || planned.isEmpty
        ? planned : try migrator.repair(dryRun: false, cancellation: context.cancellation)
      context.console.show(RepairPage(changes: changes, isDryRun: dryRun))
      context.console.next(
        dryRun && !changes.isEmpty ? "martlet migrate repair" : "martlet migrate status")
      return .done
    }
  }
}

private struct RepairPage: CommandOutput {
  let changes: [String]
  let isDryRun: Bool

  var json: JSONValue { ["dryRun": .bool(isDryRun), "changes": .strings(changes)] }

  func write(to page: inout Page) {
    if changes.isEmpty { page.line("nothing to repair") }
    for change in changes { page.line("\(isDryRun ? "would change " : "")\(change)") }
  }
}
