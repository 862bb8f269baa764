import BSON

/// Plans one step: what it will do to the collections as they will be then.
struct StepPlanner {
  let migration: Migration
  let step: Step
  let state: ServerState
  let facts: StepFacts?
  /// True for a step under `down:`, which keeps no pre-images.
  var isDown = false
  /// Time-series that earlier steps of the same migration make.
  var madeSeries: Set<String> = []

  func plan(
    now: DateTime, seed: String, done: Bool, started: Bool, _ simulation: inout Simulation,
    _ conflicts: inout [MigrationError]
  ) -> PlannedStep {
    let command = step.resolved(
      now: now,
      makeID: StepHash.ids(seed: seed, migration: migration.name, step: step.index, now: now))
    let before = step.target.flatMap { simulation.collections[$0] }
    var draft = Draft(command: command)
    if done {
      draft.effect = .alreadyDone
    } else {
      var found: [MigrationError] = []
      describe(&draft, before, started: started, simulation, &found)
      if simulation.isUncertain {
        leaveOpen(&draft, &found)
      } else if step.options.unless != nil {
        soften(&draft, &found, "`unless` may leave the step out")
      }
      if step.options.unless != nil, draft.effect == .change, !started {
        draft.impact.append("its `unless` may leave it out: that is asked when it runs")
      }
      conflicts += forbidden(draft.command) + found
    }
    if draft.effect == .change {
      simulation.apply(step, command: command, database: state.database)
    }
    return PlannedStep(
      index: step.index, kind: StepKind(command: step.name), command: draft.command,
      name: step.name, target: step.target, hash: step.hash, options: step.options,
      effect: draft.effect, impact: draft.impact, inverse: draft.inverse,
      destroys: draft.destroys, documents: draft.documents,
      sharesTransactions: !draft.isAlone && before.map { $0.isPlain && !$0.isCapped } ?? true,
      estimate: draft.estimate)
  }

  /// An earlier step may change what this one meets: the server's answer shows it when it runs.
  private func leaveOpen(_ draft: inout Draft, _ found: inout [MigrationError]) {
    if case .none(let reason) = draft.effect {
      draft.effect = .change
      draft.impact.append("as things are now: \(reason); an earlier step may change that")
      draft.isAlone = true
    }
    soften(&draft, &found, "an earlier step may change that")
  }

  /// What a definition meets is looked at again right before it runs; data is not.
  private func soften(_ draft: inout Draft, _ found: inout [MigrationError], _ why: String) {
    guard !StepKind(command: step.name).isData else { return }
    draft.impact += found.filter { $0.code == .conflict }.map {
      "as things are now: \($0.message); \(why)"
    }
    found.removeAll { $0.code == .conflict }
  }

  /// What no earlier step and no condition makes right.
  private func forbidden(_ command: Document) -> [MigrationError] {
    var found: [MigrationError] = []
    if let own = state.names.changed(by: command, in: state.database) {
      found.append(
        conflict(
          "\(own) is Martlet's own, and holds what this run rests on",
          hint: "`martlet migrate mark`, `repair` and `forget` change it"))
    }
    if step.name == "dropDatabase" {
      found.append(
        conflict(
          "dropDatabase takes the ledger and the lock of this run along",
          hint: "drop the collections one by one: each is kept for the way back"))
    }
    return found
  }

  /// What is found out about the step, bit by bit.
  struct Draft {
    var command: Document
    var effect = PlannedStep.Effect.change
    var impact: [String] = []
    var inverse = "none: this command has no inverse; write `down:` steps"
    var destroys = false
    var documents: Int64?
    /// What is counted now, where an earlier step may change it.
    var estimate: Int64?
    /// What it meets is looked at right before it runs.
    var isAlone = false
  }

  private func describe(
    _ draft: inout Draft, _ before: CollectionState?, started: Bool, _ simulation: Simulation,
    _ conflicts: inout [MigrationError]
  ) {
    switch StepKind(command: step.name) {
    case .create: describeCreate(&draft, before, started: started, &conflicts)
    case .createIndexes: describeIndexes(&draft, before, &conflicts)
    case .dropIndexes: describeDropIndexes(&draft, before, started: started, &conflicts)
    case .collMod: describeCollMod(&draft, before, &conflicts)
    case .renameCollection: describeRename(&draft, started: started, simulation, &conflicts)
    case .drop: describeDrop(&draft, before, started: started)
    case .insert:
      describeInsert(&draft, before)
      if before?.type == "view" { conflicts.append(onView) }
    case .update:
      describeChange(&draft, before, verb: "changes")
      conflicts += unwritable(before)
    case .delete:
      describeChange(&draft, before, verb: "deletes")
      draft.destroys = true
      conflicts += unwritable(before)
    case .other:
      draft.impact = ["runs as it is; when it dies half-way it is run again from its beginning"]
    }
  }

  func conflict(_ message: String, hint: String? = nil) -> MigrationError {
    MigrationError(
      .conflict, "step \(step.index + 1) of \(migration.name): \(message)", at: step.location,
      hint: hint)
  }

  // MARK: - Data

  private var onView: MigrationError {
    conflict(
      "\(step.target ?? "") is a view; the server would answer 166",
      hint: "name the collection under it")
  }

  /// What forbids an update or delete whatever it matches.
  private func unwritable(_ before: CollectionState?) -> [MigrationError] {
    switch before?.type {
    case "view": return [onView]
    case "timeseries" where step.options.undo != .none && !isDown:
      return [
        conflict(
          "\(step.target ?? "") is a time-series, whose documents cannot be changed one by one",
          hint: "`martlet: { undo: none }` sends the command as it is, without a way back")
      ]
    default: return []
    }
  }

  private func describeInsert(_ draft: inout Draft, _ before: CollectionState?) {
    let count = draft.command["documents"]?.arrayValue?.count ?? 0
    draft.documents = Int64(count)
    draft.impact = ["inserts \(count) document\(count == 1 ? "" : "s")"]
    if before == nil { draft.impact.append("\(step.target ?? "") does not exist and is created") }
    draft.inverse =
      before?.type == "timeseries"
      ? UndoKind.seriesInverse(isMadeHere: madeSeries.contains(step.target ?? "")).inverse
      : "deletes those that are unchanged since"
  }

  /// Whether earlier steps of the plan change which documents the step selects.
  private func selectsAnew(_ before: CollectionState) -> Bool {
    guard !before.changedFields.isEmpty || before.gainsDocuments else { return false }
    if before.gainsDocuments || before.changedFields.contains("*") { return true }
    let list = step.name == "update" ? "updates" : "deletes"
    return (step.command[list]?.arrayValue ?? []).contains { statement in
      (statement.documentValue?["q"]?.documentValue ?? [:]).keys.contains { path in
        path.hasPrefix("$") || before.changedFields.contains(String(path.prefix { $0 != "." }))
      }
    }
  }

  private func describeChange(_ draft: inout Draft, _ before: CollectionState?, verb: String) {
    draft.inverse =
      step.options.undo == .none
      ? "none: `undo: none`" : "pre-images, restored where unchanged since"
    draft.destroys = step.options.undo == .none
    guard let before else {
      let upserts = (draft.command["updates"]?.arrayValue ?? []).contains {
        $0.documentValue?["upsert"]?.isTruthy ?? false
      }
      draft.documents = upserts ? nil : 0
      draft.impact = ["\(step.target ?? "") does not exist: \(verb) nothing"]
      return
    }
    if before.isPlanned {
      draft.documents = before.count
      draft.impact = ["\(verb) at most \(before.count) documents that this plan inserts"]
    } else if selectsAnew(before) {
      draft.estimate = facts?.matched?.known
      draft.impact = [
        "\(verb) documents; how many is not known: an earlier step changes \(step.target ?? "")"
      ]
    } else if let matched = facts?.matched {
      if case .exact(let n) = matched { draft.documents = n }
      draft.impact = ["\(verb) \(matched.text) of \(before.count) documents"]
      if let n = matched.known, n > Grouping.documentLimit {
        let chunks = (n + Grouping.documentLimit - 1) / Grouping.documentLimit
        draft.impact.append("in about \(chunks) chunks, each with its pre-images and a checkpoint")
      }
    } else {
      draft.impact = ["\(verb) documents; how many was not counted"]
    }
  }
}
