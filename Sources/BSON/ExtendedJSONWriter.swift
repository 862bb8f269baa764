/// Writes borrowed BSON as Extended JSON text.
struct ExtendedJSONWriter {
  let format: ExtendedJSON.Format
  let indent: Int?
  let depthLimit: Int
  var out: [UInt8] = []

  mutating func document(_ view: DocumentView, depth: Int) throws(BSONError) {
    try members(view, depth: depth, named: true)
  }

  private mutating func members(_ view: DocumentView, depth: Int, named: Bool) throws(BSONError) {
    guard depth <= depthLimit else {
      throw BSONError(.tooDeep, "nested deeper than \(depthLimit) levels")
    }
    out.append(UInt8(ascii: named ? "{" : "["))
    var iterator = view.makeIterator()
    var first = true
    while let element = try iterator.next() {
      if !first { out.append(UInt8(ascii: ",")) }
      first = false
      newLine(depth + 1)
      if named {
        string(element.keyBytes)
        out.append(UInt8(ascii: ":"))
        if indent != nil { out.append(0x20) }
      }
      try value(element, depth: depth + 1)
    }
    if !first { newLine(depth) }
    out.append(UInt8(ascii: named ? "}" : "]"))
  }

  private mutating func newLine(_ depth: Int) {
    guard let indent else { return }
    out.append(0x0A)
    out.append(contentsOf: repeatElement(0x20, count: max(0, indent) * depth))
  }

  mutating func value(_ element: ElementView, depth: Int) throws(BSONError) {
    switch element.type {
    case .document, .array:
      guard let nested = try element.nested() else { return }
      try members(nested, depth: depth, named: element.type == .document)
    case .string:
      if let bytes = try element.stringBytes() { string(bytes) }
    case .javascript, .symbol:
      text(element.type == .symbol ? "{\"$symbol\":" : "{\"$code\":")
      if let bytes = try element.stringBytes() { string(bytes) }
      text("}")
    case .javascriptWithScope:
      let (code, scope) = try element.codeWithScope()
      text("{\"$code\":")
      string(code)
      text(",\"$scope\":")
      try document(scope, depth: depth + 1)
      text("}")
    case .regex:
      let (pattern, options) = try element.regexParts()
      text("{\"$regularExpression\":{\"pattern\":")
      string(pattern)
      text(",\"options\":")
      [UInt8](options.sorted()).withUnsafeBytes { string($0) }
      text("}}")
    case .dbPointer:
      let (namespace, id) = try element.pointerParts()
      text("{\"$dbPointer\":{\"$ref\":")
      string(namespace)
      text(",\"$id\":{\"$oid\":\"\(id)\"}}}")
    default: try scalar(try element.value())
    }
  }

  private mutating func scalar(_ value: Value) throws(BSONError) {
    switch value {
    case .double(let x): double(x)
    case .int32(let x): number("Int", String(x))
    case .int64(let x): number("Long", String(x))
    case .decimal128(let x): text("{\"$numberDecimal\":\"\(x)\"}")
    case .bool(let x): text(x ? "true" : "false")
    case .null: text("null")
    case .undefined: text("{\"$undefined\":true}")
    case .minKey: text("{\"$minKey\":1}")
    case .maxKey: text("{\"$maxKey\":1}")
    case .objectID(let x): text("{\"$oid\":\"\(x)\"}")
    case .timestamp(let x): text("{\"$timestamp\":{\"t\":\(x.seconds),\"i\":\(x.increment)}}")
    case .date(let x): date(x.milliseconds)
    case .binary(let x):
      text("{\"$binary\":{\"base64\":\"")
      // A subtype 2 that contradicts itself has no payload of its own: its bytes are shown as they are.
      (x.payload ?? x.stored[...]).withUnsafeBytes { Base64.encode($0, to: &out) }
      text("\",\"subType\":\"\(Hex.encode([x.subtype]))\"}}")
    case .string, .symbol, .javascript, .document, .array, .regex, .dbPointer,
      .javascriptWithScope:
      // These are written from their bytes, without a copy.
      throw BSONError(.invalidValue, "a value is not a scalar")
    }
  }

  private mutating func number(_ type: StaticString, _ digits: String) {
    if format == .relaxed { text(digits) } else { text("{\"$number\(type)\":\"\(digits)\"}") }
  }

  private mutating func double(_ x: Double) {
    if format == .relaxed, x.isFinite {
      text(NumberText.double(x, plainBelow: 16))
    } else {
      text("{\"$numberDouble\":\"\(NumberText.double(x))\"}")
    }
  }

  private mutating func date(_ milliseconds: Int64) {
    if format == .relaxed, let iso = ISODate.text(milliseconds) {
      text("{\"$date\":\"\(iso)\"}")
    } else {
      text("{\"$date\":{\"$numberLong\":\"\(milliseconds)\"}}")
    }
  }

  private mutating func text(_ text: String) { out.append(contentsOf: text.utf8) }

  /// Writes a quoted string with mongodump's escapes.
  private mutating func string(_ bytes: UnsafeRawBufferPointer) {
    out.append(UInt8(ascii: "\""))
    var plain = 0
    var at = 0
    while at < bytes.count {
      let byte = bytes[at]
      if byte >= 0x20, byte < 0x80, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
        at += 1
        continue
      }
      let length = byte < 0x80 ? 1 : Self.sequenceLength(bytes, at)
      if length > 1, !Self.isLineSeparator(bytes, at, length) {
        at += length
        continue
      }
      out.append(contentsOf: bytes[plain..<at])
      if byte < 0x80 {
        escape(byte)
      } else if length == 0 {
        text("\\ufffd")
      } else {
        text(bytes[at + 2] == 0xA8 ? "\\u2028" : "\\u2029")
      }
      at += max(1, length)
      plain = at
    }
    out.append(contentsOf: bytes[plain..<at])
    out.append(UInt8(ascii: "\""))
  }

  private mutating func escape(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""): text("\\\"")
    case UInt8(ascii: "\\"): text("\\\\")
    case 0x08: text("\\b")
    case 0x09: text("\\t")
    case 0x0A: text("\\n")
    case 0x0C: text("\\f")
    case 0x0D: text("\\r")
    default: text("\\u00" + Hex.encode([byte]))
    }
  }

  private static func isLineSeparator(
    _ bytes: UnsafeRawBufferPointer, _ at: Int, _ length: Int
  ) -> Bool {
    length == 3 && bytes[at] == 0xE2 && bytes[at + 1] == 0x80 && bytes[at + 2] & 0xFE == 0xA8
  }

  /// The length of the UTF-8 sequence of two to four bytes at `at`, or 0 when there is none.
  private static func sequenceLength(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int {
    let lead = bytes[at]
    let length: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch lead {
    case 0xC2...0xDF: length = 2
    case 0xE0: (length, second) = (3, 0xA0...0xBF)
    case 0xED: (length, second) = (3, 0x80...0x9F)
    case 0xE1...0xEF: length = 3
    case 0xF0: (length, second) = (4, 0x90...0xBF)
    case 0xF1...0xF3: length = 4
    case 0xF4: (length, second) = (4, 0x80...0x8F)
    default: return 0
    }
    guard bytes.count - at >= length, second.contains(bytes[at + 1]) else { return 0 }
    for i in 2..<max(2, length) where bytes[at + i] & 0xC0 != 0x80 { return 0 }
    return length
  }
}
