import BSON

/// Compares an index that is asked for with those that are there.
///
/// The rules are those of `createIndexes` on 4.2 to 6.0: what a name, a key and the options that make
/// two indexes over one key different mean was tried on each of them.
enum IndexComparison: Equatable {
  /// Not there: it has to be built.
  case missing
  /// There with the same options.
  case identical(name: String)
  /// The server would refuse it, or leave what is there as it is.
  case conflict(name: String, reason: String)

  /// - Parameters:
  ///   - collation: the collection's own, which an index has that does not say another.
  ///   - release: from 5.0 on, one key may have several indexes that differ in more than collation.
  static func compare(
    _ wanted: Document, with existing: [Document], collation: Document? = nil, release: Release
  ) -> IndexComparison {
    let name = indexName(wanted)
    if isPrimary(wanted) {
      // Whatever it is called, the server takes it for the one that every collection has.
      let extra = wanted.keys.filter { !["key", "name", "v", "background", "ns"].contains($0) }
      return extra.isEmpty || extra == ["clustered"] || extra == ["collation"]
        ? .identical(name: "_id_")
        : .conflict(
          name: "_id_",
          reason: "the index on _id takes no \(extra.joined(separator: ", ")); "
            + "the server would answer 197")
    }
    let shape = IndexShape(wanted, collation: collation, release: release)
    for index in existing where index["name"]?.stringValue == name {
      let there = IndexShape(index, collation: nil, release: release)
      let differing = shape.differences(from: there)
      if differing.isEmpty { return .identical(name: name) }
      let what = "an index named \(name) exists with other \(differing.joined(separator: ", "))"
      return .conflict(
        name: name,
        reason: differing == ["hidden"]
          ? "\(what); the server would leave it as it is, collMod changes it"
          : "\(what); the server would answer 85 or 86")
    }
    for index in existing {
      let other = index["name"]?.stringValue ?? ""
      let there = IndexShape(index, collation: nil, release: release)
      if shape.isText, there.isText {
        return .conflict(
          name: other,
          reason: "\(other) is a text index, and a collection has only one; "
            + "the server would answer 67 or 85")
      }
      guard shape.isSameIndex(as: there) else { continue }
      let differing = shape.differences(from: there)
      return .conflict(
        name: other,
        reason: differing.isEmpty
          ? "index \(other) is the same under another name; the server would answer 85"
          : "index \(other) has the same key with other \(differing.joined(separator: ", ")); "
            + "the server would answer 85")
    }
    return .missing
  }

  /// The name the server would give: `field_1_other_-1`.
  static func indexName(_ spec: Document) -> String {
    if let name = spec["name"]?.stringValue { return name }
    if isPrimary(spec) { return "_id_" }
    return (spec["key"]?.documentValue ?? [:]).map { "\($0.key)_\(direction($0.value))" }
      .joined(separator: "_")
  }

  private static func isPrimary(_ spec: Document) -> Bool {
    guard let key = spec["key"]?.documentValue else { return false }
    return key.keys == ["_id"] && key["_id"]?.doubleValue == 1
  }

  private static func direction(_ value: Value) -> String {
    if let text = value.stringValue { return text }
    if let number = value.integerValue { return "\(number)" }
    if let number = value.doubleValue { return "\(number)" }
    return "1"
  }

  /// The definition as the server keeps it: with its name and the collation of its collection.
  static func kept(_ spec: Document, collation: Document?) -> Document {
    var kept = spec
    kept["name"] = .string(indexName(spec))
    if let collation, !kept.has("collation") { kept.append("collation", .document(collation)) }
    return kept
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
