import BSON

extension Planner {
  /// The plan of a `down`: applied and half-done migrations, newest first.
  /// - Throws: ``MigrationError`` `.irreversible` for the first that has no way back, before
  ///   anything is taken back.
  public func down(_ request: DownRequest) throws(MigrationError) -> Plan {
    var simulation = Simulation(state)
    var conflicts: [MigrationError] = []
    var planned: [PlannedMigration] = []
    for entry in try chosen(request) {
      planned.append(try planDown(entry, &simulation, &conflicts))
    }
    return Plan(
      direction: .down, database: state.database, migrations: planned, conflicts: conflicts,
      batch: 0, release: state.release, unreachableMembers: state.unreachableMembers)
  }

  private func chosen(_ request: DownRequest) throws(MigrationError) -> [LedgerEntry] {
    let newestFirst = ledger.values.sorted { Self.isBefore($1, $0) }
    switch request {
    case .count(let n): return Array(newestFirst.prefix(n))
    case .all: return newestFirst
    case .batch:
      guard let batch = newestFirst.map(\.batch).max() else { return [] }
      return newestFirst.filter { $0.batch == batch }
    case .names(let names): return newestFirst.filter { names.contains($0.name) }
    case .to(let name):
      let stem = ledger[name] != nil ? name : try find(name).name
      guard let kept = newestFirst.firstIndex(where: { $0.name == stem }) else {
        throw MigrationError(
          .unknownMigration, "\(stem) is not applied",
          hint: "`martlet migrate status` lists what is")
      }
      return Array(newestFirst[..<kept])
    }
  }

  private static func isBefore(_ a: LedgerEntry, _ b: LedgerEntry) -> Bool {
    if let x = MigrationID(a.name), let y = MigrationID(b.name) { return x < y }
    return (a.appliedAt?.milliseconds ?? .max, a.name) < (b.appliedAt?.milliseconds ?? .max, b.name)
  }

  private func planDown(
    _ entry: LedgerEntry, _ simulation: inout Simulation, _ conflicts: inout [MigrationError]
  ) throws(MigrationError) -> PlannedMigration {
    let migration = migrations.first { $0.name == entry.name }
    let (method, steps) = try wayBack(entry, migration, &simulation, &conflicts)
    return PlannedMigration(
      name: entry.name, migration: migration, steps: steps,
      groups: steps.indices.map { StepGroup(steps: $0..<$0 + 1, isTransaction: false) },
      entry: entry, now: state.now, seed: entry.seed ?? seed,
      isResumed: entry.status == .reverting, down: method)
  }

  private func wayBack(
    _ entry: LedgerEntry, _ migration: Migration?, _ simulation: inout Simulation,
    _ conflicts: inout [MigrationError]
  ) throws(MigrationError) -> (DownMethod, [PlannedStep]) {
    if migration?.source.format == .code {
      simulation.applyUnknown()
      return (.code, [])
    }
    if entry.marked != nil, entry.steps.isEmpty, !Self.hasWrittenDown(migration) {
      throw MigrationError(
        .irreversible,
        "\(entry.name) was only marked as applied, nothing was recorded to take back",
        hint:
          "`martlet migrate mark \(entry.name) --unapplied` takes the mark away, or write `down:`")
    }
    switch migration?.down {
    case .irreversible where entry.isApplied:
      throw MigrationError(
        .irreversible, "\(entry.name) says `down: irreversible`", file: migration?.source.path,
        hint: "restore a backup, or write a new migration that goes forward")
    case .steps(let steps) where entry.isApplied || entry.downSteps != nil:
      guard let migration else { return (.steps, []) }
      return (.steps, written(steps, migration, entry, &simulation, &conflicts))
    default: break
    }
    // What the recorded inverses bring back is not simulated.
    simulation.applyUnknown()
    let journal = entry.steps.isEmpty ? try inferred(entry, migration) : entry.steps
    let hasWrittenDown = Self.hasWrittenDown(migration)
    return (.journal, try journalled(entry, journal, hasWrittenDown: hasWrittenDown))
  }

  private static func hasWrittenDown(_ migration: Migration?) -> Bool {
    if case .steps = migration?.down { true } else { false }
  }

  private func written(
    _ steps: [Step], _ migration: Migration, _ entry: LedgerEntry, _ simulation: inout Simulation,
    _ conflicts: inout [MigrationError]
  ) -> [PlannedStep] {
    steps.map { step in
      let journal = entry.downSteps.flatMap { step.index < $0.count ? $0[step.index] : nil }
      return StepPlanner(migration: migration, step: step, state: state, facts: nil, isDown: true)
        .plan(
          now: state.now, seed: entry.seed ?? seed, done: journal?.state == .done,
          started: journal?.state == .started, &simulation, &conflicts)
    }
  }

  /// The recorded inverses, last step first.
  private func journalled(
    _ entry: LedgerEntry, _ journal: [JournalStep], hasWrittenDown: Bool
  ) throws(MigrationError) -> [PlannedStep] {
    // Written steps take back all of an `up`, so they do not serve for a part of it.
    let hint =
      hasWrittenDown && !entry.isApplied
      ? "the `down:` steps of the file are for a whole `up`: finish it with `martlet migrate up` and "
        + "then take it back; or mend by hand and `martlet migrate mark \(entry.name) --unapplied`"
      : "write `down:` steps in the file, or restore a backup"
    var steps: [PlannedStep] = []
    for (index, step) in journal.enumerated().reversed() {
      guard step.state != .pending, step.state != .undone else { continue }
      guard let undo = step.undo, undo["kind"]?.stringValue != "none" else {
        let why = step.undo?["reason"]?.stringValue ?? "nothing was recorded"
        throw MigrationError(
          .irreversible,
          "step \(index + 1) (\(step.command)) of \(entry.name) has no inverse: \(why)",
          hint: hint)
      }
      steps.append(
        PlannedStep(
          index: index, kind: StepKind(command: step.command), command: undo, name: step.command,
          target: step.collection, hash: step.hash, options: StepOptions(), effect: .change,
          impact: UndoKind.describe(undo), inverse: "", destroys: false, documents: nil,
          sharesTransactions: false))
    }
    return steps
  }

  /// What can be known without a journal: for entries of the reference Python manager.
  private func inferred(
    _ entry: LedgerEntry, _ migration: Migration?
  ) throws(MigrationError) -> [JournalStep] {
    guard let migration else {
      throw MigrationError(
        .irreversible, "\(entry.name) has neither a journal nor a file to take it back by")
    }
    var journal: [JournalStep] = []
    for step in migration.up {
      var line = JournalStep(command: step.name, collection: step.target, hash: step.hash)
      line.state = .done
      switch StepKind(command: step.name) {
      case .create: line.undo = UndoKind.drop(step.target ?? "")
      case .createIndexes:
        let specs = step.command["indexes"]?.arrayValue ?? []
        line.undo = UndoKind.dropIndexes(
          step.target ?? "", specs.compactMap { $0.documentValue.map(IndexComparison.indexName) })
      case .insert where migration.up.contains { $0.name == "create" && $0.target == step.target }:
        // Dropping the collection takes the documents along, or keeps them.
        line.undo = UndoKind.nothing("goes with its collection")
      default:
        line.undo = UndoKind.none("\(entry.name) was applied by another tool, without pre-images")
      }
      journal.append(line)
    }
    return journal
  }
}
