/// One borrowed element: type, name and value bytes. Lives as long as its document's bytes.
public struct ElementView {
  /// The value's type.
  public let type: BSONType
  /// The whole element: type byte, name, NUL, value.
  public let bytes: UnsafeRawBufferPointer
  let keyLength: Int

  /// The name's bytes, as stored, without the NUL.
  public var keyBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[1..<1 + keyLength])
  }

  /// The name; bytes that are not UTF-8 are shown as U+FFFD.
  public var key: String { String(decoding: keyBytes, as: UTF8.self) }

  /// True when the name's bytes are those of `key`.
  public func isNamed(_ key: String) -> Bool {
    let wanted = key.utf8
    return wanted.count == keyLength && keyBytes.elementsEqual(wanted)
  }

  /// The value's bytes, without type and name.
  public var valueBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[(keyLength + 2)...])
  }

  private var reader: RawReader { RawReader(bytes: valueBytes) }

  /// The nested document or array, borrowed; nil for other types.
  public func nested() throws(BSONError) -> DocumentView? {
    guard type == .document || type == .array else { return nil }
    return try DocumentView(valueBytes)
  }

  /// An int32, int64 or a double without a fraction, as a 64-bit integer; nil for other types.
  public func integer() throws(BSONError) -> Int64? {
    switch type {
    case .int32: return Int64(try reader.int32(at: 0))
    case .int64: return try reader.int64(at: 0)
    case .double: return Int64(exactly: Double(bitPattern: try reader.uint64(at: 0)))
    default: return nil
    }
  }

  /// The string's bytes without length and NUL; nil for types that are not string-like.
  public func stringBytes() throws(BSONError) -> UnsafeRawBufferPointer? {
    guard type == .string || type == .symbol || type == .javascript else { return nil }
    return try string(at: 0).bytes
  }

  /// The value, copied out; bytes of strings that are not UTF-8 become U+FFFD.
  /// - Throws: ``BSONError`` when the bytes are not a value of the type.
  public func value() throws(BSONError) -> Value { try value(depth: 0, trusted: false) }

  /// The value of an element whose document was checked before: nested bytes are not checked again.
  func trustedValue() throws(BSONError) -> Value { try value(depth: 0, trusted: true) }

  private func value(depth: Int, trusted: Bool) throws(BSONError) -> Value {
    guard trusted || depth <= DocumentView.maximumDepth else {
      throw BSONError(.tooDeep, "nested deeper than \(DocumentView.maximumDepth) levels")
    }
    switch type {
    case .double: return .double(Double(bitPattern: try reader.uint64(at: 0)))
    case .string: return .string(decode(try string(at: 0).bytes))
    case .document: return .document(try nested(try DocumentView(valueBytes), depth + 1, trusted))
    case .array: return .array(try array(depth: depth + 1, trusted: trusted))
    case .binary: return .binary(try binary())
    case .undefined: return .undefined
    case .objectID: return .objectID(try objectID(at: 0))
    case .bool: return .bool(try reader.byte(at: 0) != 0)
    case .date: return .date(DateTime(milliseconds: try reader.int64(at: 0)))
    case .null: return .null
    case .regex: return .regex(try regex())
    case .dbPointer:
      let (name, id) = try pointerParts()
      return .dbPointer(DBPointer(namespace: decode(name), id: id))
    case .javascript: return .javascript(decode(try string(at: 0).bytes))
    case .symbol: return .symbol(decode(try string(at: 0).bytes))
    case .javascriptWithScope:
      let (code, scope) = try codeWithScope()
      return .javascriptWithScope(decode(code), try nested(scope, depth + 1, trusted))
    case .int32: return .int32(try reader.int32(at: 0))
    case .timestamp: return .timestamp(Timestamp(rawValue: try reader.uint64(at: 0)))
    case .int64: return .int64(try reader.int64(at: 0))
    case .decimal128:
      return .decimal128(
        Decimal128(high: try reader.uint64(at: 8), low: try reader.uint64(at: 0)))
    case .minKey: return .minKey
    case .maxKey: return .maxKey
    }
  }

  func validate(strict: Bool, depth: Int) throws(BSONError) {
    if strict { try requireUTF8(keyBytes) }
    switch type {
    case .string, .javascript, .symbol:
      let text = try string(at: 0).bytes
      if strict { try requireUTF8(text) }
    case .document:
      try DocumentView(valueBytes).validate(strict: strict, depth: depth + 1)
    case .array:
      try DocumentView(valueBytes).validate(strict: strict, depth: depth + 1)
    case .binary:
      let value = try binary()
      guard !strict || value.subtype != 2 || value.payload != nil else {
        throw BSONError(.invalidLength, "an old binary value does not repeat its length")
      }
    case .bool:
      let byte = try reader.byte(at: 0)
      guard !strict || byte <= 1 else {
        throw BSONError(.invalidValue, "a boolean is 0 or 1, not \(byte)")
      }
    case .regex:
      guard strict else { return }
      let (pattern, options) = try regexParts()
      try requireUTF8(pattern)
      try requireUTF8(options)
    case .dbPointer:
      let (name, _) = try pointerParts()
      if strict { try requireUTF8(name) }
    case .javascriptWithScope:
      let (code, scope) = try codeWithScope()
      if strict { try requireUTF8(code) }
      try scope.validate(strict: strict, depth: depth + 1)
    default: break
    }
  }

  // MARK: - Parts

  private func string(at offset: Int) throws(BSONError) -> (bytes: UnsafeRawBufferPointer, end: Int)
  {
    let length = Int(try reader.int32(at: offset))
    guard length >= 1 else {
      throw BSONError(.invalidLength, "a string of \(length) bytes has no room for its NUL")
    }
    try reader.check(offset + 4, length)
    guard try reader.byte(at: offset + 4 + length - 1) == 0 else {
      throw BSONError(.invalidString, "a string does not end with a zero byte")
    }
    return (try reader.slice(offset + 4, length - 1), offset + 4 + length)
  }

  private func nested(_ view: DocumentView, _ depth: Int, _ trusted: Bool) throws(BSONError)
    -> Document
  {
    if trusted { return Document(trusted: [UInt8](view.bytes)) }
    return try Document(copying: view, depth: depth)
  }

  private func array(depth: Int, trusted: Bool) throws(BSONError) -> [Value] {
    var values: [Value] = []
    var iterator = try DocumentView(valueBytes).makeIterator()
    while let element = try iterator.next() {
      values.append(try element.value(depth: depth, trusted: trusted))
    }
    return values
  }

  private func binary() throws(BSONError) -> Binary {
    let length = Int(try reader.int32(at: 0))
    return Binary(
      stored: [UInt8](try reader.slice(5, length)), subtype: try reader.byte(at: 4))
  }

  private func objectID(at offset: Int) throws(BSONError) -> ObjectID {
    let bytes = try reader.slice(offset, 12)
    return ObjectID(
      high: RawReader.bigEndian(bytes, 0),
      low: UInt32(truncatingIfNeeded: RawReader.bigEndian(bytes, 4)))
  }

  func regexParts() throws(BSONError) -> (UnsafeRawBufferPointer, UnsafeRawBufferPointer) {
    let patternEnd = try reader.terminator(from: 0, limit: valueBytes.count)
    let optionsEnd = try reader.terminator(from: patternEnd + 1, limit: valueBytes.count)
    return (
      try reader.slice(0, patternEnd), try reader.slice(patternEnd + 1, optionsEnd - patternEnd - 1)
    )
  }

  private func regex() throws(BSONError) -> RegularExpression {
    let (pattern, options) = try regexParts()
    return RegularExpression(pattern: decode(pattern), options: decode(options))
  }

  func codeWithScope() throws(BSONError) -> (UnsafeRawBufferPointer, DocumentView) {
    let (code, end) = try string(at: 4)
    let rest = valueBytes.count - end
    return (code, try DocumentView(try reader.slice(end, rest)))
  }

  func pointerParts() throws(BSONError) -> (namespace: UnsafeRawBufferPointer, id: ObjectID) {
    let (name, end) = try string(at: 0)
    return (name, try objectID(at: end))
  }

  private func decode(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes, as: UTF8.self)
  }

  private func requireUTF8(_ bytes: UnsafeRawBufferPointer) throws(BSONError) {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw BSONError(.invalidString, "a string is not UTF-8")
    }
  }
}

extension RawReader {
  fileprivate static func bigEndian(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
    UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
