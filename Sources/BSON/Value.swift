/// A BSON value, copied out of its document.
public enum Value: Sendable, Hashable {
  case double(Double)
  case string(String)
  case document(Document)
  case array([Value])
  case binary(Binary)
  case undefined
  case objectID(ObjectID)
  case bool(Bool)
  case date(DateTime)
  case null
  case regex(RegularExpression)
  case dbPointer(DBPointer)
  case javascript(String)
  case symbol(String)
  case javascriptWithScope(String, Document)
  case int32(Int32)
  case timestamp(Timestamp)
  case int64(Int64)
  case decimal128(Decimal128)
  case minKey
  case maxKey

  /// The type byte.
  public var type: BSONType {
    switch self {
    case .double: .double
    case .string: .string
    case .document: .document
    case .array: .array
    case .binary: .binary
    case .undefined: .undefined
    case .objectID: .objectID
    case .bool: .bool
    case .date: .date
    case .null: .null
    case .regex: .regex
    case .dbPointer: .dbPointer
    case .javascript: .javascript
    case .symbol: .symbol
    case .javascriptWithScope: .javascriptWithScope
    case .int32: .int32
    case .timestamp: .timestamp
    case .int64: .int64
    case .decimal128: .decimal128
    case .minKey: .minKey
    case .maxKey: .maxKey
    }
  }

  // Equality and hash follow the bytes, so that NaN equals itself and 0.0 differs from -0.0.
  public static func == (a: Value, b: Value) -> Bool {
    switch (a, b) {
    case (.double(let x), .double(let y)): x.bitPattern == y.bitPattern
    case (.string(let x), .string(let y)), (.javascript(let x), .javascript(let y)),
      (.symbol(let x), .symbol(let y)):
      x.utf8.elementsEqual(y.utf8)
    case (.document(let x), .document(let y)): x == y
    case (.array(let x), .array(let y)): x == y
    case (.binary(let x), .binary(let y)): x == y
    case (.objectID(let x), .objectID(let y)): x == y
    case (.bool(let x), .bool(let y)): x == y
    case (.date(let x), .date(let y)): x == y
    case (.regex(let x), .regex(let y)): x == y
    case (.dbPointer(let x), .dbPointer(let y)): x == y
    case (.javascriptWithScope(let x, let s), .javascriptWithScope(let y, let t)):
      x.utf8.elementsEqual(y.utf8) && s == t
    case (.int32(let x), .int32(let y)): x == y
    case (.timestamp(let x), .timestamp(let y)): x == y
    case (.int64(let x), .int64(let y)): x == y
    case (.decimal128(let x), .decimal128(let y)): x == y
    case (.undefined, .undefined), (.null, .null), (.minKey, .minKey), (.maxKey, .maxKey): true
    default: false
    }
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(type)
    switch self {
    case .double(let x): hasher.combine(x.bitPattern)
    case .string(let x), .javascript(let x), .symbol(let x): hasher.combine(x)
    case .document(let x): hasher.combine(x)
    case .array(let x): hasher.combine(x)
    case .binary(let x): hasher.combine(x)
    case .objectID(let x): hasher.combine(x)
    case .bool(let x): hasher.combine(x)
    case .date(let x): hasher.combine(x)
    case .regex(let x): hasher.combine(x)
    case .dbPointer(let x): hasher.combine(x)
    case .javascriptWithScope(let x, let s):
      hasher.combine(x)
      hasher.combine(s)
    case .int32(let x): hasher.combine(x)
    case .timestamp(let x): hasher.combine(x)
    case .int64(let x): hasher.combine(x)
    case .decimal128(let x): hasher.combine(x)
    case .undefined, .null, .minKey, .maxKey: break
    }
  }
}

extension Value {
  /// The string, or nil for other types.
  public var stringValue: String? {
    if case .string(let x) = self { x } else { nil }
  }
  /// The document, or nil for other types.
  public var documentValue: Document? {
    if case .document(let x) = self { x } else { nil }
  }
  /// The array, or nil for other types.
  public var arrayValue: [Value]? {
    if case .array(let x) = self { x } else { nil }
  }
  /// The boolean, or nil for other types.
  public var boolValue: Bool? {
    if case .bool(let x) = self { x } else { nil }
  }
  /// An int32, an int64 or a double without a fraction; nil for everything else.
  public var integerValue: Int64? {
    switch self {
    case .int32(let x): Int64(x)
    case .int64(let x): x
    case .double(let x): Int64(exactly: x)
    default: nil
    }
  }
  /// Any number but a decimal as a double; nil for everything else.
  public var doubleValue: Double? {
    switch self {
    case .int32(let x): Double(x)
    case .int64(let x): Double(x)
    case .double(let x): x
    default: nil
    }
  }
  /// How a server command reads a flag: true, or a number other than zero.
  public var isTruthy: Bool {
    switch self {
    case .bool(let x): x
    case .null, .undefined: false
    default: doubleValue != 0
    }
  }
  /// The date, or nil for other types.
  public var dateValue: DateTime? {
    if case .date(let x) = self { x } else { nil }
  }
  /// The timestamp, or nil for other types.
  public var timestampValue: Timestamp? {
    if case .timestamp(let x) = self { x } else { nil }
  }
  /// The binary, or nil for other types.
  public var binaryValue: Binary? {
    if case .binary(let x) = self { x } else { nil }
  }

  /// The smallest integer type that holds `value`, as drivers choose it.
  public static func integer(_ value: some BinaryInteger) -> Value {
    if let small = Int32(exactly: value) { return .int32(small) }
    return .int64(Int64(clamping: value))
  }
}

extension Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
  ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: Value...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, Value)...) {
    var document = Document()
    for (key, value) in elements { document.append(key, value) }
    self = .document(document)
  }
  public init(nilLiteral: ()) { self = .null }
}
