import ArgumentParser
import Migration

/// `martlet migrate down`: takes migrations back.
struct DownCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "down", "Take migrations back, newest first.",
    discussion: """
      By what was recorded when they were applied, or by the steps under `down:`. Nothing that the \
      migration did not create is lost: documents that changed since are left as they are and listed \
      (exit 3), collections that have gained documents are kept under another name.

      EXAMPLES:
        martlet migrate down                      # the newest one
        martlet migrate down --count 2 --yes
        martlet migrate down --to 003             # 003 stays
        martlet migrate down --batch              # what the last up applied together
        martlet migrate down --all --dry-run
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var range: DownOptions
  @OptionGroup var lock: LockOptions
  @OptionGroup var confirmation: ConfirmationOptions

  @Flag(help: "Show the plan and stop; nothing is written.")
  var dryRun = false

  @Flag(help: ArgumentHelp("Accepted for scripts.", visibility: .hidden))
  var noBackup = false

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations)
    if dryRun {
      let plan = try project.migrator.planDown(range.request)
      context.console.show(PlanPage(plan: plan))
      context.console.next(plan.isEmpty ? "martlet migrate status" : "martlet migrate down")
      return plan.conflicts.isEmpty ? .done : .checksFailed
    }
    let run = MigrationRun(context, project, confirmation)
    return try run.perform(lock) { migrator, display in
      let report = try migrator.down(
        range.request, cancellation: context.cancellation, observer: display.show
      ) { try run.confirm($0) }
      context.console.show(RunPage(database: project.database, report: report))
      context.console.next("martlet migrate status")
      return report.isPartial ? .partlyDone : .done
    }
  }
}
