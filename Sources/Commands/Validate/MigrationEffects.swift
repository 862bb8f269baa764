import BSON
import Migration
import Validation

/// What migrations say, as values for the checks.
struct MigrationEffects {
  /// In the order of the files.
  let migrations: [Migration]
  /// Names of those that are applied.
  let applied: Set<String>
  let ledger: String
  /// Whose names `renameCollection` may write with the database in front.
  let database: String

  /// - Parameter before: names of those that were applied when the old snapshot was taken; nil when
  ///   nothing is compared.
  func expectations(since before: [String]?) -> Expectations {
    var expectations = Expectations()
    expectations.ownCollections = [ledger]
    expectations.appliedMigrations =
      migrations.map(\.name).filter(applied.contains)
      + applied.subtracting(migrations.map(\.name)).sorted()
    var declared = DeclaredState(database: database)
    for migration in migrations where applied.contains(migration.name) { declared.apply(migration) }
    expectations.collections = declared.collections
    expectations.indexes = declared.indexes
    expectations.dropped = declared.dropped
    // Against a snapshot the comparison shows what came and went, and for how long it holds.
    if before == nil {
      expectations.counts = declared.counts
      expectations.unseen = declared.unseen
    }
    var planned = PlannedState(database: database)
    for migration in migrations where !applied.contains(migration.name) { planned.apply(migration) }
    expectations.plannedIndexes = planned.indexes
    expectations.plannedValidators = planned.validators
    expectations.plannedExpiries = planned.expiries
    expectations.unseenBefore = planned.unseen
    if let before { expectations.changes = changes(since: Set(before)) }
    return expectations
  }

  /// What the migrations between two states declare; those taken back may have changed what they touch.
  func changes(since before: Set<String>) -> [DeclaredChange] {
    migrations.flatMap { migration -> [DeclaredChange] in
      let name = migration.name
      if applied.contains(name), !before.contains(name) {
        return Self.changes(of: migration, in: database)
      }
      if before.contains(name), !applied.contains(name) {
        return Self.changes(of: migration, in: database).map(\.undone)
      }
      return []
    }
  }

  static func changes(of migration: Migration, in database: String) -> [DeclaredChange] {
    var changes: [String: DeclaredChange] = [:]
    func change(_ collection: String, _ body: (inout DeclaredChange) -> Void) {
      var entry = changes[collection] ?? DeclaredChange(collection, source: migration.name)
      body(&entry)
      changes[collection] = entry
    }
    for step in migration.up {
      let effects = StepEffects(step, in: database)
      for effect in effects.all { change(effect.collection) { effect.apply(to: &$0) } }
    }
    for element in migration.expect ?? [:] {
      let number = element.value.integerValue
      change(element.key) { $0.documents = number.map { $0...$0 } }
    }
    return changes.values.sorted { $0.collection < $1.collection }
  }
}

extension DeclaredChange {
  /// The same, taken back.
  fileprivate var undone: DeclaredChange {
    var change = self
    change.source = "\(source), taken back"
    (change.creates, change.drops) = (drops, creates || mayCreate)
    change.documents = nil
    change.changesDocuments = true
    (change.addsIndexes, change.dropsIndexes) = (dropsIndexes, addsIndexes)
    (change.addsIndexKeys, change.dropsIndexKeys) = (dropsIndexKeys, addsIndexKeys)
    return change
  }
}

/// What one step does to collections.
struct StepEffects {
  struct Effect {
    var collection: String
    var apply: (inout DeclaredChange) -> Void

    func apply(to change: inout DeclaredChange) { apply(&change) }
  }

  var all: [Effect] = []

  init(_ step: Step, in database: String) {
    let command = step.command
    let target = step.target ?? ""
    switch step.name {
    case "create": add(target) { $0.creates = true }
    // What is made anew under the name has as many as it has.
    case "drop":
      add(target) {
        $0.drops = true
        $0.documents = nil
      }
    case "renameCollection":
      add(Names.collection(target, in: database)) {
        $0.drops = true
        $0.documents = nil
      }
      add(Names.collection(command["to"]?.stringValue ?? "", in: database)) {
        $0.creates = true
        $0.documents = nil
      }
    case "createIndexes":
      let names = Self.specs(command).compactMap { $0["name"]?.stringValue }
      add(target) {
        $0.mayCreate = true
        $0.addsIndexes += names
      }
    case "dropIndexes", "deleteIndexes":
      let names = Self.names(command["index"])
      let key = command["index"]?.documentValue
      add(target) {
        $0.dropsIndexes += names
        if let key { $0.dropsIndexKeys.append(key) }
      }
    case "collMod":
      let isIndex = command.has("index")
      add(target) {
        $0.changesOptions = true
        if isIndex { $0.addsIndexes.append("*") }
      }
    case "insert":
      let count = Int64(command["documents"]?.arrayValue?.count ?? 0)
      let least = step.options.unless == nil ? count : 0
      add(target) {
        $0.mayCreate = true
        if let range = $0.documents {
          $0.documents = (range.lowerBound + least)...(range.upperBound + count)
        }
      }
    case "update":
      let upserts = (command["updates"]?.arrayValue ?? []).contains {
        $0.documentValue?["upsert"]?.isTruthy == true
      }
      add(target) {
        $0.changesDocuments = true
        if upserts {
          $0.documents = nil
          $0.mayCreate = true
        }
      }
    case "findAndModify", "findandmodify", "delete": add(target) { $0.documents = nil }
    case "aggregate":
      for name in Self.outputs(command) {
        add(name) {
          $0.creates = true
          $0.documents = nil
        }
      }
    case "ping", "appendOplogNote", "setFeatureCompatibilityVersion": break
    default:
      guard !target.isEmpty else { return }
      add(target) {
        $0.documents = nil
        $0.changesOptions = true
        $0.addsIndexes.append("*")
      }
    }
  }

  private mutating func add(_ collection: String, _ body: @escaping (inout DeclaredChange) -> Void)
  {
    if !collection.isEmpty { all.append(Effect(collection: collection, apply: body)) }
  }

  /// Specifications with the name that the server would give.
  static func specs(_ command: Document) -> [Document] {
    (command["indexes"]?.arrayValue ?? []).compactMap(\.documentValue).map { spec in
      guard !spec.has("name"), let key = spec["key"]?.documentValue else { return spec }
      let parts = key.map { element in
        let value = element.value.stringValue ?? element.value.integerValue.map(String.init) ?? "1"
        return "\(element.key)_\(value)"
      }
      var named = spec
      named.append("name", .string(parts.joined(separator: "_")))
      return named
    }
  }

  static func names(_ value: Value?) -> [String] {
    switch value {
    case .string(let name): [name]
    case .array(let items): items.compactMap(\.stringValue)
    default: []
    }
  }

  /// The same fields in the same order and direction: 1 is 1.0.
  static func sameKey(_ key: Document, _ other: Value?) -> Bool {
    other.map { Value.canonicalOrder(.document(key), $0) == 0 } ?? false
  }

  private static func outputs(_ command: Document) -> [String] {
    (command["pipeline"]?.arrayValue ?? []).compactMap(\.documentValue).compactMap { stage in
      let output = stage["$out"] ?? stage["$merge"]
      let into = output?.documentValue?["into"] ?? output
      return into?.stringValue ?? into?.documentValue?["coll"]?.stringValue
        ?? output?.documentValue?["coll"]?.stringValue
    }
  }
}
