import BSON

/// Turns files, ledger and server state into a plan, without looking anywhere else.
public struct Planner {
  let migrations: [Migration]
  let ledger: [String: LedgerEntry]
  let state: ServerState
  /// Names a run that begins; an attempt that is gone on with keeps its own.
  let seed: String

  /// Takes what a plan is made of.
  public init(
    migrations: [Migration], ledger: [String: LedgerEntry], state: ServerState, seed: String
  ) {
    self.migrations = migrations
    self.ledger = ledger
    self.state = state
    self.seed = seed
  }

  /// The plan of an `up`.
  /// - Throws: ``MigrationError``: history conflicts (`edited`, `missingFile`, `outOfOrder`,
  ///   `reverting`), all of them at once.
  public func up(_ request: UpRequest) throws(MigrationError) -> Plan {
    try checkHistory(allowOutOfOrder: request.allowOutOfOrder)
    let chosen = try pending(request)
    var simulation = Simulation(state)
    var conflicts: [MigrationError] = []
    var planned: [PlannedMigration] = []
    for migration in chosen {
      planned.append(plan(migration, &simulation, &conflicts))
    }
    return Plan(
      direction: .up, database: state.database, migrations: planned, conflicts: conflicts,
      batch: (ledger.values.map(\.batch).max() ?? 0) + 1, release: state.release,
      unreachableMembers: state.unreachableMembers)
  }

  /// The pending migrations that a request names, in order; those that failed or stopped included.
  public func pending(_ request: UpRequest) throws(MigrationError) -> [Migration] {
    var chosen = migrations.filter { !(ledger[$0.name]?.isApplied ?? false) }
    if let to = request.to {
      let last = try find(to)
      chosen = chosen.filter { $0.id <= last.id }
    }
    if let count = request.count { chosen = Array(chosen.prefix(count)) }
    return chosen
  }

  /// The migration with a stem or number.
  public func find(_ name: String) throws(MigrationError) -> Migration {
    if let exact = migrations.first(where: { $0.name == name }) { return exact }
    let digits = name.drop { $0 == "0" }
    if let numbered = migrations.first(where: { $0.id.number == digits }) { return numbered }
    throw MigrationError(
      .unknownMigration, "no migration is called \(name)",
      hint: "`martlet migrate status` lists them")
  }

  private func plan(
    _ migration: Migration, _ simulation: inout Simulation, _ conflicts: inout [MigrationError]
  ) -> PlannedMigration {
    let entry = ledger[migration.name]
    // A ledger document without a journal holds nothing to go on with.
    let resumed = entry.flatMap { $0.steps.isEmpty || $0.seed == nil ? nil : $0 }
    let now = resumed?.startedAt ?? state.now
    let seed = resumed?.seed ?? seed
    conflicts += requirementConflicts(migration)
    if migration.source.format == .code { simulation.applyUnknown() }
    var madeSeries: Set<String> = []
    let steps = migration.up.map { step in
      let line = resumed.flatMap { step.index < $0.steps.count ? $0.steps[step.index] : nil }
      let planner = StepPlanner(
        migration: migration, step: step, state: state,
        facts: state.facts[StepKey(migration: migration.name, step: step.index)],
        madeSeries: madeSeries)
      if makesSeries(step, line, simulation) { madeSeries.insert(step.target ?? "") }
      return planner.plan(
        now: now, seed: seed, done: line?.state == .done, started: line?.state == .started,
        &simulation, &conflicts)
    }
    let groups = Grouping(migration: migration, steps: steps, state: state).groups()
    if migration.transaction == .required, groups.count != 1 || !groups[0].isTransaction {
      conflicts.append(
        MigrationError(
          .conflict,
          "\(migration.name) requires one transaction, and its steps cannot share one on this server",
          file: migration.source.path,
          hint:
            "write `transaction: auto`, or split the migration; `martlet migrate lint` says which "
            + "step forbids it"))
    }
    return PlannedMigration(
      name: migration.name, migration: migration, steps: steps, groups: groups, entry: entry,
      now: now, seed: seed, isResumed: resumed != nil, down: .journal)
  }

  /// Whether taking the step back takes the time-series away again.
  private func makesSeries(_ step: Step, _ line: JournalStep?, _ simulation: Simulation) -> Bool {
    guard step.name == "create", step.command.has("timeseries") else { return false }
    if let line, line.state != .pending { return line.makesCollection }
    return step.target.map { simulation.collections[$0] == nil } ?? false
  }

  private func requirementConflicts(_ migration: Migration) -> [MigrationError] {
    let requires = migration.requires
    var found: [MigrationError] = []
    if !requires.accepts(state.release) {
      found.append(
        MigrationError(
          .requirement, "\(migration.name) is not for MongoDB \(state.release)",
          file: migration.source.path, hint: "see `requires:` in the file"))
    }
    if !requires.topologies.isEmpty, !requires.topologies.contains(state.topology) {
      found.append(
        MigrationError(
          .requirement, "\(migration.name) is not for a \(state.topology.rawValue)",
          file: migration.source.path, hint: "see `requires:` in the file"))
    }
    return found
  }
}
