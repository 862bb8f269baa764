import BSON

/// The collections as they will be when the earlier steps of a plan are done.
struct Simulation {
  private(set) var collections: [String: CollectionState]
  /// True behind a step whose effect only a run shows: nothing may be called done already.
  private(set) var isUncertain = false
  private let release: Release

  init(_ state: ServerState) {
    collections = state.collections
    release = state.release
  }

  mutating func apply(_ step: Step, command: Document, database: String) {
    let target = step.target ?? ""
    // Whether it is left out is known when it runs.
    if step.options.unless != nil { isUncertain = true }
    switch StepKind(command: step.name) {
    case .create: create(target, command)
    case .createIndexes: addIndexes(target, command)
    case .dropIndexes: dropIndexes(target, command)
    case .renameCollection:
      let from = Names.collection(target, in: database)
      let to = Names.collection(command["to"]?.stringValue ?? "", in: database)
      // Without `from` the attempt before this one has renamed it.
      if let moved = collections.removeValue(forKey: from) { collections[to] = moved }
    case .drop: collections[target] = nil
    case .insert:
      let inserted = command["documents"]?.arrayValue?.count ?? 0
      collections[target, default: CollectionState(isPlanned: true)].count += Int64(inserted)
      collections[target]?.gainsDocuments = true
    case .collMod: modify(target, command)
    case .update:
      if upserts(command) { make(target) }
      collections[target]?.changedFields.formUnion(step.changedFields ?? ["*"])
    case .delete: collections[target]?.changedFields.insert("*")
    case .other: applyOther(step.name, target, command, database)
    }
  }

  /// What a migration written in Swift, or a recorded inverse, changes is not known.
  mutating func applyUnknown() { isUncertain = true }

  // MARK: - Definitions

  private mutating func create(_ name: String, _ command: Document) {
    guard collections[name] == nil else { return }
    var options = command
    options.remove("create")
    let type =
      command.has("viewOn") ? "view" : command.has("timeseries") ? "timeseries" : "collection"
    collections[name] = CollectionState(
      type: type, options: options,
      indexes: type == "collection" ? [["v": 2, "key": ["_id": 1], "name": "_id_"]] : [],
      isPlanned: true)
  }

  private mutating func addIndexes(_ name: String, _ command: Document) {
    var collection = collections[name] ?? CollectionState(isPlanned: true)
    for case .document(let spec) in command["indexes"]?.arrayValue ?? []
    where IndexComparison.compare(
      spec, with: collection.indexes, collation: collection.collation, release: release) == .missing
    {
      collection.indexes.append(IndexComparison.kept(spec, collation: collection.collation))
    }
    // The step has waited for those of its own.
    for case .document(let spec) in command["indexes"]?.arrayValue ?? [] {
      collection.unfinished.remove(IndexComparison.indexName(spec))
    }
    collections[name] = collection
  }

  private mutating func dropIndexes(_ name: String, _ command: Document) {
    guard let collection = collections[name] else { return }
    let dropped = Set(DroppedIndexes.names(command, existing: collection.indexes))
    collections[name]?.indexes.removeAll { dropped.contains($0["name"]?.stringValue ?? "") }
  }

  private mutating func modify(_ name: String, _ command: Document) {
    guard var collection = collections[name] else { return }
    for option in command.dropFirst() {
      switch option.key {
      case "index": modifyIndex(&collection, option.value.documentValue ?? [:])
      case "cappedSize": collection.options["size"] = option.value
      case "cappedMax": collection.options["max"] = option.value
      case "timeseries":
        var merged = collection.options["timeseries"]?.documentValue ?? [:]
        for part in option.value.documentValue ?? [:] { merged[part.key] = part.value }
        collection.options["timeseries"] = .document(merged)
      case "comment", "writeConcern": break
      default: collection.options[option.key] = option.value
      }
    }
    collections[name] = collection
  }

  private func modifyIndex(_ collection: inout CollectionState, _ change: Document) {
    for position in collection.indexes.indices {
      let spec = collection.indexes[position]
      guard
        change["name"].map({ $0 == spec["name"] })
          ?? IndexComparison.equal(change["keyPattern"], spec["key"])
      else { continue }
      for option in change where option.key != "name" && option.key != "keyPattern" {
        collection.indexes[position][option.key] = option.value
      }
    }
  }

  // MARK: - Commands without an inverse

  private mutating func applyOther(
    _ name: String, _ target: String, _ command: Document, _ database: String
  ) {
    switch name {
    case "aggregate":
      guard let output = AggregateOutput.collection(command, in: database) else { return }
      make(output)
      collections[output]?.changedFields.insert("*")
    case "findAndModify", "findandmodify":
      if command.isTruthyFlag("upsert") { make(target) }
      collections[target]?.changedFields.insert("*")
    case "convertToCapped":
      collections[target]?.options["capped"] = true
      collections[target]?.options["size"] = command["size"] ?? 0
      collections[target]?.indexes.removeAll { $0["name"] != "_id_" }
    default:
      guard !Linter.reading.contains(name), !Linter.apart.contains(name) else { return }
      isUncertain = true
      collections[target]?.changedFields.insert("*")
    }
  }

  /// A collection that a step makes by writing to it, if it is not there.
  private mutating func make(_ name: String) {
    guard collections[name] == nil else { return }
    collections[name] = CollectionState(
      indexes: [["v": 2, "key": ["_id": 1], "name": "_id_"]], isPlanned: true)
  }

  private func upserts(_ command: Document) -> Bool {
    (command["updates"]?.arrayValue ?? []).contains {
      $0.documentValue?.isTruthyFlag("upsert") ?? false
    }
  }
}
