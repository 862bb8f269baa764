import BSON

/// An index that a step of the run builds.
struct KnownIndex {
  let name: String
  let key: Document
  let spec: Document
  let migration: String
}

extension Linter {
  private static let types: Set<String> = [
    "text", "2dsphere", "2d", "hashed", "geoHaystack", "columnstore",
  ]
  static let indexOptions: Set<String> = [
    "key", "name", "unique", "sparse", "expireAfterSeconds", "partialFilterExpression", "collation",
    "hidden", "storageEngine", "weights", "default_language", "language_override",
    "textIndexVersion", "2dsphereIndexVersion", "bits", "min", "max", "bucketSize",
    "wildcardProjection", "background", "v", "prepareUnique", "clustered", "dropDups", "ns",
    "columnstoreProjection",
  ]

  mutating func createIndexes(_ step: Step) {
    guard let collection = step.target else { return }
    for (position, spec) in (step.command["indexes"]?.documents ?? []).enumerated() {
      let path = "indexes[\(position)]"
      options(spec, path)
      guard let key = checkedKey(spec["key"], path) else { continue }
      lifetime(spec, key, path)
      if key.keys == ["_id"], key["_id"]?.integerValue != nil {
        report(
          .idIndex, "\(path): every collection has an index on _id already", safer: "remove it")
        continue
      }
      if spec["unique"]?.isTruthy == true, !created.contains(collection), !inDown {
        report(
          .uniqueOnExisting,
          "\(path): unique index on \(collection), which this migration does not "
            + "create",
          safer: "martlet migrate plan   # counts the duplicates, shows their _ids\n"
            + "# then on 6.0 and newer, in this order:\n"
            + "- createIndexes: \(FlowYAML.scalar(collection))\n"
            + "  indexes: [{ key: \(FlowYAML.text(key)), name: \(FlowYAML.scalar(name(spec, key))),"
            + " prepareUnique: true }]\n"
            + "- collMod: \(FlowYAML.scalar(collection))\n"
            + "  index: { keyPattern: \(FlowYAML.text(key)), unique: true }")
      }
      compare(
        KnownIndex(name: name(spec, key), key: key, spec: spec, migration: ""), collection, path)
      indexes[collection, default: []].append(
        KnownIndex(name: name(spec, key), key: key, spec: spec, migration: ""))
    }
  }

  mutating func dropIndexes(_ step: Step) {
    guard let collection = step.target, let index = step.command["index"] else { return }
    let dropped = index.arrayValue ?? [index]
    if dropped.contains(.string("*")) {
      report(
        .dropAllIndexes, "all indexes of \(collection) are dropped",
        safer: "- dropIndexes: \(FlowYAML.scalar(collection))\n  index: [name_1, user_id_1]")
      indexes[collection] = []
    }
    indexes[collection]?.removeAll { known in
      dropped.contains { $0 == .string(known.name) || $0 == .document(known.key) }
    }
  }

  /// Name as the server would make it.
  func name(_ spec: Document, _ key: Document) -> String {
    if let name = spec["name"]?.stringValue { return name }
    return Linter.defaultName(key)
  }

  static func defaultName(_ key: Document) -> String {
    key.map { "\($0.key)_" + ($0.value.stringValue ?? number($0.value)) }.joined(separator: "_")
  }

  private static func number(_ value: Value) -> String {
    value.integerValue.map { "\($0)" } ?? value.doubleValue.map { "\($0)" } ?? ""
  }

  private mutating func options(_ spec: Document, _ path: String) {
    for option in spec.keys where !Self.indexOptions.contains(option) {
      let near = Suggestion.nearest(to: option, in: Self.indexOptions)
      report(
        .indexOption,
        "\(path): unknown option `\(option)`"
          + (near.map { ", did you mean `\($0)`?" } ?? ""),
        safer: near.map { "\($0): \(spec[option].map { FlowYAML.text($0) } ?? "true")" })
    }
    if spec.has("background") {
      report(.background, "\(path): `background` has no effect", safer: "remove `background`")
    }
    if let name = spec["name"]?.stringValue, name.utf8.count > 127 {
      report(.longName, "\(path): a name of \(name.utf8.count) bytes", safer: "name: a_shorter_one")
    }
  }

  private mutating func checkedKey(_ value: Value?, _ path: String) -> Document? {
    guard let key = value?.documentValue, !key.isEmpty else {
      let found = value.map { $0.documentValue == nil ? $0.kind : "an empty mapping" } ?? "nothing"
      report(
        .indexKey, "\(path).key: expected a mapping of field to 1 or -1, found \(found)",
        safer: "key: { " + (value?.stringValue.map(FlowYAML.scalar) ?? "user_id") + ": 1 }")
      return nil
    }
    var sound = true
    for element in key where !isDirection(element.value) {
      sound = false
      let found = element.value.stringValue.map { "`\($0.prefix(20))`" } ?? element.value.kind
      report(
        .indexKey,
        "\(path).key: `\(element.key)` has to be 1, -1 or a type of index, found \(found)",
        safer: "key: { \(FlowYAML.scalar(element.key)): 1 }")
    }
    if key.count > 32 {
      report(.indexKey, "\(path).key: \(key.count) fields, at most 32 are allowed")
      sound = false
    }
    if key.keys.contains(where: \.isEmpty) || Set(key.keys).count != key.count {
      report(.indexKey, "\(path).key: a field without name or twice")
      sound = false
    }
    return sound ? key : nil
  }

  /// The server takes every number but zero; others than 1 and -1 are nearly always a slip.
  private func isDirection(_ value: Value) -> Bool {
    if let text = value.stringValue { return Self.types.contains(text) }
    return value.doubleValue == 1 || value.doubleValue == -1
  }

  private mutating func lifetime(_ spec: Document, _ key: Document, _ path: String) {
    guard let seconds = spec["expireAfterSeconds"] else { return }
    if key.count != 1 || key.has("_id") || key.contains(where: { $0.value.stringValue != nil }) {
      report(
        .lifetimeKey,
        "\(path): expireAfterSeconds on "
          + (key.has("_id") ? "_id" : key.count > 1 ? "a compound key" : "a special index"),
        safer: "{ key: { timestamp: 1 }, expireAfterSeconds: 7776000 }   # an index of its own")
    }
    guard let number = seconds.doubleValue, number >= 0, number <= 2_147_483_647 else {
      report(
        .lifetimeRange,
        "\(path).expireAfterSeconds: expected 0 to 2147483647, found "
          + (seconds.doubleValue.map { "\($0)" } ?? seconds.kind),
        safer: "expireAfterSeconds: 7776000   # 90 days")
      return
    }
  }

  private mutating func compare(_ new: KnownIndex, _ collection: String, _ path: String) {
    for old in indexes[collection] ?? [] {
      if old.key == new.key || old.name == new.name {
        conflict(old, new, collection, path)
      } else if isTwin(old.key, new.key) {
        report(
          .twins, "\(path): \(collection) has this single field the other way round already",
          safer: "keep { key: \(FlowYAML.text(old.key)) } alone")
      } else if let (short, long) = prefix(old, new) {
        report(
          .prefixIndex,
          "\(path): \(FlowYAML.text(short)) is the beginning of "
            + FlowYAML.text(long) + " on \(collection)",
          safer: "keep { key: \(FlowYAML.text(long)) } alone")
      }
    }
  }

  /// What the server does is measured: the same key under another name 85, the same name with
  /// another key 86; another collation is always another index, another filter since 5.0.
  private mutating func conflict(
    _ old: KnownIndex, _ new: KnownIndex, _ collection: String, _ path: String
  ) {
    let (a, b) = (identity(old.spec), identity(new.spec))
    if old.key == new.key, old.name == new.name, a == b { return }
    if old.key != new.key {
      report(
        .indexConflict, "\(path): the name \(new.name) is on another key of \(collection) already",
        safer: "name: \(FlowYAML.scalar(Linter.defaultName(new.key)))")
      return
    }
    let differs = Set(a.keys).union(b.keys).filter { a[$0] != b[$0] }
    if old.name != new.name {
      if differs.contains("collation") { return }
      let modern = release.map { $0 >= Release(major: 5) } ?? true
      if modern, differs.contains("partialFilterExpression") { return }
      let allowed = modern && !differs.isDisjoint(with: ["unique", "sparse"])
      return report(
        .indexConflict,
        "\(path): \(collection) has an index on \(FlowYAML.text(new.key)) already"
          + suffix(differs),
        safer: merged(old, new, differs), as: allowed ? .warning : .error)
    }
    report(
      .indexConflict,
      "\(path): \(collection) has an index on \(FlowYAML.text(new.key)) already"
        + suffix(differs), safer: merged(old, new, differs))
  }

  private func suffix(_ differs: Set<String>) -> String {
    differs.isEmpty
      ? ", under another name"
      : ", with other options (\(differs.sorted().joined(separator: ", ")))"
  }

  /// One index with the options of both, which is what was wanted most of the time.
  private func merged(_ old: KnownIndex, _ new: KnownIndex, _ differs: Set<String>) -> String {
    var spec: Document = ["key": .document(new.key)]
    for element in old.spec where element.key != "key" { spec[element.key] = element.value }
    for element in new.spec where differs.contains(element.key) {
      spec[element.key] = element.value
    }
    return FlowYAML.text(spec) + "   # one index with both"
  }

  private func identity(_ spec: Document) -> [String: Value] {
    var result: [String: Value] = [:]
    for element in spec where !["key", "name", "v", "background", "ns"].contains(element.key) {
      if element.value == .bool(false) { continue }
      result[element.key] = element.value.doubleValue.map { .double($0) } ?? element.value
    }
    return result
  }

  private func isTwin(_ a: Document, _ b: Document) -> Bool {
    guard a.count == 1, a.keys == b.keys, let field = a.keys.first,
      let x = a[field]?.doubleValue, let y = b[field]?.doubleValue
    else { return false }
    return x == -y
  }

  /// The shorter and the longer key, when one begins the other and neither has options that make it
  /// answer other queries.
  private func prefix(_ a: KnownIndex, _ b: KnownIndex) -> (Document, Document)? {
    let (short, long) = a.key.count < b.key.count ? (a, b) : (b, a)
    guard short.key.count < long.key.count, identity(short.spec).isEmpty,
      identity(long.spec).isEmpty,
      Array(long.key.prefix(short.key.count)) == Array(short.key)
    else { return nil }
    return (short.key, long.key)
  }
}
