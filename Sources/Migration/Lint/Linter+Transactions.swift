import BSON

extension Linter {
  /// Holds the steps of `transaction: required` against what a server takes in a transaction.
  mutating func transaction(_ migration: Migration) {
    guard migration.transaction == .required else { return }
    var created: Set<String> = []
    var capped: Set<String> = []
    var filled: Set<String> = []
    for step in migration.up {
      at(step)
      guard let reason = refusal(step, created, capped, filled) else {
        switch step.name {
        case "create":
          created.formUnion([step.target].compactMap(\.self))
          if step.command["capped"]?.isTruthy == true {
            capped.formUnion([step.target].compactMap(\.self))
          }
        case "insert": filled.formUnion([step.target].compactMap(\.self))
        default: break
        }
        continue
      }
      report(
        .noTransaction, reason,
        safer: "transaction: auto   # or in the order create, createIndexes, insert, on new "
          + "collections")
    }
  }

  private func refusal(
    _ step: Step, _ created: Set<String>, _ capped: Set<String>, _ filled: Set<String>
  ) -> String? {
    let target = step.target ?? ""
    let old = release.map { $0 < Release(major: 4, minor: 4) } ?? false
    switch step.name {
    case "insert", "delete":
      return capped.contains(target) ? "`\(step.name)` in a capped collection" : nil
    case "update", "findAndModify", "findandmodify", "find", "distinct": return nil
    case "create":
      if old { return "`create` before 4.4" }
      if step.command.has("viewOn") { return "`create` of a view" }
      return step.command.has("timeseries") ? "`create` of a time-series collection" : nil
    case "createIndexes":
      if old { return "`createIndexes` before 4.4" }
      if !created.contains(target) {
        return "`createIndexes` on \(target), which no step before it creates"
      }
      return filled.contains(target) ? "`createIndexes` on \(target) after an insert into it" : nil
    case "aggregate":
      let last = step.command["pipeline"]?.documents.last
      return last?.has("$merge") == true || last?.has("$out") == true
        ? "`aggregate` with $merge or $out" : nil
    default: return "`\(step.name)`"
    }
  }
}
