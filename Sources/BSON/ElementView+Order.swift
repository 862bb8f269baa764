/// The order in which the server sorts values of all types, without a collation.
///
/// - Source: MongoDB manual, "Comparison/Sort Order"; the server's `BSONElement::woCompare`.
extension ElementView {
  /// Negative, zero or positive as this value sorts before, with or after the other; names of the two
  /// elements themselves play no part. Numbers of all types are compared exactly.
  /// - Throws: ``BSONError`` when the bytes are not BSON.
  public func compare(_ other: ElementView) throws(BSONError) -> Int {
    try compare(other, depth: 0)
  }

  private func compare(_ other: ElementView, depth: Int) throws(BSONError) -> Int {
    let (a, b) = (type.rank, other.type.rank)
    guard a == b else { return a < b ? -1 : 1 }
    switch type {
    case .minKey, .maxKey, .null, .undefined: return 0
    case .int32, .int64, .double, .decimal128:
      return ExactNumber.compare(try value(), try other.value())
    case .string, .symbol, .javascript:
      guard let x = try stringBytes(), let y = try other.stringBytes() else { return 0 }
      return Self.order(x, y)
    case .document, .array:
      guard let x = try nested(), let y = try other.nested() else { return 0 }
      return try Self.compare(x, y, depth: depth + 1)
    case .binary:
      // Length, then subtype, then bytes: the order in which they are stored, the length as a number.
      let (x, y) = (valueBytes, other.valueBytes)
      guard x.count == y.count else { return x.count < y.count ? -1 : 1 }
      return Self.order(
        UnsafeRawBufferPointer(rebasing: x.dropFirst(4)),
        UnsafeRawBufferPointer(rebasing: y.dropFirst(4)))
    case .objectID, .bool: return Self.order(valueBytes, other.valueBytes)
    case .date, .timestamp:
      switch (try value(), try other.value()) {
      case (.date(let x), .date(let y)): return x < y ? -1 : x > y ? 1 : 0
      case (.timestamp(let x), .timestamp(let y)): return x < y ? -1 : x > y ? 1 : 0
      default: return 0
      }
    case .regex:
      let (x, y) = (try regexParts(), try other.regexParts())
      let patterns = Self.order(x.0, y.0)
      return patterns != 0 ? patterns : Self.order(x.1, y.1)
    case .dbPointer:
      let (x, y) = (valueBytes, other.valueBytes)
      guard x.count == y.count else { return x.count < y.count ? -1 : 1 }
      return Self.order(x, y)
    case .javascriptWithScope:
      let (x, y) = (try codeWithScope(), try other.codeWithScope())
      let codes = Self.order(x.0, y.0)
      return codes != 0 ? codes : try Self.compare(x.1, y.1, depth: depth + 1)
    }
  }

  /// Field by field: type, then name, then value; a document that ends first sorts first.
  static func compare(_ x: DocumentView, _ y: DocumentView, depth: Int) throws(BSONError) -> Int {
    guard depth <= DocumentView.maximumDepth else {
      throw BSONError(.tooDeep, "nested deeper than \(DocumentView.maximumDepth) levels")
    }
    var (left, right) = (x.makeIterator(), y.makeIterator())
    while true {
      let (a, b) = (try left.next(), try right.next())
      guard let a else { return b == nil ? 0 : -1 }
      guard let b else { return 1 }
      guard a.type.rank == b.type.rank else { return a.type.rank < b.type.rank ? -1 : 1 }
      let names = order(a.keyBytes, b.keyBytes)
      if names != 0 { return names }
      let values = try a.compare(b, depth: depth)
      if values != 0 { return values }
    }
  }

  /// Byte by byte, the shorter first.
  private static func order(_ x: UnsafeRawBufferPointer, _ y: UnsafeRawBufferPointer) -> Int {
    for i in 0..<min(x.count, y.count) where x[i] != y[i] { return x[i] < y[i] ? -1 : 1 }
    return x.count == y.count ? 0 : x.count < y.count ? -1 : 1
  }
}

extension DocumentView {
  /// Negative, zero or positive as this document sorts before, with or after the other.
  /// - Throws: ``BSONError`` when the bytes are not BSON.
  public func compare(_ other: DocumentView) throws(BSONError) -> Int {
    try ElementView.compare(self, other, depth: 0)
  }
}

extension Value {
  /// Negative, zero or positive as the server sorts `a` before, with or after `b`.
  ///
  /// Numbers of all types are compared exactly, and so are strings and symbols. Strings that were not
  /// UTF-8 have lost their bytes by now: ``ElementView/compare(_:)`` has not.
  public static func canonicalOrder(_ a: Value, _ b: Value) -> Int {
    switch (a, b) {
    case (.objectID(let x), .objectID(let y)): return x < y ? -1 : x == y ? 0 : 1
    case (.int32, .int32), (.int64, .int64), (.double, .double):
      return ExactNumber.compare(a, b)
    default: break
    }
    let (left, right) = (Document([("", a)]), Document([("", b)]))
    return left.withView { x in
      right.withView { y in
        // Only nesting beyond the limit is left to go wrong; such values exist in no document.
        (try? ElementView.compare(x, y, depth: 0)) ?? 0
      }
    }
  }

  /// True when the server sorts `a` before `b`; for `sort(by:)`.
  public static func isOrderedBefore(_ a: Value, _ b: Value) -> Bool { canonicalOrder(a, b) < 0 }
}

extension BSONType {
  /// The place among the types; types of one rank are compared by value.
  var rank: Int {
    switch self {
    case .minKey: -1
    case .undefined: 0
    case .null: 5
    case .double, .int32, .int64, .decimal128: 10
    case .string, .symbol: 15
    case .document: 20
    case .array: 25
    case .binary: 30
    case .objectID: 35
    case .bool: 40
    case .date: 45
    case .timestamp: 47
    case .regex: 50
    case .dbPointer: 55
    case .javascript: 60
    case .javascriptWithScope: 65
    case .maxKey: 127
    }
  }
}
