import BSON
import Migration
import Validation

/// What applied migrations, one after the other, leave behind.
struct DeclaredState {
  private var options: [String: (options: Document, source: String)] = [:]
  private var specs: [String: [(spec: Document, source: String)]] = [:]
  private var gone: [String: String] = [:]
  private var inserted: [String: (count: Int64, source: String)] = [:]

  var collections: [Expectations.Collection] {
    options.sorted { $0.key < $1.key }.map {
      .init($0.key, options: $0.value.options, source: $0.value.source)
    }
  }

  var indexes: [Expectations.Index] {
    specs.sorted { $0.key < $1.key }.flatMap { entry in
      entry.value.map { .init(entry.key, $0.spec, source: $0.source) }
    }
  }

  var dropped: [Expectations.Collection] {
    gone.sorted { $0.key < $1.key }.map { .init($0.key, source: $0.value) }
  }

  /// Documents that were inserted, and that no later step may have deleted. The application may have:
  /// they are warnings.
  var counts: [Expectations.Count] {
    inserted.sorted { $0.key < $1.key }.map {
      .init($0.key, minimum: $0.value.count, source: $0.value.source, severity: .warning)
    }
  }

  mutating func apply(_ migration: Migration) {
    for step in migration.up { apply(step, migration.name) }
  }

  private mutating func apply(_ step: Step, _ source: String) {
    guard let target = step.target else { return }
    // Steps that may have been left out declare nothing for sure.
    let isSure = step.options.unless == nil
    switch step.name {
    case "create":
      gone[target] = nil
      guard isSure else { return }
      options[target] = (Self.options(step.command), source)
    case "createIndexes":
      gone[target] = nil
      guard isSure else { return }
      for spec in StepEffects.specs(step.command) {
        specs[target, default: []].removeAll { $0.spec["name"] == spec["name"] }
        specs[target, default: []].append((spec, source))
      }
    case "drop":
      inserted[target] = nil
      options[target] = nil
      specs[target] = nil
      if isSure { gone[target] = source }
    case "dropIndexes", "deleteIndexes":
      let names = StepEffects.names(step.command["index"])
      specs[target]?.removeAll { entry in
        names.contains("*") || names.contains(entry.spec["name"]?.stringValue ?? "")
      }
    case "renameCollection":
      let from = StepEffects.collection(target)
      let to = StepEffects.collection(step.command["to"]?.stringValue ?? "")
      options[to] = options.removeValue(forKey: from)
      specs[to] = specs.removeValue(forKey: from)
      inserted[to] = inserted.removeValue(forKey: from)
      gone[to] = nil
      if isSure { gone[from] = source }
    case "ping": break
    case "collMod": modify(target, step.command, source, isSure)
    case "insert":
      gone[target] = nil
      let count = Int64(step.command["documents"]?.arrayValue?.count ?? 0)
      if isSure { inserted[target] = ((inserted[target]?.count ?? 0) + count, source) }
    case "update": gone[target] = nil
    case "findAndModify", "findandmodify":
      gone[target] = nil
      if step.command["remove"]?.isTruthy == true { inserted[target] = nil }
    case "aggregate":
      for effect in StepEffects(step).all {
        gone[effect.collection] = nil
        inserted[effect.collection] = nil
      }
    default: inserted[target] = nil
    }
  }

  private mutating func modify(
    _ target: String, _ command: Document, _ source: String, _ isSure: Bool
  ) {
    if let change = command["index"]?.documentValue {
      let name = change["name"]
      let key = change["keyPattern"]
      guard
        let position = specs[target]?.firstIndex(where: {
          name != nil ? $0.spec["name"] == name : $0.spec["key"] == key
        })
      else { return }
      guard isSure else {
        specs[target]?.remove(at: position)
        return
      }
      for element in change where !["name", "keyPattern", "prepareUnique"].contains(element.key) {
        specs[target]?[position].spec[element.key] = element.value
      }
      return
    }
    guard options[target] != nil else { return }
    guard isSure else {
      options[target] = nil
      return
    }
    for element in Self.options(command) { options[target]?.options[element.key] = element.value }
    options[target]?.source = source
  }

  /// Fields of `create` that stay as options of the collection.
  private static func options(_ command: Document) -> Document {
    let ignored = ["create", "collMod", "comment", "writeConcern", "index", "lsid", "$db"]
    return command.filteringElements { !ignored.contains($0.key) }
  }
}
