internal import BSON

/// A value as it stands in a document: decoding would lose strings that are not UTF-8.
struct RawValue: Hashable, Sendable {
  let type: BSONType
  let bytes: [UInt8]

  init(type: BSONType, bytes: [UInt8]) {
    self.type = type
    self.bytes = bytes
  }

  init(_ element: ElementView) {
    type = element.type
    bytes = [UInt8](element.valueBytes)
  }

  init?(_ document: Document, _ key: String) {
    guard
      let value = document.withView({ view in (try? view.first(key)).map { RawValue($0) } })
    else { return nil }
    self = value
  }

  /// The value decoded, for showing it.
  var value: Value {
    var writer = RawWriter()
    writer.append("v", self)
    return (try? writer.finish())?["v"] ?? .undefined
  }

  var isMaxKey: Bool { type == .maxKey }
}

/// Builds a document from raw parts.
struct RawWriter {
  private var bytes: [UInt8] = []
  private var starts: [Int] = []

  init(capacity: Int = 0) {
    bytes.reserveCapacity(capacity)
    begin()
  }

  /// Bytes written so far.
  var count: Int { bytes.count }

  mutating func append(_ key: some StringProtocol, _ value: RawValue) {
    append(key, type: value.type)
    bytes.append(contentsOf: value.bytes)
  }

  mutating func append(_ key: String, _ value: Value) {
    append(contentsOf: [key: value])
  }

  /// Every element of a document.
  mutating func append(contentsOf document: Document) {
    bytes.append(contentsOf: document.bytes.dropFirst(4).dropLast())
  }

  /// An element with its name.
  mutating func append(element: ElementView) { bytes.append(contentsOf: element.bytes) }

  /// A document given by its bytes.
  mutating func append(_ key: some StringProtocol, document: [UInt8]) {
    append(key, type: .document)
    bytes.append(contentsOf: document)
  }

  mutating func document(
    _ key: some StringProtocol, _ body: (inout RawWriter) throws -> Void
  ) rethrows {
    append(key, type: .document)
    try nested(body)
  }

  mutating func array(
    _ key: some StringProtocol, _ body: (inout RawWriter) throws -> Void
  ) rethrows {
    append(key, type: .array)
    try nested(body)
  }

  /// An array of values.
  mutating func array(_ key: some StringProtocol, _ values: some Sequence<RawValue>) {
    array(key) { writer in
      for (index, value) in values.enumerated() { writer.append(String(index), value) }
    }
  }

  consuming func finish() throws(BSONError) -> Document { try Document(bytes: finishBytes()) }

  /// The bytes without a check, for parts that are checked with the whole.
  consuming func finishBytes() -> [UInt8] {
    end()
    return bytes
  }

  private mutating func nested(_ body: (inout RawWriter) throws -> Void) rethrows {
    begin()
    try body(&self)
    end()
  }

  private mutating func append(_ key: some StringProtocol, type: BSONType) {
    bytes.append(type.rawValue)
    bytes.append(contentsOf: key.utf8)
    bytes.append(0)
  }

  private mutating func begin() {
    starts.append(bytes.count)
    bytes.append(contentsOf: [0, 0, 0, 0])
  }

  private mutating func end() {
    bytes.append(0)
    let start = starts.removeLast()
    let length = UInt32(truncatingIfNeeded: bytes.count - start)
    for i in 0..<4 { bytes[start + i] = UInt8(truncatingIfNeeded: length >> (8 * i)) }
  }
}
