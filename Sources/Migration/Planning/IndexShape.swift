import BSON

/// An index definition with what the server fills in, so that two can be compared.
struct IndexShape {
  /// Text fields stand as one `_fts`, as the server keeps them.
  private let key: Document
  /// What each text field counts; empty for an index without text.
  private let weights: Document
  private let collation: Document
  private let partialFilter: Value?
  private let wildcardProjection: Value?
  private let spec: Document
  private let severalPerKey: Bool

  var isText: Bool { !weights.isEmpty }

  private static let flags = ["unique", "sparse", "hidden", "prepareUnique"]
  /// Compared by themselves, or without meaning for what the index is.
  private static let others: Set<String> = [
    "key", "name", "v", "ns", "background", "dropDups", "clustered", "originalSpec", "weights",
    "textIndexVersion", "2dsphereIndexVersion", "collation", "partialFilterExpression",
    "wildcardProjection", "unique", "sparse", "hidden", "prepareUnique",
  ]
  private static let textDefaults: Document = [
    "default_language": "english", "language_override": "language",
  ]

  /// - Parameter collation: what holds where the definition says none; nil for `simple`.
  init(_ spec: Document, collation inherited: Document?, release: Release) {
    self.spec = spec
    let several = release >= Release(major: 5)
    severalPerKey = several
    let asked = spec["key"]?.documentValue ?? [:]
    (key, weights) = Self.text(asked, spec["weights"]?.documentValue ?? [:])
    let collation = spec["collation"]?.documentValue ?? inherited ?? [:]
    // A text index knows only the simple one, and says so.
    self.collation = weights.isEmpty ? Collation.filled(collation) : [:]
    partialFilter = spec["partialFilterExpression"].map {
      several ? Self.plain(filter: $0) : $0
    }
    wildcardProjection = spec["wildcardProjection"].map {
      several ? Self.plain(projection: $0) : $0
    }
  }

  /// Whether the server takes the other for this one, whatever their names.
  func isSameIndex(as other: IndexShape) -> Bool {
    guard IndexComparison.equal(.document(key), .document(other.key)),
      collation == other.collation
    else { return false }
    guard severalPerKey else { return true }
    return flag("unique") == other.flag("unique") && flag("sparse") == other.flag("sparse")
      && IndexComparison.equal(partialFilter, other.partialFilter)
      && IndexComparison.equal(wildcardProjection, other.wildcardProjection)
  }

  /// The names of the options that differ; `key` for the key.
  func differences(from other: IndexShape) -> [String] {
    var differing: [String] = []
    if !IndexComparison.equal(.document(key), .document(other.key))
      || Set(weights.keys) != Set(other.weights.keys)
    {
      differing.append("key")
    } else if weights.contains(where: { !IndexComparison.equal($0.value, other.weights[$0.key]) }) {
      differing.append("weights")
    }
    differing += Self.flags.filter { flag($0) != other.flag($0) }
    if !IndexComparison.equal(partialFilter, other.partialFilter) {
      differing.append("partialFilterExpression")
    }
    if !IndexComparison.equal(wildcardProjection, other.wildcardProjection) {
      differing.append("wildcardProjection")
    }
    if collation != other.collation { differing.append("collation") }
    var names: [String] = []
    for name in spec.keys + other.spec.keys
    where !Self.others.contains(name) && !names.contains(name) {
      names.append(name)
    }
    return differing
      + names.filter { !IndexComparison.equal(option($0), other.option($0)) }
  }

  private func flag(_ name: String) -> Bool { spec[name]?.isTruthy ?? false }

  private func option(_ name: String) -> Value? {
    spec[name] ?? (isText ? Self.textDefaults[name] : nil)
  }

  private static func text(_ asked: Document, _ given: Document) -> (Document, Document) {
    var key: Document = [:]
    var weights: Document = [:]
    var hasText = false
    for element in asked where element.key != "_ftsx" {
      guard element.value == "text" else {
        key.append(element.key, element.value)
        continue
      }
      if !hasText { key.append("_fts", "text") }
      hasText = true
      if element.key != "_fts" { weights.append(element.key, 1) }
    }
    guard hasText else { return (asked, [:]) }
    for element in given { weights[element.key] = element.value }
    return (key, weights)
  }

  /// From 5.0 on the order of conditions and `$eq` make no difference.
  private static func plain(filter value: Value) -> Value {
    guard let document = value.documentValue else { return value }
    let fields = document.map { element -> (String, Value) in
      guard let inner = element.value.documentValue, inner.count == 1, let equal = inner["$eq"]
      else { return (element.key, element.value) }
      return (element.key, equal)
    }
    return .document(Document(fields.sorted { $0.0 < $1.0 }))
  }

  /// From 5.0 on neither do order and 1 for true in a projection; 5.0 writes `_id: false` out.
  private static func plain(projection value: Value) -> Value {
    guard let document = value.documentValue else { return .int32(value.isTruthy ? 1 : 0) }
    let fields = document.filter { $0.key != "_id" || $0.value.isTruthy }
      .map { ($0.key, plain(projection: $0.value)) }
    return .document(Document(fields.sorted { $0.0 < $1.0 }))
  }
}

/// A collation as the server keeps it.
enum Collation {
  /// With the defaults of its locale, in one order and without the version; `simple` is empty.
  static func filled(_ collation: Document) -> Document {
    guard let locale = collation["locale"]?.stringValue, locale != "simple" else { return [:] }
    // Of all locales only Canadian French has another default.
    let defaults: Document = [
      "caseLevel": false, "caseFirst": "off", "strength": 3, "numericOrdering": false,
      "alternate": "non-ignorable", "maxVariable": "punct", "normalization": false,
      "backwards": .bool(locale == "fr_CA"),
    ]
    var filled: Document = ["locale": .string(locale)]
    for option in defaults {
      let value = collation[option.key] ?? option.value
      filled.append(option.key, value.integerValue.map(Value.integer) ?? value)
    }
    return filled
  }
}
