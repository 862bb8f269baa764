import BSON

/// Reads JSON into a tree; strict, so that a file means the same to every reader of JSON.
///
/// YAML's reader is not used for it: it knows no surrogate pairs and cuts long keys.
struct JSONReader {
  private let bytes: [UInt8]
  private let file: String
  private var at = 0
  private var line = 1
  private var lineStart = 0

  private init(_ text: String, file: String) {
    bytes = Array(text.utf8)
    self.file = file
  }

  /// - Throws: the first thing that is not JSON.
  static func read(_ text: String, file: String) throws(MigrationError) -> Tree {
    var reader = JSONReader(text, file: file)
    reader.skipSpace()
    guard reader.at < reader.bytes.count else {
      throw reader.fail(.emptyFile, "the file is empty: expected JSON")
    }
    let tree = try reader.value(depth: 0)
    reader.skipSpace()
    guard reader.at == reader.bytes.count else {
      throw reader.fail(.multipleDocuments, "expected the end of the file after the first value")
    }
    return tree
  }

  private func fail(_ code: MigrationError.Code, _ message: String) -> MigrationError {
    MigrationError(code, message, file: file, line: line, column: column)
  }

  private func fail(_ message: String) -> MigrationError { fail(.syntax, message) }

  /// Continuation bytes do not count, so that columns are Unicode scalars.
  private var column: Int {
    bytes[lineStart..<min(at, bytes.count)].count { $0 & 0xC0 != 0x80 } + 1
  }

  private mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case 0x20, 0x09, 0x0D: at += 1
      case 0x0A:
        at += 1
        line += 1
        lineStart = at
      default: return
      }
    }
  }

  private mutating func value(depth: Int) throws(MigrationError) -> Tree {
    guard depth <= Limits.depth else {
      throw fail(.tooLarge, "nested deeper than \(Limits.depth) levels")
    }
    let (line, column) = (line, column)
    guard at < bytes.count else { throw fail("not valid JSON: expected a value, found the end") }
    let content: Tree.Content
    switch bytes[at] {
    case UInt8(ascii: "{"): content = .mapping(try object(depth: depth))
    case UInt8(ascii: "["): content = .sequence(try array(depth: depth))
    case UInt8(ascii: "\""):
      let text = try string()
      content = .scalar(.string(text), text: text)
    default: content = try literal()
    }
    return Tree(content: content, line: line, column: column)
  }

  private mutating func object(depth: Int) throws(MigrationError) -> [Tree.Entry] {
    at += 1
    var entries: [Tree.Entry] = []
    var seen: Set<String> = []
    skipSpace()
    if take("}") { return entries }
    while true {
      skipSpace()
      let (line, column) = (line, column)
      guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else {
        throw fail("not valid JSON: expected a key in double quotes")
      }
      let before = self
      let key = try string()
      guard seen.insert(key).inserted else {
        throw before.fail(.duplicateKey, "key `\(key)` is more than once in this object")
      }
      guard !key.utf8.contains(0) else {
        throw before.fail(.invalidValue, "a key holds a NUL character, which no field name may")
      }
      skipSpace()
      guard take(":") else { throw fail("not valid JSON: expected `:` after a key") }
      skipSpace()
      let value = try value(depth: depth + 1)
      entries.append(Tree.Entry(key: key, line: line, column: column, value: value))
      skipSpace()
      if take("}") { return entries }
      guard take(",") else { throw fail("not valid JSON: expected `,` or `}`") }
    }
  }

  private mutating func array(depth: Int) throws(MigrationError) -> [Tree] {
    at += 1
    var items: [Tree] = []
    skipSpace()
    if take("]") { return items }
    while true {
      skipSpace()
      items.append(try value(depth: depth + 1))
      skipSpace()
      if take("]") { return items }
      guard take(",") else { throw fail("not valid JSON: expected `,` or `]`") }
    }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
    at += 1
    return true
  }

  private mutating func literal() throws(MigrationError) -> Tree.Content {
    let word = bytes[at...].prefix { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "+"), UInt8(ascii: "-"),
        UInt8(ascii: "."):
        true
      default: false
      }
    }
    let text = String(decoding: word, as: UTF8.self)
    switch text {
    case "true", "false", "null":
      at += word.count
      return .scalar(CoreScalar.value(text) ?? .null, text: text)
    default: break
    }
    guard isNumber(Array(word)) else { throw fail("not valid JSON: expected a value") }
    let number: Value
    if CoreScalar.isInteger(text) {
      guard let value = CoreScalar.value(text) else {
        throw fail(.invalidValue, "an integer that does not fit in 64 bits")
      }
      number = value
    } else {
      number = .double(Double(text) ?? .nan)
    }
    at += word.count
    return .scalar(number, text: text)
  }

  /// JSON knows no leading zero, no plus sign and no bare point.
  private func isNumber(_ word: [UInt8]) -> Bool {
    let digits = word.first == UInt8(ascii: "-") ? Array(word.dropFirst()) : word
    guard let first = digits.first, first >= 0x30, first <= 0x39,
      CoreScalar.isFloat(String(decoding: word, as: UTF8.self))
    else { return false }
    if first == 0x30, digits.count > 1, digits[1] >= 0x30, digits[1] <= 0x39 { return false }
    guard let point = digits.firstIndex(of: UInt8(ascii: ".")) else { return true }
    return digits.indices.contains(point + 1) && (0x30...0x39).contains(digits[point + 1])
  }

  private mutating func string() throws(MigrationError) -> String {
    at += 1
    var text: [UInt8] = []
    while at < bytes.count {
      let byte = bytes[at]
      switch byte {
      case UInt8(ascii: "\""):
        at += 1
        return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"): text.append(contentsOf: try escape())
      case 0..<0x20: throw fail("not valid JSON: a control character in a string")
      default:
        text.append(byte)
        at += 1
      }
    }
    throw fail("not valid JSON: a string is not closed")
  }

  private mutating func escape() throws(MigrationError) -> [UInt8] {
    guard at + 1 < bytes.count else { throw fail("not valid JSON: a string is not closed") }
    at += 2
    switch bytes[at - 1] {
    case UInt8(ascii: "\""): return [0x22]
    case UInt8(ascii: "\\"): return [0x5C]
    case UInt8(ascii: "/"): return [0x2F]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"):
      var code = try unit()
      if (0xD800..<0xDC00).contains(code), at + 1 < bytes.count,
        bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u")
      {
        at += 2
        let low = try unit()
        guard (0xDC00..<0xE000).contains(low) else {
          throw fail("not valid JSON: half of a surrogate pair")
        }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else {
        throw fail("not valid JSON: half of a surrogate pair")
      }
      return Array(String(Character(scalar)).utf8)
    default: throw fail("not valid JSON: an unknown escape in a string")
    }
  }

  private mutating func unit() throws(MigrationError) -> UInt32 {
    guard at + 4 <= bytes.count, let pair = Hex.decode(bytes[at..<at + 4]) else {
      throw fail("not valid JSON: expected four hexadecimal digits after \\u")
    }
    at += 4
    return UInt32(pair[0]) << 8 | UInt32(pair[1])
  }
}
