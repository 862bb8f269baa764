import BSON
import MongoDB

/// Runs steps that define things: collections, indexes, options, names; and takes them back.
struct DefinitionRunner {
  let client: Client
  let database: Database
  let names: LedgerNames
  let migration: String
  let release: Release
  /// Distinguishes kept names of different runs.
  let seed: String
  let watch: BuildWatch
  /// Where dropped collections go.
  let archive: (any CollectionArchive)?

  var kept: KeptCollections { KeptCollections(database, names: names, archive: archive) }

  /// How the step is taken back, found out before it runs; journalled before it runs.
  func intent(for step: PlannedStep) throws -> Document {
    if case .none(let reason) = step.effect { return UndoKind.nothing(reason) }
    let target = step.target ?? ""
    switch step.kind {
    case .create: return try createIntent(step, target)
    case .createIndexes:
      let info = try database.listCollections(filter: ["name": .string(target)]).first
      let collation = info?.options["collation"]?.documentValue
      return UndoKind.dropIndexes(
        target, try missingIndexes(step, target, collation), creating: info == nil)
    case .dropIndexes:
      let specs = try database.listIndexes(target).map(\.spec)
      let dropped = Set(DroppedIndexes.names(step.command, existing: specs))
      return UndoKind.createIndexes(
        target, specs.filter { dropped.contains($0["name"]?.stringValue ?? "") })
    case .collMod: return try CollModInverse(database: database).undo(of: step.command)
    case .renameCollection: return try renameIntent(step)
    case .drop:
      return try kept.intent(
        for: target, token: "\(seed)/\(step.index)") ?? UndoKind.nothing("it was not there")
    default:
      return UndoKind.none("\(step.name) has no inverse of its own")
    }
  }

  /// Runs the step; running it again after it died half-way leads to the same end.
  func run(_ step: PlannedStep, intent: Document, session: Session? = nil) throws -> Document? {
    if case .none = step.effect { return nil }
    switch step.kind {
    case .create:
      return intent["kind"] == "nothing" ? nil : try create(step, session: session)
    case .createIndexes: return try createIndexes(step, session: session)
    case .dropIndexes: return try dropIndexes(step, intent)
    case .renameCollection: return try rename(step, intent)
    case .drop:
      guard intent["kind"] == "unkeep" else { return nil }
      let isKept = try kept.keep(
        intent, migration: migration, reason: "drop", release: release)
      return isKept ? ["kept": intent["kept"] ?? ""] : nil
    default:
      return summary(try send(step.command))
    }
  }

  // MARK: - Forward

  private func missingIndexes(
    _ step: PlannedStep, _ target: String, _ collation: Document?
  ) throws -> [String] {
    let there = try database.listIndexes(target, includeBuildUUIDs: true).map(\.spec)
    return (step.command["indexes"]?.arrayValue ?? []).compactMap(\.documentValue).filter {
      IndexComparison.compare($0, with: there, collation: collation, release: release) == .missing
    }.map(IndexComparison.indexName)
  }

  private func createIntent(_ step: PlannedStep, _ target: String) throws -> Document {
    guard let info = try database.listCollections(filter: ["name": .string(target)]).first else {
      return UndoKind.drop(target)
    }
    // Made since the plan looked, by an earlier step or by somebody else: it is not ours to drop.
    let there = CollectionState(
      type: info.raw["type"]?.stringValue ?? "collection", options: info.options)
    if let obstacle = OptionsComparison.obstacle(step.command, there) {
      throw MigrationError(
        .conflict, "\(target) \(obstacle); the server would answer 48",
        hint: "use collMod for what may be changed, or a new name")
    }
    return UndoKind.nothing("it was there before, as asked")
  }

  private func create(_ step: PlannedStep, session: Session?) throws -> Document? {
    do {
      return summary(try database.run(step.command, session: session, options: options(session)))
    } catch {
      // The attempt before this one created it: the journal had noted that it was not there.
      guard error.code == 48, session == nil else { throw error }
      return nil
    }
  }

  private func createIndexes(_ step: PlannedStep, session: Session?) throws -> Document? {
    if let session {
      return summary(try database.run(step.command, session: session))
    }
    return summary(
      try watch.build(step.command, on: database, collection: step.target ?? ""))
  }

  private func dropIndexes(_ step: PlannedStep, _ intent: Document) throws -> Document? {
    let names = (intent["indexes"]?.arrayValue ?? []).compactMap {
      $0.documentValue?["name"]?.stringValue
    }
    let there = Set(try database.listIndexes(step.target ?? "").map(\.name))
    for name in names where there.contains(name) {
      _ = try database.run(
        ["dropIndexes": .string(step.target ?? ""), "index": .string(name)], options: .majority)
    }
    return nil
  }

  private func renameIntent(_ step: PlannedStep) throws -> Document {
    let from = Names.collection(step.target ?? "", in: database.name)
    let to = Names.collection(step.command["to"]?.stringValue ?? "", in: database.name)
    var intent = UndoKind.rename(from: from, to: to)
    if step.command.isTruthyFlag("dropTarget"),
      let target = try kept.intent(
        for: to, token: "\(seed)/\(step.index)")
    {
      intent.append("target", .document(target))
    }
    return intent
  }

  private func rename(_ step: PlannedStep, _ intent: Document) throws -> Document? {
    let from = intent["from"]?.stringValue ?? ""
    let to = intent["to"]?.stringValue ?? ""
    let there = Set(try database.listCollections().map(\.name))
    // Only the rename itself can have removed the source.
    guard there.contains(from) || !there.contains(to) else { return nil }
    if let target = intent["target"]?.documentValue {
      _ = try kept.keep(
        target, migration: migration, reason: "replaced by \(from)", release: release)
    }
    try database.rename(from, to: to)
    return nil
  }

  /// Sends a command where it belongs: some exist in `admin` only.
  private func send(_ command: Document) throws -> Document {
    let name = command.keys.first ?? ""
    let admin: Set<String> = [
      "shardCollection", "enableSharding", "reshardCollection", "refineCollectionShardKey",
      "setParameter", "setFeatureCompatibilityVersion", "getParameter", "addShardToZone",
      "updateZoneKeyRange", "balancerStart", "balancerStop", "setDefaultRWConcern",
    ]
    if admin.contains(name) { return try client.run(command, on: "admin") }
    guard name == "aggregate" else {
      return try client.run(command, on: database.name)
    }
    var aggregate = command
    if !aggregate.has("cursor") { aggregate.append("cursor", [:]) }
    var results: Int64 = 0
    let cursor = try client.cursor(aggregate, on: database.name)
    while try cursor.next() != nil { results += 1 }
    return ["results": .int64(results)]
  }

  private func options(_ session: Session?) -> CommandOptions {
    session == nil ? .majority : CommandOptions()
  }

  private func summary(_ reply: Document) -> Document? {
    let kept: Set<String> = [
      "n", "nModified", "numIndexesBefore", "numIndexesAfter", "note", "results",
    ]
    let summary = reply.filteringElements { kept.contains($0.key) }
    return summary.isEmpty ? nil : summary
  }
}
