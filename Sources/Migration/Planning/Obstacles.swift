import BSON

/// Which indexes a `dropIndexes` command means.
enum DroppedIndexes {
  static func names(_ command: Document, existing: [Document]) -> [String] {
    let all = existing.compactMap { $0["name"]?.stringValue }
    switch command["index"] {
    case .string("*"), .array([.string("*")]): return all.filter { $0 != "_id_" }
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

  /// Names that the command asks for and that are not there: the server then drops none at all.
  static func missing(_ command: Document, existing: [Document]) -> [String] {
    let there = names(command, existing: existing)
    switch command["index"] {
    case .string("*"), .array([.string("*")]): return []
    case .array(let names): return names.compactMap(\.stringValue).filter { !there.contains($0) }
    case .string(let name): return there.isEmpty ? [name] : []
    default: return there.isEmpty ? ["with that key"] : []
    }
  }

  /// Why the server would drop none of them; nil when it would not refuse.
  static func obstacle(
    _ command: Document, on collection: String, _ there: CollectionState?
  ) -> String? {
    guard let there else { return "\(collection) does not exist; the server would answer 26" }
    if there.type == "view" { return "\(collection) is a view; the server would answer 166" }
    if names(command, existing: there.indexes).contains("_id_") {
      return "the index on _id cannot be dropped; the server would answer 72"
    }
    let missing = missing(command, existing: there.indexes)
    guard !missing.isEmpty else { return nil }
    return "no index \(missing.joined(separator: ", ")) on \(collection); "
      + "the server would answer 27 and drop none"
  }
}

/// What the server would answer to a `renameCollection`.
enum RenameObstacle {
  static func all(
    _ command: Document, from: String, to: String, _ there: [String: CollectionState]
  ) -> [String] {
    var found: [String] = []
    if from == to, command.isTruthyFlag("dropTarget") {
      found.append("\(from) would be renamed to itself, which no server does")
    }
    if let source = there[from] {
      if source.type != "collection" {
        found.append(
          "\(from) is a \(source.type == "view" ? "view" : "time-series"), which no server renames; "
            + "it would answer 166")
      }
    } else {
      found.append("\(from) does not exist; the server would answer 26")
    }
    if there[to] != nil, !command.isTruthyFlag("dropTarget") {
      found.append("\(to) exists; the server would answer 48")
    }
    return found
  }
}
