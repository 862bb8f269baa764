import BSON

/// Checks of the parts of known commands, where they are written; a command that we do not know is
/// left to the server.
extension MigrationParser {
  /// Commands whose first value is the name of a collection.
  private static let onCollection: Set<String> = [
    "create", "createIndexes", "dropIndexes", "collMod", "drop", "insert", "update", "delete",
    "findAndModify", "find", "count", "distinct", "renameCollection", "convertToCapped",
    "shardCollection", "validate", "compact", "reIndex",
  ]
  /// What the driver adds to a command by itself.
  private static let ofDriver: Set<String> = [
    "$db", "lsid", "txnNumber", "autocommit", "startTransaction", "$clusterTime",
  ]

  mutating func checkShape(of command: [Tree.Entry], first: Tree.Entry, _ label: String) {
    for entry in command where Self.ofDriver.contains(entry.key) {
      problems.append(
        MigrationError(
          .unknownKey, "\(label): `\(entry.key)` is added by the driver and cannot be written",
          file: file, line: entry.line, column: entry.column, hint: "remove it"))
    }
    guard checkTarget(first, label) else { return }
    func part(_ key: String) -> Tree? { command.first { $0.key == key }?.value }
    switch first.key {
    case "createIndexes":
      mappings(part("indexes"), "indexes", of: first, label)
    case "insert":
      mappings(part("documents"), "documents", of: first, label)
    case "update":
      for (index, item) in mappings(part("updates"), "updates", of: first, label).enumerated() {
        let path = "\(label), updates[\(index)]"
        mapping(item["q"], "\(path).q", of: item)
        update(item["u"], "\(path).u", of: item)
      }
    case "delete":
      for (index, item) in mappings(part("deletes"), "deletes", of: first, label).enumerated() {
        mapping(item["q"], "\(label), deletes[\(index)].q", of: item)
      }
    case "aggregate":
      mappings(part("pipeline"), "pipeline", of: first, label)
    case "renameCollection":
      guard let to = part("to") else {
        return missing("\(label): `to:` is missing: expected the new name", first)
      }
      _ = text(to, "\(label), to")
    case "dropIndexes" where part("index") == nil:
      missing("\(label): `index:` is missing: expected a name, a list of names or a key", first)
    default: break
    }
  }

  private mutating func checkTarget(_ first: Tree.Entry, _ label: String) -> Bool {
    let place = Tree(content: first.value.content, line: first.line, column: first.column)
    if first.key.isEmpty || first.key.hasPrefix("$") {
      fail(
        .invalidValue, "\(label): `\(first.key)` is not a command: expected one as first key",
        place)
      return false
    }
    if Self.onCollection.contains(first.key) {
      guard let name = first.value.string else {
        let hint = first.value.entries == nil && first.value.items == nil ? "quote the name" : nil
        fail(
          .wrongType,
          "\(label): \(first.key): expected the collection's name, found "
            + first.value.kind, first.value, hint: hint)
        return false
      }
      if name.isEmpty || name.contains("\0") || name.hasPrefix(".") {
        fail(.invalidValue, "\(label): \(first.key): not a collection's name", first.value)
        return false
      }
    } else if first.value.scalar == .null {
      fail(
        .wrongType, "\(label): \(first.key): expected a value, found null", first.value,
        hint: "commands without an argument take 1")
      return false
    }
    return true
  }

  @discardableResult
  private mutating func mappings(
    _ tree: Tree?, _ key: String, of first: Tree.Entry, _ label: String
  ) -> [Tree] {
    guard let tree else {
      missing("\(label): `\(key):` is missing in \(first.key): expected a list", first)
      return []
    }
    guard let items = tree.items else {
      fail(.wrongType, "\(label), \(key): expected a list, found \(tree.kind)", tree)
      return []
    }
    for (index, item) in items.enumerated() where item.entries == nil {
      fail(.wrongType, "\(label), \(key)[\(index)]: expected a mapping, found \(item.kind)", item)
    }
    if items.isEmpty, key != "pipeline" {
      fail(.invalidValue, "\(label), \(key): the list is empty", tree)
    }
    return items.filter { $0.entries != nil }
  }

  private mutating func mapping(_ tree: Tree?, _ path: String, of owner: Tree) {
    guard let tree else {
      return fail(.missingKey, "\(path) is missing: expected a filter", owner)
    }
    if tree.entries == nil {
      fail(.wrongType, "\(path): expected a mapping, found \(tree.kind)", tree)
    }
  }

  private mutating func update(_ tree: Tree?, _ path: String, of owner: Tree) {
    guard let tree else {
      return fail(.missingKey, "\(path) is missing: expected an update", owner)
    }
    if tree.entries == nil, tree.items == nil {
      fail(.wrongType, "\(path): expected a mapping or a pipeline, found \(tree.kind)", tree)
    }
  }

  private mutating func missing(_ message: String, _ first: Tree.Entry) {
    problems.append(
      MigrationError(.missingKey, message, file: file, line: first.line, column: first.column))
  }
}
