import BSON

/// The collections as they will be when the earlier steps of a plan are done.
struct Simulation {
  private(set) var collections: [String: CollectionState]

  private let release: Release

  init(_ state: ServerState) {
    collections = state.collections
    release = state.release
  }

  mutating func apply(_ step: Step, command: Document, database: String) {
    let target = step.target ?? ""
    switch StepKind(command: step.name) {
    case .create: create(target, command)
    case .createIndexes: addIndexes(target, command)
    case .dropIndexes: dropIndexes(target, command)
    case .renameCollection:
      let from = Names.collection(target, in: database)
      let to = Names.collection(command["to"]?.stringValue ?? "", in: database)
      collections[to] = collections.removeValue(forKey: from)
    case .drop: collections[target] = nil
    case .insert:
      let inserted = command["documents"]?.arrayValue?.count ?? 0
      collections[target, default: CollectionState(isPlanned: true)].count += Int64(inserted)
    case .collMod:
      if let validator = command["validator"] {
        collections[target]?.options["validator"] = validator
      }
    case .update: collections[target]?.changedFields.formUnion(step.changedFields ?? ["*"])
    case .delete, .other: collections[target]?.changedFields.insert("*")
    }
  }

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
    collections[name] = collection
  }

  private mutating func dropIndexes(_ name: String, _ command: Document) {
    guard let collection = collections[name] else { return }
    let dropped = Set(DroppedIndexes.names(command, existing: collection.indexes))
    collections[name]?.indexes.removeAll { dropped.contains($0["name"]?.stringValue ?? "") }
  }
}

/// Which indexes a `dropIndexes` command means.
enum DroppedIndexes {
  static func names(_ command: Document, existing: [Document]) -> [String] {
    let all = existing.compactMap { $0["name"]?.stringValue }
    switch command["index"] {
    case .string("*"): return all.filter { $0 != "_id_" }
    case .string(let name): return all.filter { $0 == name }
    case .array(let names):
      let wanted = Set(names.compactMap(\.stringValue))
      return all.filter { wanted.contains($0) }
    case .document(let key):
      return existing.filter {
        guard let other = $0["key"]?.documentValue else { return false }
        return IndexComparison.equal(.document(key), .document(other))
      }.compactMap { $0["name"]?.stringValue }
    default: return []
    }
  }
}

/// Full and short names of collections.
enum Names {
  /// The collection in a full name of this database, or the name itself.
  static func collection(_ name: String, in database: String) -> String {
    name.hasPrefix(database + ".") ? String(name.dropFirst(database.utf8.count + 1)) : name
  }

  /// `database.collection`, whether or not the database was written.
  static func full(_ name: String, in database: String) -> String {
    name.hasPrefix(database + ".") ? name : "\(database).\(name)"
  }
}
