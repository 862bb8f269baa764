import ArgumentParser
import Migration
import Validation

/// `martlet migrate plan`: what `up` would do.
struct PlanCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "plan", "What up would do, step by step, with impact and findings.",
    discussion: """
      Only reads: nothing is written and no lock is taken. `up` makes the same plan and executes that \
      very plan.

      EXAMPLES:
        martlet migrate plan
        martlet migrate plan --to 003
        martlet migrate plan --check          # exit 2 when something is pending
        martlet migrate plan --json | jq '.migrations[].steps[].impact'

      The checks are those of `martlet validate before`, in the same words.

      Exit 4 when a step would be refused as things are, lint finds an error in what is pending, or a check \
      fails; 5 when files and ledger differ.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var range: UpOptions

  @Flag(help: "Exit 2 when something is pending.")
  var check = false

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations)
    let plan = try project.migrator.planUp(range.request)
    let findings = Lint.lint(
      project.files.migrations, server: plan.release, database: project.database)
    let checks = try PlanChecks(project, plan, context).results()
    context.console.show(PlanPage(plan: plan, findings: findings, checks: checks))
    let hasFailed = checks.contains { $0.status == .failed || $0.status == .error }
    guard plan.conflicts.isEmpty, !hasFailed else { return .checksFailed }
    guard !plan.hasErrors(findings) else {
      context.console.next("martlet migrate lint --explain")
      return .checksFailed
    }
    context.console.next(plan.isEmpty ? "martlet migrate status" : "martlet migrate up")
    return check && !plan.isEmpty ? .pending : .done
  }
}

extension Plan {
  /// Whether lint finds an error in a step that would be run.
  func hasErrors(_ findings: [Finding]) -> Bool {
    let pending = Set(migrations.map(\.name))
    return findings.contains { finding in
      finding.severity == .error && !finding.inDown && pending.contains(finding.migration)
    }
  }
}
