import BSON

extension Linter {
  /// Steps whose inverse cannot be derived.
  mutating func derived(_ migration: Migration) {
    let invertible: Set<String> = [
      "create", "createIndexes", "dropIndexes", "collMod", "renameCollection", "insert", "update",
      "delete", "drop",
    ]
    for step in migration.up where !invertible.contains(step.name) {
      if Self.reading.contains(step.name) { continue }
      if step.name == "aggregate", step.command["pipeline"]?.documents.last?.has("$out") != true,
        step.command["pipeline"]?.documents.last?.has("$merge") != true
      {
        continue
      }
      at(step)
      report(
        .irreversible, "no inverse can be derived for `\(step.name)`",
        safer: "down:\n  - …   # write it, or say `down: irreversible`")
    }
  }

  /// Compares a written down with what `up` leaves behind.
  mutating func undoing(_ migration: Migration, by steps: [Step]) {
    let undo = Undoing(steps)
    var seen: Set<String> = []
    for left in Undoing.leftovers(of: migration.up, after: undo)
    where seen.insert(left.text).inserted {
      at(left.step)
      report(.incompleteDown, left.text, safer: left.safer, down: false)
    }
  }
}

/// What a list of steps takes away, by structure.
struct Undoing {
  struct Leftover {
    let step: Step
    let text: String
    let safer: String
  }

  private var dropped: Set<String> = []
  private var droppedIndexes: [String: [Value]] = [:]
  private var fields: [String: Set<String>] = [:]
  /// Collections where a pipeline or a replacement may have put back anything.
  private var rewritten: Set<String> = []
  private var deleted: Set<String> = []
  private var made: Set<String> = []
  private var modified: Set<String> = []
  private var renamed: Set<[String]> = []
  private var indexed: Set<String> = []
  private var everything = false

  init(_ steps: [Step]) {
    for step in steps { take(step) }
  }

  private mutating func take(_ step: Step) {
    if step.name == "dropDatabase" { everything = true }
    guard let collection = step.target else { return }
    switch step.name {
    case "drop": dropped.insert(collection)
    case "dropIndexes":
      let index = step.command["index"] ?? .null
      droppedIndexes[collection, default: []] += index.arrayValue ?? [index]
    case "update":
      for update in step.command["updates"]?.documents ?? [] {
        guard let change = update["u"]?.documentValue,
          change.keys.contains(where: { $0.hasPrefix("$") })
        else {
          rewritten.insert(collection)
          continue
        }
        for operation in change {
          fields[collection, default: []].formUnion(operation.value.documentValue?.keys ?? [])
        }
      }
    case "delete": deleted.insert(collection)
    case "create", "insert": made.insert(collection)
    case "createIndexes": indexed.insert(collection)
    case "collMod": modified.insert(collection)
    case "renameCollection":
      if let to = step.command["to"]?.stringValue {
        renamed.insert([collection, to])
        dropped.insert(collection)
        made.insert(to)
      }
    case "aggregate": rewritten.insert(collection)
    default: break
    }
  }

  static func leftovers(of up: [Step], after undo: Undoing) -> [Leftover] {
    guard !undo.everything else { return [] }
    return up.flatMap { step in
      step.target.map { undo.left(by: step, on: $0, among: up) } ?? []
    }
  }

  private func left(by step: Step, on collection: String, among up: [Step]) -> [Leftover] {
    let name = FlowYAML.scalar(collection)
    func leftover(_ text: String, _ safer: String) -> Leftover {
      Leftover(step: step, text: "`down` " + text, safer: "down:\n" + safer)
    }
    if dropped.contains(collection), step.name != "drop", step.name != "renameCollection" {
      return []
    }
    switch step.name {
    case "create":
      return [leftover("does not drop \(collection)", "  - drop: \(name)")]
    case "createIndexes":
      let gone = droppedIndexes[collection] ?? []
      let left = (step.command["indexes"]?.documents ?? []).compactMap { spec -> String? in
        guard let key = spec["key"]?.documentValue else { return nil }
        let index = spec["name"]?.stringValue ?? Linter.defaultName(key)
        return gone.contains([.string("*")]) || gone.contains(.string("*"))
          || gone.contains(.string(index)) || gone.contains(.document(key)) ? nil : index
      }
      if left.isEmpty { return [] }
      // Its collection is created here and that is told already.
      if up.contains(where: { $0.name == "create" && $0.target == collection }) { return [] }
      return [
        leftover(
          "does not drop \(left.joined(separator: ", ")) of \(collection)",
          "  - dropIndexes: \(name)\n    index: [\(left.map(FlowYAML.scalar).joined(separator: ", "))]"
        )
      ]
    case "update": return updated(step, collection, leftover)
    case "insert":
      if deleted.contains(collection) || created(collection, up) { return [] }
      return [
        leftover(
          "does not delete what is inserted into \(collection)",
          "  - delete: \(name)\n    deletes: [{ q: { _id: … }, limit: 0 }]")
      ]
    case "drop", "delete":
      if made.contains(collection) { return [] }
      return [
        leftover(
          "does not bring back what is "
            + (step.name == "drop" ? "dropped with \(collection)" : "deleted from \(collection)"),
          "# leave it out: the derived one keeps what is removed and puts it back")
      ]
    case "dropIndexes":
      if indexed.contains(collection) { return [] }
      return [
        leftover(
          "does not build the dropped indexes of \(collection)", "  - createIndexes: \(name)")
      ]
    case "collMod":
      if modified.contains(collection) { return [] }
      return [leftover("does not put back the options of \(collection)", "  - collMod: \(name)")]
    case "renameCollection":
      guard let to = step.command["to"]?.stringValue, !renamed.contains([to, collection]) else {
        return []
      }
      return [
        leftover(
          "does not rename \(to) back",
          "  - renameCollection: \(FlowYAML.scalar(to))\n    to: \(name)")
      ]
    default: return []
    }
  }

  private func created(_ collection: String, _ up: [Step]) -> Bool {
    up.contains { $0.name == "create" && $0.target == collection }
  }

  private func updated(
    _ step: Step, _ collection: String, _ leftover: (String, String) -> Leftover
  ) -> [Leftover] {
    if rewritten.contains(collection) { return [] }
    let undone = fields[collection] ?? []
    var touched: [String] = []
    for update in step.command["updates"]?.documents ?? [] {
      for operation in update["u"]?.documentValue ?? Document() where operation.key.hasPrefix("$") {
        touched += operation.value.documentValue?.keys ?? []
      }
    }
    let left = touched.filter { !undone.contains($0) }
    if left.isEmpty { return [] }
    let unset = left.map { "\(FlowYAML.scalar($0)): 1" }.joined(separator: ", ")
    return [
      leftover(
        "does not put back \(left.joined(separator: ", ")) in \(collection)",
        "  - update: \(FlowYAML.scalar(collection))\n    updates:\n"
          + "      - { q: {}, u: { $unset: { \(unset) } }, multi: true }"
          + "   # or leave `down:` out: the derived one restores values")
    ]
  }
}
