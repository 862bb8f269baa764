/// JSON as it was read: members keep their order and may repeat, numbers keep their text.
///
/// The common ground of JSON and YAML input; ``ExtendedJSON/value(of:)`` makes BSON of it.
public indirect enum JSON: Sendable, Hashable {
  case object([Member])
  case array([JSON])
  case string(String)
  /// A number in JSON's grammar.
  case number(String)
  case bool(Bool)
  case null

  /// A name and its value.
  public struct Member: Sendable, Hashable {
    public let key: String
    public let value: JSON
    public init(_ key: String, _ value: JSON) {
      self.key = key
      self.value = value
    }
  }

  /// Parses one JSON text of RFC 8259; a byte order mark and white space around it are skipped.
  /// - Throws: ``BSONError`` `.invalidJSON` or `.tooDeep`, with the offset in bytes.
  public static func parse(utf8 bytes: UnsafeRawBufferPointer) throws(BSONError) -> JSON {
    var scanner = JSONScanner(bytes)
    return try scanner.whole()
  }

  /// Parses one JSON text.
  /// - Throws: ``BSONError`` `.invalidJSON` or `.tooDeep`, with the offset in bytes.
  public static func parse(_ text: String) throws(BSONError) -> JSON {
    let bytes = Array(text.utf8)
    let result = bytes.withUnsafeBytes { raw in
      Result { () throws(BSONError) in try parse(utf8: raw) }
    }
    return try result.get()
  }
}

/// Reads JSON text byte by byte.
struct JSONScanner {
  private let bytes: UnsafeRawBufferPointer
  private var at = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func whole() throws(BSONError) -> JSON {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
    let value = try self.value(depth: 0)
    skipSpace()
    guard at == bytes.count else { throw fault("something follows the JSON value") }
    return value
  }

  private func fault(_ message: String) -> BSONError {
    BSONError(.invalidJSON, message, offset: at)
  }

  private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { at += 1 }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard next == byte else { return false }
    at += 1
    return true
  }

  private mutating func value(depth: Int) throws(BSONError) -> JSON {
    guard depth <= DocumentView.maximumDepth else {
      throw BSONError(
        .tooDeep, "nested deeper than \(DocumentView.maximumDepth) levels", offset: at)
    }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case nil: throw fault("the JSON text ends too early")
    case let byte? where byte == UInt8(ascii: "-") || Self.isDigit(byte): return try number()
    default: throw fault("a JSON value was expected here")
    }
  }

  private mutating func object(depth: Int) throws(BSONError) -> JSON {
    at += 1
    var members: [JSON.Member] = []
    if take(UInt8(ascii: "}")) { return .object(members) }
    repeat {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw fault("a member name in quotes was expected") }
      let key = try string()
      guard take(UInt8(ascii: ":")) else { throw fault("a colon was expected after a member name") }
      members.append(JSON.Member(key, try value(depth: depth + 1)))
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "}")) else {
      throw fault("a comma or the end of an object was expected")
    }
    return .object(members)
  }

  private mutating func array(depth: Int) throws(BSONError) -> JSON {
    at += 1
    var items: [JSON] = []
    if take(UInt8(ascii: "]")) { return .array(items) }
    repeat { items.append(try value(depth: depth + 1)) } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "]")) else {
      throw fault("a comma or the end of an array was expected")
    }
    return .array(items)
  }

  private mutating func word(_ text: StaticString, _ value: JSON) throws(BSONError) -> JSON {
    for i in 0..<text.utf8CodeUnitCount {
      guard next == text.utf8Start[i] else { throw fault("a JSON value was expected here") }
      at += 1
    }
    return value
  }

  private mutating func number() throws(BSONError) -> JSON {
    let start = at
    if next == UInt8(ascii: "-") { at += 1 }
    if next == UInt8(ascii: "0") { at += 1 } else { try digits() }
    if next == UInt8(ascii: ".") {
      at += 1
      try digits()
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      at += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
      try digits()
    }
    return .number(String(decoding: bytes[start..<at], as: UTF8.self))
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
  }

  private mutating func digits() throws(BSONError) {
    let start = at
    while let byte = next, Self.isDigit(byte) { at += 1 }
    guard at > start else { throw fault("a digit was expected") }
  }

  private mutating func string() throws(BSONError) -> String {
    let opening = at
    at += 1
    var out: [UInt8] = []
    var plain = at
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        out.append(contentsOf: bytes[plain..<at])
        at += 1
        guard let text = String(validating: out, as: UTF8.self) else {
          at = opening
          throw fault("a JSON string is not UTF-8")
        }
        return text
      case UInt8(ascii: "\\"):
        out.append(contentsOf: bytes[plain..<at])
        at += 1
        try escape(to: &out)
        plain = at
      case 0..<0x20: throw fault("a control character in a JSON string is not escaped")
      default: at += 1
      }
    }
    throw fault("a JSON string has no end")
  }

  private mutating func escape(to out: inout [UInt8]) throws(BSONError) {
    guard let byte = next else { throw fault("a JSON string has no end") }
    at += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "f"): out.append(0x0C)
    case UInt8(ascii: "n"): out.append(0x0A)
    case UInt8(ascii: "r"): out.append(0x0D)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "u"): out.append(contentsOf: Array(String(try scalar()).utf8))
    default:
      at -= 1
      throw fault("JSON has no such escape")
    }
  }

  private mutating func scalar() throws(BSONError) -> Character {
    var code = try fourDigits()
    if code & 0xFC00 == 0xD800 {
      guard next == UInt8(ascii: "\\") else { throw fault("half a surrogate pair") }
      at += 1
      guard next == UInt8(ascii: "u") else { throw fault("half a surrogate pair") }
      at += 1
      let low = try fourDigits()
      guard low & 0xFC00 == 0xDC00 else { throw fault("half a surrogate pair") }
      code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
    }
    guard let scalar = Unicode.Scalar(code) else { throw fault("half a surrogate pair") }
    return Character(scalar)
  }

  private mutating func fourDigits() throws(BSONError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Hex.nibble(byte) else {
        throw fault("\\u needs four hexadecimal digits")
      }
      code = code << 4 | UInt32(digit)
      at += 1
    }
    return code
  }
}
