import BSON
import MongoDB

/// What stands in the journal before a step begins.
///
/// The plan may have left open what the step meets; what the server would refuse is refused here,
/// before a journal says that it began.
extension DefinitionRunner {
  /// How the step is taken back, found out before it runs; journalled before it runs.
  func intent(for step: PlannedStep) throws -> Document {
    if case .none(let reason) = step.effect { return UndoKind.nothing(reason) }
    if let own = names.changed(by: step.command, in: database.name) {
      throw conflict(step, "\(own) is Martlet's own, and holds what this run rests on")
    }
    let target = step.target ?? ""
    switch step.kind {
    case .create: return try createIntent(step, target)
    case .createIndexes:
      let there = try state(of: target)
      guard there?.type != "view" else {
        throw conflict(step, "\(target) is a view; the server would answer 166")
      }
      let collation = there?.options["collation"]?.documentValue
      return UndoKind.dropIndexes(
        target, try missingIndexes(step, target, collation), creating: there == nil)
    case .dropIndexes: return try dropIndexesIntent(step, target)
    case .collMod:
      guard try state(of: target) != nil else {
        throw conflict(step, "\(target) does not exist; the server would answer 26")
      }
      return try CollModInverse(database: database).undo(of: step.command)
    case .renameCollection: return try renameIntent(step)
    case .drop:
      return try kept.intent(
        for: target, token: "\(seed)/\(step.index)") ?? UndoKind.nothing("it was not there")
    default:
      return UndoKind.none("\(step.name) has no inverse of its own")
    }
  }

  private func conflict(
    _ step: PlannedStep, _ message: String, hint: String? = nil
  ) -> MigrationError {
    MigrationError(
      .conflict, "step \(step.index + 1) of \(migration): \(message)", hint: hint)
  }

  private func createIntent(_ step: PlannedStep, _ target: String) throws -> Document {
    guard let there = try state(of: target) else { return UndoKind.drop(target) }
    // Made since the plan looked, by an earlier step or by somebody else: it is not ours to drop.
    if let obstacle = OptionsComparison.obstacle(step.command, there) {
      throw conflict(
        step, "\(target) \(obstacle); the server would answer 48",
        hint: "use collMod for what may be changed, or a new name")
    }
    return UndoKind.nothing("it was there before, as asked")
  }

  private func missingIndexes(
    _ step: PlannedStep, _ target: String, _ collation: Document?
  ) throws -> [String] {
    let there = try database.listIndexes(target, includeBuildUUIDs: true).map(\.spec)
    let specs = (step.command["indexes"]?.arrayValue ?? []).compactMap(\.documentValue)
    return try specs.filter { spec in
      switch IndexComparison.compare(spec, with: there, collation: collation, release: release) {
      case .missing: return true
      case .identical: return false
      case .conflict(let other, let reason):
        throw conflict(
          step, reason, hint: "drop \(other) in an earlier step, or write the index as it is")
      }
    }.map(IndexComparison.indexName)
  }

  private func dropIndexesIntent(_ step: PlannedStep, _ target: String) throws -> Document {
    var there = try state(of: target)
    if there != nil, there?.type != "view" {
      there?.indexes = try database.listIndexes(target).map(\.spec)
    }
    // Those that are there are dropped one by one, so the server does not see what is missing.
    if let obstacle = DroppedIndexes.obstacle(step.command, on: target, there) {
      throw conflict(step, obstacle)
    }
    let specs = there?.indexes ?? []
    let dropped = Set(DroppedIndexes.names(step.command, existing: specs))
    return UndoKind.createIndexes(
      target, specs.filter { dropped.contains($0["name"]?.stringValue ?? "") })
  }

  private func renameIntent(_ step: PlannedStep) throws -> Document {
    let from = Names.collection(step.target ?? "", in: database.name)
    let to = Names.collection(step.command["to"]?.stringValue ?? "", in: database.name)
    var there: [String: CollectionState] = [:]
    for name in [from, to] { there[name] = try state(of: name) }
    // Once it stands in the journal, a name that is there already passes for our own work.
    if let obstacle = RenameObstacle.all(step.command, from: from, to: to, there).first {
      throw conflict(step, obstacle)
    }
    var intent = UndoKind.rename(from: from, to: to)
    if step.command.isTruthyFlag("dropTarget"),
      let target = try kept.intent(for: to, token: "\(seed)/\(step.index)")
    {
      intent.append("target", .document(target))
    }
    return intent
  }

  /// The collection as it is now, without its indexes.
  private func state(of collection: String) throws -> CollectionState? {
    try database.listCollections(filter: ["name": .string(collection)]).first.map {
      CollectionState(type: $0.raw["type"]?.stringValue ?? "collection", options: $0.options)
    }
  }
}
