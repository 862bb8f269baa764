import BSON

extension MigrationParser {
  mutating func requires(_ tree: Tree?) -> Requirements {
    var result = Requirements()
    guard let tree else { return result }
    guard let entries = tree.entries else {
      fail(
        .wrongType, "requires: expected a mapping, found \(tree.kind)", tree,
        hint: "requires: { server: \">=4.4 <7.0\", topology: replicaSet }")
      return result
    }
    for entry in entries {
      switch entry.key {
      case "server": range(entry.value, &result)
      case "topology":
        for item in entry.value.items ?? [entry.value] {
          let one: Requirements.Topology? = choice(item, "requires.topology")
          if let one { result.topologies.append(one) }
        }
      default: unknown(entry, among: ["server", "topology"], in: "requires")
      }
    }
    return result
  }

  /// `">=4.4 <7.0"`, either half alone, or a bare release for "at least".
  private mutating func range(_ tree: Tree, _ result: inout Requirements) {
    guard case .scalar(_, let text) = tree.content else {
      fail(.wrongType, "requires.server: expected a string, found \(tree.kind)", tree)
      return
    }
    for part in text.split(whereSeparator: { $0 == " " || $0 == "," }) {
      if part.hasPrefix(">="), let release = Release(part.dropFirst(2)) {
        result.minimum = release
      } else if part.hasPrefix("<"), let release = Release(part.dropFirst()) {
        result.below = release
      } else if let release = Release(part) {
        result.minimum = release
      } else {
        fail(
          .invalidValue, "requires.server: expected releases such as \">=4.4 <7.0\"", tree)
        return
      }
    }
  }

  /// Collection name to what happens to its count: an integer, `any`, or limits.
  mutating func expect(_ tree: Tree?) -> Document? {
    guard let tree else { return nil }
    guard let entries = tree.entries else {
      fail(
        .wrongType, "expect: expected a mapping of collection to change, found \(tree.kind)", tree,
        hint: "expect: { roles: 3, orders: any }")
      return nil
    }
    for entry in entries { effect(entry.value, of: entry.key) }
    return try? TreeConverter(file: file).document(entries)
  }

  private mutating func effect(_ tree: Tree, of collection: String) {
    let label = "expect.\(collection)"
    if let entries = tree.entries {
      for entry in entries {
        if ["change", "count", "min", "max"].contains(entry.key) {
          _ = integer(entry.value, "\(label).\(entry.key)", in: -Int(Int64.max)...Int(Int64.max))
        } else {
          unknown(entry, among: ["change", "count", "min", "max"], in: label)
        }
      }
    } else if tree.string != "any", tree.scalar?.integerValue == nil {
      fail(
        .wrongType,
        "\(label): expected a number of documents more or fewer, `any` or a mapping, found "
          + tree.kind, tree)
    }
  }

  /// `lint: { allow: [ML004] }`.
  mutating func allowed(_ tree: Tree?) -> [String] {
    guard let tree else { return [] }
    guard let entries = tree.entries else {
      fail(
        .wrongType, "lint: expected a mapping, found \(tree.kind)", tree,
        hint: "lint: { allow: [ML004] }")
      return []
    }
    var codes: [String] = []
    for entry in entries {
      guard entry.key == "allow" else {
        unknown(entry, among: ["allow"], in: "lint")
        continue
      }
      guard let items = entry.value.items else {
        fail(.wrongType, "lint.allow: expected a list of codes", entry.value)
        continue
      }
      for item in items {
        if let code = item.string, LintRule.all.contains(where: { $0.code == code }) {
          codes.append(code)
        } else {
          fail(.invalidValue, "lint.allow: expected codes of rules, such as ML004", item)
        }
      }
    }
    return codes.sorted()
  }

  /// What stands under `martlet:` in a step.
  mutating func options(_ tree: Tree, _ label: String) -> StepOptions {
    let known = ["chunk", "parallel", "undo", "pause", "unless"]
    var options = StepOptions()
    guard let entries = tree.entries else {
      fail(.wrongType, "\(label): martlet: expected a mapping, found \(tree.kind)", tree)
      return options
    }
    for entry in entries {
      let name = "\(label): martlet.\(entry.key)"
      switch entry.key {
      case "chunk": options.chunk = integer(entry.value, name, in: 1...2_000)
      case "parallel": options.parallel = integer(entry.value, name, in: 1...16)
      case "undo":
        if let flag = entry.value.scalar?.boolValue {
          options.undo = flag ? .auto : .none
        } else {
          options.undo = choice(entry.value, name) ?? .auto
        }
      case "pause": options.pause = pause(entry.value, name)
      case "unless": options.unless = unless(entry.value, name)
      default: unknown(entry, among: known, in: "\(label): martlet")
      }
    }
    return options
  }

  /// Milliseconds: an integer, or `250ms`, `2s`.
  private mutating func pause(_ tree: Tree, _ name: String) -> Int? {
    guard let text = tree.string else { return integer(tree, name, in: 0...3_600_000) }
    for (unit, factor) in [("ms", 1), ("s", 1_000)] where text.hasSuffix(unit) {
      if let number = Int(text.dropLast(unit.count)), (0...3_600_000 / factor).contains(number) {
        return number * factor
      }
      break
    }
    fail(.invalidValue, "\(name): expected milliseconds, `250ms` or `2s`, up to an hour", tree)
    return nil
  }

  private mutating func unless(_ tree: Tree, _ name: String) -> StepOptions.Unless? {
    guard let entries = tree.entries else {
      fail(
        .wrongType, "\(name): expected a mapping, found \(tree.kind)", tree,
        hint: "unless: { collection: things, index: name_1 } or { collection: …, filter: {…} }")
      return nil
    }
    for entry in entries where !["collection", "index", "filter"].contains(entry.key) {
      unknown(entry, among: ["collection", "index", "filter"], in: name)
    }
    guard let collection = tree["collection"] else {
      fail(.missingKey, "\(name): `collection:` is missing", tree)
      return nil
    }
    var filter: Document?
    if let given = tree["filter"] {
      if let entries = given.entries {
        do { filter = try TreeConverter(file: file).document(entries) } catch {
          problems.append(error)
        }
      } else {
        fail(.wrongType, "\(name).filter: expected a mapping, found \(given.kind)", given)
      }
    }
    guard let text = text(collection, "\(name).collection") else { return nil }
    return StepOptions.Unless(
      collection: text, index: self.text(tree["index"], "\(name).index"), filter: filter)
  }
}
