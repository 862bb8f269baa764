import Migration
import Validation

/// The checks of `validate before` that are about what the plan does.
struct PlanChecks {
  private let project: MigrationProject
  private let plan: Plan
  private let context: CommandContext

  init(_ project: MigrationProject, _ plan: Plan, _ context: CommandContext) {
    self.project = project
    self.plan = plan
    self.context = context
  }

  /// Nothing for an empty plan, or one that cannot be carried out anyway. Blocks.
  func results() throws -> [CheckResult] {
    let pending = plan.migrations.compactMap(\.migration)
    guard plan.conflicts.isEmpty, !pending.isEmpty else { return [] }
    let effects = MigrationEffects(
      migrations: pending, applied: [], ledger: project.settings.migrationsCollection.value,
      database: project.database)
    return try Validator(
      project.migrator.pool, database: project.database, phase: .before,
      expectations: effects.expectations(since: nil),
      options: CheckOptions(cancellation: context.cancellation)
    ).checkPlan()
  }
}
