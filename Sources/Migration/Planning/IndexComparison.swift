import BSON

/// Compares an index that is asked for with those that are there.
enum IndexComparison: Equatable {
  /// Not there: it has to be built.
  case missing
  /// There with the same options.
  case identical(name: String)
  /// The server would answer 85 or 86.
  case conflict(name: String, reason: String)

  static func compare(_ wanted: Document, with existing: [Document]) -> IndexComparison {
    let name = indexName(wanted)
    let key = wanted["key"]?.documentValue ?? [:]
    for index in existing where index["name"]?.stringValue == name {
      if let difference = difference(wanted, index) {
        return .conflict(
          name: name, reason: "an index named \(name) exists with other \(difference)")
      }
      return .identical(name: name)
    }
    for index in existing {
      let other = index["name"]?.stringValue ?? ""
      guard sameKey(key, index), sameCollation(wanted, index) else { continue }
      // The same key with another partial filter is another index on 5.0 and newer.
      guard equal(wanted["partialFilterExpression"], index["partialFilterExpression"]) else {
        continue
      }
      if let difference = difference(wanted, index) {
        return .conflict(
          name: other, reason: "index \(other) has the same key with other \(difference)")
      }
      return .conflict(name: other, reason: "index \(other) is the same under another name")
    }
    return .missing
  }

  /// The name the server would give: `field_1_other_-1`.
  static func indexName(_ spec: Document) -> String {
    if let name = spec["name"]?.stringValue { return name }
    return (spec["key"]?.documentValue ?? [:]).map { "\($0.key)_\(direction($0.value))" }
      .joined(separator: "_")
  }

  private static func direction(_ value: Value) -> String {
    if let text = value.stringValue { return text }
    if let number = value.integerValue { return "\(number)" }
    if let number = value.doubleValue { return "\(number)" }
    return "1"
  }

  /// The names of the options that differ, or nil.
  private static func difference(_ wanted: Document, _ existing: Document) -> String? {
    let isText = wanted["key"]?.documentValue?.contains { $0.value == "text" } ?? false
    if !isText, !sameKey(wanted["key"]?.documentValue ?? [:], existing) { return "key" }
    var differing: [String] = []
    for option in ["unique", "sparse", "hidden"]
    where (wanted[option]?.isTruthy ?? false) != (existing[option]?.isTruthy ?? false) {
      differing.append(option)
    }
    for option in ["expireAfterSeconds", "partialFilterExpression"]
    where !equal(wanted[option], existing[option]) {
      differing.append(option)
    }
    if !sameCollation(wanted, existing) { differing.append("collation") }
    let compared: Set<String> = [
      "key", "name", "v", "ns", "background", "unique", "sparse", "hidden", "expireAfterSeconds",
      "partialFilterExpression", "collation", "prepareUnique", "weights",
    ]
    for element in wanted where !compared.contains(element.key) {
      if !equal(element.value, existing[element.key]) { differing.append(element.key) }
    }
    return differing.isEmpty ? nil : differing.joined(separator: ", ")
  }

  private static func sameKey(_ key: Document, _ existing: Document) -> Bool {
    guard let other = existing["key"]?.documentValue else { return false }
    return key.keys == other.keys
      && zip(key, other).allSatisfy { equal($0.value, $1.value) }
  }

  /// The server fills a collation in: what is asked for must be in what is there.
  private static func sameCollation(_ wanted: Document, _ existing: Document) -> Bool {
    guard let asked = wanted["collation"]?.documentValue, asked["locale"] != "simple" else {
      return wanted.has("collation") ? !existing.has("collation") : true
    }
    guard let there = existing["collation"]?.documentValue else { return false }
    return asked.allSatisfy { equal($0.value, there[$0.key]) }
  }

  /// Numbers compare across types, documents with their order.
  static func equal(_ a: Value?, _ b: Value?) -> Bool {
    guard let a, let b else { return a == nil && b == nil }
    if let x = a.doubleValue, let y = b.doubleValue { return x == y }
    switch (a, b) {
    case (.document(let x), .document(let y)):
      return x.keys == y.keys && zip(x, y).allSatisfy { equal($0.value, $1.value) }
    case (.array(let x), .array(let y)):
      return x.count == y.count && zip(x, y).allSatisfy { equal($0, $1) }
    default: return a == b
    }
  }
}
