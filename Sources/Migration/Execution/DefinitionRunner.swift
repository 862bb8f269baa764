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
