import BSON
import MongoDB

extension DefinitionRunner {
  /// Takes a step back as its journal says; running it again after it died leads to the same end.
  /// - Returns: the name of a collection that was kept instead of dropped.
  func undo(_ undo: Document, step: Int) throws -> String? {
    let collection = undo["collection"]?.stringValue ?? ""
    switch undo["kind"]?.stringValue {
    case "drop": return try dropOrKeep(collection, step: step)
    case "dropIndexes":
      try dropBuilt(collection, undo)
      // The server made the collection for its indexes; documents that came since stay, and so does it.
      if undo.isTruthyFlag("creates"),
        try database.findOne(collection, options: ["projection": ["_id": 1]]) == nil
      {
        return try dropOrKeep(collection, step: step)
      }
    case "createIndexes": try buildAgain(collection, undo)
    case "commands":
      for case .document(let command) in undo["commands"]?.arrayValue ?? [] {
        _ = try database.run(command, options: .majority)
      }
    case "rebuildIndex": try rebuild(collection, undo)
    case "rename": try renameBack(undo)
    case "unkeep": try kept.bringBack(undo)
    default: break
    }
    return nil
  }

  /// A collection that has gained documents is kept: a derived `down` destroys no data.
  private func dropOrKeep(_ collection: String, step: Int) throws -> String? {
    let token = "\(seed)/down/\(step)"
    guard let intent = try kept.intent(for: collection, token: token) else {
      // The attempt before this one may have died right after its rename.
      let name = KeptCollections.keptName(for: collection, token: token)
      return try kept.finish(name) ? name : nil
    }
    let keeps = try kept.keep(
      intent, migration: migration, reason: "down of create", release: release)
    return keeps ? intent["kept"]?.stringValue : nil
  }

  private func dropBuilt(_ collection: String, _ undo: Document) throws {
    let names = (undo["indexes"]?.arrayValue ?? []).compactMap(\.stringValue)
    let there = Set(try database.listIndexes(collection).map(\.name))
    for name in names where there.contains(name) {
      _ = try database.run(
        ["dropIndexes": .string(collection), "index": .string(name)], options: .majority)
    }
  }

  private func buildAgain(_ collection: String, _ undo: Document) throws {
    let specs = undo["indexes"]?.arrayValue ?? []
    guard !specs.isEmpty else { return }
    _ = try watch.build(
      ["createIndexes": .string(collection), "indexes": .array(specs)], on: database,
      collection: collection)
  }

  /// For changes that collMod cannot take back: the index is dropped and built as it was.
  private func rebuild(_ collection: String, _ undo: Document) throws {
    guard let spec = undo["spec"]?.documentValue, let name = spec["name"]?.stringValue else {
      return
    }
    let there = try database.listIndexes(collection)
    if let now = there.first(where: { $0.name == name }) {
      guard now.spec != spec else { return }
      _ = try database.run(
        ["dropIndexes": .string(collection), "index": .string(name)], options: .majority)
    }
    try buildAgain(collection, ["indexes": [.document(spec)]])
  }

  private func renameBack(_ undo: Document) throws {
    let from = undo["from"]?.stringValue ?? ""
    let to = undo["to"]?.stringValue ?? ""
    let there = Set(try database.listCollections().map(\.name))
    if !there.contains(from), there.contains(to) {
      try database.rename(to, to: from)
    } else if there.contains(to), undo["target"] == nil {
      // Only the rename itself makes `from`, and it takes `to` away.
      throw MigrationError(
        .conflict, "\(from) exists again, so \(to) cannot take its name back",
        hint: "rename or drop \(from), then run the command again")
    }
    if let target = undo["target"]?.documentValue {
      try kept.bringBack(target)
    }
  }
}
