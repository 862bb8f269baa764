internal import BSON
internal import MongoDB

/// Compares definitions as the server does: 1 is 1.0, and what is left out has its default.
enum Loose {
  /// Numbers by value, documents field by field in order.
  static func equal(_ a: Value, _ b: Value) -> Bool {
    if let x = a.doubleValue, let y = b.doubleValue { return x == y }
    switch (a, b) {
    case (.document(let x), .document(let y)):
      let (left, right) = (Array(x), Array(y))
      return left.count == right.count
        && zip(left, right).allSatisfy { $0.key == $1.key && equal($0.value, $1.value) }
    case (.array(let x), .array(let y)):
      return x.count == y.count && zip(x, y).allSatisfy(equal)
    // A query with $regex and $options comes out of Extended JSON as a value.
    case (.regex(let x), .document(let y)): return isRegex(y, x)
    case (.document(let x), .regex(let y)): return isRegex(x, y)
    default: return a == b
    }
  }

  private static func isRegex(_ query: Document, _ regex: RegularExpression) -> Bool {
    query.count == 2 && query["$regex"]?.stringValue == regex.pattern
      && query["$options"]?.stringValue.map { Set($0) } == Set(regex.options)
  }

  /// Every field of `part` is in `whole`, with that value.
  static func contains(_ whole: Document, _ part: Document) -> Bool {
    part.allSatisfy { element in
      guard let value = whole[element.key] else { return false }
      if let x = value.documentValue, let y = element.value.documentValue { return contains(x, y) }
      return equal(value, element.value)
    }
  }
}

/// Index definitions side by side.
enum IndexComparison {
  private static let flags = ["unique", "sparse", "hidden", "prepareUnique"]
  private static let ignored = [
    "v", "ns", "name", "key", "background", "textIndexVersion",
    "2dsphereIndexVersion",
  ]
  private static let textDefaults: Document = [
    "default_language": "english", "language_override": "language", "bits": 26, "min": -180,
    "max": 180,
  ]

  /// True for the same fields in the same order and direction.
  static func sameKey(_ declared: Document, _ actual: IndexInfo) -> Bool {
    let text = declared.filter { $0.value == "text" }.map(\.key)
    guard !text.isEmpty else { return Loose.equal(.document(declared), .document(actual.key)) }
    // The server keeps `{_fts: "text", _ftsx: 1}` and the fields as weights.
    let weights = actual.spec["weights"]?.documentValue?.keys ?? []
    return actual.key.has("_fts") && Set(weights) == Set(text)
  }

  /// Options that differ, as words; empty when the index is as declared.
  /// - Parameter collation: the collection's own, which an index has that does not say another.
  static func differences(
    declared: Document, actual: Document, collation: Document?
  ) -> [String] {
    differing(declared: declared, actual: actual, collation: collation).map { name in
      "\(name) is \(word(actual[name])), declared \(word(declared[name]))"
    }
  }

  /// Names of the options that differ.
  static func differing(
    declared: Document, actual: Document, collation: Document?
  ) -> [String] {
    let names = (declared.keys + actual.keys + ["collation"]).reduce(into: [String]()) {
      list, name in
      if !list.contains(name), !ignored.contains(name) { list.append(name) }
    }
    return names.filter { name in
      let inherited = name == "collation" ? collation.map { Value.document($0) } : nil
      return !same(name, declared[name] ?? inherited, actual[name])
    }
  }

  private static func same(_ name: String, _ wanted: Value?, _ found: Value?) -> Bool {
    if flags.contains(name) { return (wanted?.isTruthy ?? false) == (found?.isTruthy ?? false) }
    switch (wanted, found) {
    case (nil, nil): return true
    case (let wanted?, let found?):
      if let part = wanted.documentValue, let whole = found.documentValue,
        ["collation", "weights"].contains(name)
      {
        // The server fills in what a collation does not say.
        return Loose.contains(whole, part)
      }
      return Loose.equal(wanted, found)
    case (nil, let found?):
      if name == "weights" { return true }
      return textDefaults[name].map { Loose.equal($0, found) } ?? false
    case (let wanted?, nil):
      // The simple collation is not listed.
      if name == "collation" { return wanted.documentValue?["locale"] == "simple" }
      return textDefaults[name].map { Loose.equal($0, wanted) } ?? false
    }
  }

  private static func word(_ value: Value?) -> String { value.map(Words.value) ?? "not set" }
}

/// Collection options side by side.
enum OptionsComparison {
  private static let defaults: Document = [
    "validationLevel": "strict", "validationAction": "error", "validator": [:],
    "storageEngine": [:], "indexOptionDefaults": [:], "capped": false, "autoIndexId": true,
  ]
  private static let ignored = ["uuid", "temp", "idIndex", "writeConcern", "comment"]

  /// Options that differ, as words.
  static func differences(
    wanted: Document, found: Document, words: (before: String, after: String) = ("declared", "is")
  ) -> [String] {
    let names = (wanted.keys + found.keys).reduce(into: [String]()) { list, name in
      if !list.contains(name), !ignored.contains(name) { list.append(name) }
    }
    return names.compactMap { name in
      let a = wanted[name] ?? defaults[name]
      let b = found[name] ?? defaults[name]
      switch (a, b) {
      case (nil, nil): return nil
      case (let a?, let b?):
        if let part = a.documentValue, let whole = b.documentValue {
          let isPartial = ["collation", "timeseries", "clusteredIndex"].contains(name)
          if isPartial ? Loose.contains(whole, part) : Loose.equal(a, b) { return nil }
        } else if Loose.equal(a, b) || name == "size" && isRounded(a, b) {
          return nil
        } else if name == "clusteredIndex" || name == "capped", a.isTruthy == b.isTruthy {
          return nil
        }
      default: break
      }
      let (x, y) = (a.map(Words.value) ?? "not set", b.map(Words.value) ?? "not set")
      return "\(name) \(words.after) \(y), \(words.before) \(x)"
    }
  }

  /// The server rounds the size of a capped collection up to 256 bytes.
  private static func isRounded(_ a: Value, _ b: Value) -> Bool {
    guard let x = a.integerValue, let y = b.integerValue else { return false }
    return (x + 255) / 256 == (y + 255) / 256
  }
}
