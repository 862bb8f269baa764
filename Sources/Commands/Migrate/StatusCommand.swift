import ArgumentParser
import Migration

/// `martlet migrate status`: where every migration stands.
struct StatusCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "status", "Applied, pending, running, failed, edited and missing migrations.",
    discussion: """
      Only reads. Shows kept collections and undo data too, and who holds the lock.

      EXAMPLES:
        martlet migrate status
        martlet migrate status --check     # in CI: exit 2 when something is pending, 5 on conflicts
        martlet migrate status --json
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions

  @Flag(
    help: "Exit 2 when something is pending, 5 when files and ledger differ, 64 for broken files.")
  var check = false

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations)
    let report = try project.migrator.status()
    context.console.show(StatusPage(report: report))
    context.console.next(next(report))
    guard check else { return .done }
    if let conflict = report.conflicts.first ?? report.problems.first {
      return ErrorReport(conflict).status
    }
    return report.hasPending ? .pending : .done
  }

  private func next(_ report: StatusReport) -> String {
    if !report.problems.isEmpty { return "mend the files above, then martlet migrate status" }
    if !report.conflicts.isEmpty {
      return "settle the conflicts above, then martlet migrate status"
    }
    if report.rows.isEmpty { return "martlet migrate create NAME" }
    if report.holder != nil { return "wait for the run that holds the lock" }
    return report.hasPending ? "martlet migrate plan" : "nothing to do: all migrations are applied"
  }
}
