import BSON

/// Cuts the steps of a migration into runs that share a transaction.
///
/// - Source: experiments section 6: create and createIndexes on the new collection from 4.4 on, in
///   that order and before its first document; CRUD from 4.2 on; views, time-series, existing
///   collections' indexes and everything else never.
struct Grouping {
  let migration: Migration
  let steps: [PlannedStep]
  let state: ServerState

  /// What one transaction may touch: longer steps go in chunks of their own.
  static let documentLimit: Int64 = 1000
  static let byteLimit = 8 << 20

  func groups() -> [StepGroup] {
    var groups: [StepGroup] = []
    var start = 0
    var run = Run()
    for (position, step) in steps.enumerated() {
      if run.accepts(step, in: self) { continue }
      if position > start { groups.append(StepGroup(steps: start..<position, isTransaction: true)) }
      start = position
      run = Run()
      if !run.accepts(step, in: self) {
        groups.append(StepGroup(steps: position..<position + 1, isTransaction: false))
        start = position + 1
        run = Run()
      }
    }
    if start < steps.count {
      groups.append(StepGroup(steps: start..<steps.count, isTransaction: true))
    }
    return groups
  }

  /// A transaction that grows step by step.
  private struct Run {
    var created: Set<String> = []
    var written: Set<String> = []
    var documents: Int64 = 0
    var bytes = 0

    mutating func accepts(_ step: PlannedStep, in grouping: Grouping) -> Bool {
      guard grouping.migration.transaction != .never, grouping.state.hasTransactions,
        let target = step.target, !target.hasPrefix("system."), step.options.unless == nil
      else { return false }
      // What an earlier attempt began outside a transaction is finished outside.
      if case .alreadyDone = step.effect { return false }
      let ddl = grouping.state.release >= Release(major: 4, minor: 4)
      switch step.kind {
      case .create:
        guard ddl, step.sharesTransactions, step.effect == .change, !step.command.has("viewOn"),
          !step.command.has("timeseries"), !written.contains(target)
        else { return false }
        created.insert(target)
        return true
      case .createIndexes:
        return ddl && created.contains(target) && !written.contains(target)
      case .insert, .update, .delete:
        return acceptsData(step, target, grouping)
      default: return false
      }
    }

    private mutating func acceptsData(
      _ step: PlannedStep, _ target: String, _ grouping: Grouping
    ) -> Bool {
      guard step.sharesTransactions else { return false }
      let existing = grouping.state.collections[target]
      if existing == nil, !created.contains(target),
        grouping.state.release < Release(major: 4, minor: 4) || step.kind != .insert
      {
        return false
      }
      guard let touched = step.documents ?? step.estimate,
        documents + touched <= Grouping.documentLimit,
        bytes + step.command.bytes.count <= Grouping.byteLimit
      else { return false }
      documents += touched
      bytes += step.command.bytes.count
      written.insert(target)
      return true
    }
  }
}
