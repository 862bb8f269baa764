import BSON
import Migration
import Validation

/// What applied migrations, one after the other, leave behind.
struct DeclaredState {
  private let database: String
  private var options: [String: (options: Document, source: String)] = [:]
  private var specs: [String: [(spec: Document, source: String)]] = [:]
  private var gone: [String: String] = [:]
  private var inserted: [String: (count: Int64, source: String)] = [:]
  /// Of collections that a migration made and said how many documents they have.
  private var numbers: [String: (least: Int64, source: String)] = [:]
  /// What migrations say of others: only a snapshot from before shows it.
  private(set) var unseen: [Expectations.Unseen] = []

  init(database: String) { self.database = database }

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

  /// What migrations say, and documents that they inserted and that no later step may have deleted: the
  /// application may have, so these are warnings.
  var counts: [Expectations.Count] {
    let said = numbers.filter { $0.value.least > 0 }.sorted { $0.key < $1.key }.map {
      Expectations.Count($0.key, minimum: $0.value.least, source: $0.value.source)
    }
    let made = inserted.filter { numbers[$0.key] == nil }.sorted { $0.key < $1.key }
    return said
      + made.map {
        Expectations.Count(
          $0.key, minimum: $0.value.count, source: $0.value.source, severity: .warning)
      }
  }

  mutating func apply(_ migration: Migration) {
    for step in migration.up { apply(step, migration.name) }
    count(migration)
  }

  /// Made from nothing: how many come is how many there are.
  private func isMade(_ collection: String, _ migration: Migration) -> Bool {
    migration.up.contains {
      $0.name == "create" && $0.target == collection && $0.options.unless == nil
    }
      && !migration.up.contains {
        $0.name == "renameCollection"
          && Names.collection($0.command["to"]?.stringValue ?? "", in: database)
            == collection
      }
  }

  /// Documents that were declared to come or go: the least that there is then.
  private mutating func count(_ migration: Migration) {
    let changes = MigrationEffects.changes(of: migration, in: database)
    for change in changes {
      let name = change.collection
      let isNew = !change.drops && isMade(name, migration)
      let declared = migration.expect?[name]?.integerValue
      switch (declared, isNew, numbers[name]) {
      case (let declared?, true, _): numbers[name] = (max(0, declared), migration.name)
      case (let declared?, false, let known?):
        let (sum, overflows) = known.least.addingReportingOverflow(declared)
        numbers[name] = overflows ? nil : (max(0, sum), migration.name)
      case (.some, false, nil):
        unseen.append(
          .init(
            "declared-count", name,
            "\(migration.name) says by how much the number of documents changes: only a snapshot "
              + "from before shows it (--against)"))
      // Nobody has said how many went.
      case (nil, _, _): if change.documents == nil { numbers[name] = nil }
      }
    }
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
      let key = step.command["index"]?.documentValue
      specs[target]?.removeAll { entry in
        names.contains("*") || names.contains(entry.spec["name"]?.stringValue ?? "")
          || key.map { StepEffects.sameKey($0, entry.spec["key"]) } ?? false
      }
    case "renameCollection":
      let from = Names.collection(target, in: database)
      let to = Names.collection(step.command["to"]?.stringValue ?? "", in: database)
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
      for effect in StepEffects(step, in: database).all {
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
      let key = change["keyPattern"]?.documentValue ?? [:]
      guard
        let position = specs[target]?.firstIndex(where: {
          name != nil ? $0.spec["name"] == name : StepEffects.sameKey(key, $0.spec["key"])
        })
      else { return }
      guard isSure else {
        specs[target]?.remove(at: position)
        return
      }
      guard command["dryRun"]?.isTruthy != true else { return }
      for element in change where !["name", "keyPattern"].contains(element.key) {
        specs[target]?[position].spec[element.key] = element.value
      }
      // Once it is unique it is no longer prepared.
      if change["unique"]?.isTruthy == true {
        specs[target]?[position].spec.remove("prepareUnique")
      }
      return
    }
    guard options[target] != nil else { return }
    guard isSure else {
      options[target] = nil
      return
    }
    for element in Self.options(command) { set(target, element.key, element.value) }
    options[target]?.source = source
  }

  /// What a field of `collMod` makes of the options that `create` has.
  private mutating func set(_ target: String, _ name: String, _ value: Value) {
    switch (name, value) {
    case ("cappedSize", _): options[target]?.options["size"] = value
    case ("cappedMax", _):
      if value.doubleValue ?? 0 > 0 {
        options[target]?.options["max"] = value
      } else {
        options[target]?.options.remove("max")
      }
    case ("changeStreamPreAndPostImages", .document(let images))
    where images["enabled"]?.isTruthy != true:
      options[target]?.options.remove(name)
    case ("recordPreImages", _) where !value.isTruthy: options[target]?.options.remove(name)
    case ("expireAfterSeconds", "off"): options[target]?.options.remove(name)
    case ("timeseries", .document(let change)):
      var whole = options[target]?.options[name]?.documentValue ?? [:]
      for element in change { whole[element.key] = element.value }
      options[target]?.options[name] = .document(whole)
    default: options[target]?.options[name] = value
    }
  }

  /// Fields of `create` that stay as options of the collection.
  private static func options(_ command: Document) -> Document {
    let ignored = [
      "create", "collMod", "comment", "writeConcern", "index", "dryRun", "lsid", "$db",
    ]
    return command.filteringElements { !ignored.contains($0.key) }
  }
}
