import BSON

extension StepPlanner {
  func describeCreate(
    _ draft: inout Draft, _ before: CollectionState?, started: Bool,
    _ conflicts: inout [MigrationError]
  ) {
    draft.inverse = "drop; renamed to a kept name instead if it has gained documents"
    guard let before else {
      draft.impact = ["a new \(draft.command.has("viewOn") ? "view" : "collection")"]
      return
    }
    // The journal says that an earlier attempt began to create it.
    if started { return }
    if let obstacle = OptionsComparison.obstacle(draft.command, before) {
      conflicts.append(
        conflict(
          "\(step.target ?? "") \(obstacle); the server would answer 48",
          hint: "use collMod for what may be changed, or a new name"))
    } else {
      draft.effect = .none("exists with these options, \(before.count) documents")
      draft.inverse = "nothing: it was there before"
    }
  }

  func describeIndexes(
    _ draft: inout Draft, _ before: CollectionState?, _ conflicts: inout [MigrationError]
  ) {
    if before?.type == "view" {
      conflicts.append(
        conflict("\(step.target ?? "") is a view; the server would answer 166"))
    }
    let existing = before?.indexes ?? []
    let count = before?.count ?? 0
    var missing = 0
    var specs: [Value] = []
    var seen = existing
    for value in draft.command["indexes"]?.arrayValue ?? [] {
      guard var spec = value.documentValue else { continue }
      let name = IndexComparison.indexName(spec)
      if !spec.has("name") { spec.append("name", .string(name)) }
      specs.append(.document(spec))
      switch IndexComparison.compare(
        spec, with: seen, collation: before?.collation, release: state.release)
      {
      case .missing:
        missing += 1
        seen.append(IndexComparison.kept(spec, collation: before?.collation))
        describeBuild(&draft, name: name, spec: spec, before, &conflicts)
      case .identical(let there) where before?.unfinished.contains(there) ?? false:
        missing += 1
        draft.impact.append("\(name): is being built; the step waits for it")
      case .identical: draft.impact.append("\(name): exists already")
      case .conflict(let other, let reason):
        conflicts.append(
          conflict(
            reason, hint: "drop \(other) in an earlier step, or write the index as it is"))
      }
    }
    draft.command["indexes"] = .array(specs)
    draft.inverse = "drops the indexes that this step builds"
    if missing == 0, before != nil {
      draft.effect = .none("all indexes exist")
      draft.inverse = "nothing: they were there before"
    } else if count > 0, !state.unreachableMembers.isEmpty,
      state.release >= Release(major: 4, minor: 4), !draft.command.has("commitQuorum")
    {
      conflicts.append(
        MigrationError(
          .notReady,
          "step \(step.index + 1) of \(migration.name): the build would wait for "
            + "\(state.unreachableMembers.joined(separator: ", ")), which does not answer",
          at: step.location,
          hint: "start that member, or add `commitQuorum: majority` to the step"))
    }
  }

  private func describeBuild(
    _ draft: inout Draft, name: String, spec: Document, _ before: CollectionState?,
    _ conflicts: inout [MigrationError]
  ) {
    let count = before?.count ?? 0
    draft.impact.append(
      count == 0
        ? "\(name): built on an empty collection" : "\(name): built over \(count) documents")
    let fields = (spec["key"]?.documentValue?.keys ?? []).map { String($0.prefix { $0 != "." }) }
    let changed = before?.changedFields ?? []
    if changed.contains("*") || !changed.isDisjoint(with: fields) {
      // What is there now says nothing about what the build will meet.
      if spec["unique"]?.isTruthy == true {
        draft.impact.append("\(name): duplicates not looked at: an earlier step changes the fields")
      }
    } else if let duplicates = facts?.duplicates[name], duplicates.groups > 0 {
      let samples = duplicates.samples.prefix(5).map {
        ExtendedJSON.text($0, .relaxed)
      }.joined(separator: ", ")
      conflicts.append(
        conflict(
          "\(duplicates.groups)\(duplicates.groups >= 1000 ? " or more" : "") key values of \(name) "
            + "occur more than once, for example in _id \(samples)",
          hint: "mend those documents first; a unique index cannot be built over them"))
    }
    if let expiring = facts?.expiring[name], expiring.known != 0 {
      draft.impact.append("\(name): TTL deletes \(expiring.text) documents at once")
      draft.destroys = true
    }
  }

  func describeDropIndexes(
    _ draft: inout Draft, _ before: CollectionState?, started: Bool,
    _ conflicts: inout [MigrationError]
  ) {
    let existing = before?.indexes ?? []
    let names = DroppedIndexes.names(draft.command, existing: existing)
    draft.inverse = "builds them again from their definitions"
    draft.impact = ["drops \(names.isEmpty ? "nothing" : names.joined(separator: ", "))"]
    // The attempt before this one has noted what was there, and may have dropped it.
    if started { return }
    if let obstacle = DroppedIndexes.obstacle(draft.command, on: step.target ?? "", before) {
      conflicts.append(conflict(obstacle))
    } else if names.isEmpty {
      draft.effect = .none("there is no index but that on _id")
      draft.inverse = "nothing: there was none"
    }
  }

  func describeCollMod(
    _ draft: inout Draft, _ before: CollectionState?, _ conflicts: inout [MigrationError]
  ) {
    draft.inverse = "collMod with the options that were there before"
    guard let before else {
      conflicts.append(conflict("\(step.target ?? "") does not exist; the server would answer 26"))
      return
    }
    if isAsAsked(draft.command, before) {
      draft.effect = .none("the options are as asked")
      draft.inverse = "nothing: they were so before"
      return
    }
    draft.impact = [
      "changes \(draft.command.keys.dropFirst().joined(separator: ", ")) of \(step.target ?? "")"
    ]
    if let failing = facts?.failingValidator, failing.known != 0 {
      draft.impact.append("\(failing.text) existing documents would fail the validator")
    }
  }

  private func isAsAsked(_ command: Document, _ before: CollectionState) -> Bool {
    let known: Set<String> = [
      "collMod", "validator", "validationLevel", "validationAction", "comment", "writeConcern",
    ]
    guard Set(command.keys).isSubset(of: known), command.count > 1 else { return false }
    let defaults: [String: Value] = [
      "validator": [:], "validationLevel": "strict", "validationAction": "error",
    ]
    return defaults.allSatisfy { key, fallback in
      guard let asked = command[key] else { return true }
      return IndexComparison.equal(asked, before.options[key] ?? fallback)
    }
  }

  func describeRename(
    _ draft: inout Draft, started: Bool, _ simulation: Simulation,
    _ conflicts: inout [MigrationError]
  ) {
    let from = Names.collection(step.target ?? "", in: state.database)
    let to = Names.collection(draft.command["to"]?.stringValue ?? "", in: state.database)
    draft.inverse = "renames it back"
    draft.impact = ["renames \(from) to \(to); open cursors and change streams on it end"]
    if started { return }
    conflicts += RenameObstacle.all(draft.command, from: from, to: to, simulation.collections)
      .map { conflict($0) }
    if let target = simulation.collections[to], draft.command.isTruthyFlag("dropTarget") {
      draft.impact.append("\(to) is there with \(target.count) documents and is kept aside first")
      draft.destroys = true
    }
  }

  func describeDrop(_ draft: inout Draft, _ before: CollectionState?, started: Bool) {
    // The attempt before this one may have renamed it, and has to be finished.
    if started {
      draft.inverse = "brings the kept collection back"
      draft.impact = ["finishes putting it aside"]
      return
    }
    guard let before else {
      draft.effect = .none("does not exist")
      draft.inverse = "nothing: it was not there"
      return
    }
    draft.destroys = before.count > 0
    draft.inverse =
      before.type == "view" ? "creates the view again" : "brings the kept collection back"
    draft.impact =
      before.type == "view"
      ? ["drops a view"] : ["\(before.count) documents are put aside under a kept name, TTL off"]
  }
}
