import ArgumentParser
import Migration

/// `martlet migrate up`: applies what is pending.
struct UpCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "up", "Apply pending migrations.",
    discussion: """
      Takes the lock, plans, and executes that very plan; every step is journalled, and a second run \
      goes on where the first one died. What removes or overwrites something asks first, and needs \
      --yes where nobody can be asked.

      With `migrations.backup: auto`, the default, the database is backed up first when the environment is \
      production or something would be removed or overwritten; `always` and `never` say so too. The ledger \
      names the backup, and when it fails nothing is migrated.

      EXAMPLES:
        martlet migrate up
        martlet migrate up --to 003
        martlet migrate up --count 1 --yes
        martlet migrate up --dry-run              # the plan, nothing is written
        martlet migrate up --wait 5m --max-runtime 30m
        martlet migrate apply all                 # the same, as older scripts write it
      """,
    aliases: ["apply"])

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var range: UpOptions
  @OptionGroup var lock: LockOptions
  @OptionGroup var confirmation: ConfirmationOptions

  @Flag(help: "Show the plan and stop; nothing is written.")
  var dryRun = false

  @Flag(help: "Take no backup first.")
  var noBackup = false

  @Option(
    help: ArgumentHelp(
      "Where the backup goes: a folder, or rclone:REMOTE:PATH.", valueName: "store"))
  var store: String?

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations)
    if dryRun { return try show(project, context) }
    let run = MigrationRun(context, project, confirmation)
    let backup = try noBackup ? nil : MigrationBackup(context, project, store: store)
    return try run.perform(lock) { migrator, display in
      var migrator = migrator
      if let backup { migrator.backup = { try backup.take(before: $0) } }
      let report = try migrator.up(
        range.request, cancellation: context.cancellation, observer: display.show
      ) { plan in
        try run.confirm(
          plan,
          findings: Lint.lint(
            project.files.migrations, server: plan.release, database: project.database))
      }
      context.console.show(RunPage(database: project.database, report: report))
      context.console.next("martlet migrate status")
      return .done
    }
  }

  private func show(_ project: MigrationProject, _ context: CommandContext) throws -> CommandStatus
  {
    let plan = try project.migrator.planUp(range.request)
    let findings = Lint.lint(
      project.files.migrations, server: plan.release, database: project.database)
    context.console.show(PlanPage(plan: plan, findings: findings))
    guard plan.conflicts.isEmpty, !plan.hasErrors(findings) else { return .checksFailed }
    context.console.next(plan.isEmpty ? "martlet migrate status" : "martlet migrate up")
    return .done
  }
}
