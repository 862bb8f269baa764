/// A borrowed document: reads elements straight from bytes that somebody else owns.
///
/// Valid only as long as the bytes are; it must not leave the closure that lent them. Every access is
/// bounds-checked, hostile input gives a ``BSONError``.
public struct DocumentView {
  /// The deepest nesting that is read. The server accepts 180 to 200 levels.
  public static let maximumDepth = 255

  /// The document's bytes, length field and terminator included.
  public let bytes: UnsafeRawBufferPointer

  /// Borrows the document that starts at the first byte of `input` and must fill it.
  ///
  /// Looks at the length field and the last byte only; elements are checked as they are read.
  /// - Throws: ``BSONError`` `.truncated` or `.invalidLength`.
  public init(_ input: UnsafeRawBufferPointer) throws(BSONError) {
    let length = Int(try RawReader(bytes: input).int32(at: 0))
    guard length >= 5 else {
      throw BSONError(
        .invalidLength, "a document is at least 5 bytes long, not \(length)", offset: 0)
    }
    guard length <= input.count else {
      throw BSONError(
        .truncated, "a document of \(length) bytes, of which \(input.count) are there", offset: 0)
    }
    guard length == input.count else {
      throw BSONError(
        .invalidLength, "\(input.count - length) bytes follow the document", offset: length)
    }
    guard input[length - 1] == 0 else {
      throw BSONError(
        .invalidLength, "a document does not end with a zero byte", offset: length - 1)
    }
    bytes = input
  }

  /// Bytes of a ``Document``, which were checked when it was made.
  init(trusted bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Calls `body` with each element in order; `body` returns false to stop.
  public func forEach(_ body: (ElementView) throws -> Bool) throws {
    var iterator = makeIterator()
    while let element = try iterator.next() {
      guard try body(element) else { return }
    }
  }

  /// A cursor over the elements.
  public func makeIterator() -> ElementIterator { ElementIterator(bytes) }

  /// The first element named `key`, or nil.
  public func first(_ key: String) throws(BSONError) -> ElementView? {
    var iterator = makeIterator()
    while let element = try iterator.next() {
      if element.isNamed(key) { return element }
    }
    return nil
  }

  /// Checks every element, nested ones included.
  ///
  /// - Parameter strict: also UTF-8 of names and strings, booleans of 0 or 1 and the inner length of
  ///   binary subtype 2, all of which the server lets pass. Names of array elements are not looked
  ///   at: readers go by position.
  /// - Throws: ``BSONError`` with the offset in the innermost document.
  public func validate(strict: Bool = false, depth: Int = 0) throws(BSONError) {
    guard depth <= Self.maximumDepth else {
      throw BSONError(.tooDeep, "nested deeper than \(Self.maximumDepth) levels")
    }
    var iterator = makeIterator()
    while let element = try iterator.next() {
      try element.validate(strict: strict, depth: depth)
    }
  }
}

/// Walks the elements of a borrowed document.
public struct ElementIterator {
  private let reader: RawReader
  /// Where the first element of a document is, behind the length field.
  static let start = 4
  private(set) var offset: Int

  init(_ bytes: UnsafeRawBufferPointer, from offset: Int = start) {
    reader = RawReader(bytes: bytes)
    self.offset = offset
  }

  /// The next element, or nil at the end.
  /// - Throws: ``BSONError`` when the bytes are not BSON.
  public mutating func next() throws(BSONError) -> ElementView? {
    let end = reader.bytes.count - 1
    guard offset < end else {
      guard offset == end else {
        throw BSONError(.invalidLength, "an element runs past its document", offset: offset)
      }
      return nil
    }
    let start = offset
    let code = try reader.byte(at: offset)
    guard let type = BSONType(rawValue: code) else {
      if code == 0 {
        throw BSONError(.invalidLength, "a document ends before its length says", offset: offset)
      }
      throw BSONError(.invalidType, "no BSON type has the number \(code)", offset: offset)
    }
    let keyEnd = try reader.terminator(from: offset + 1, limit: end)
    let valueStart = keyEnd + 1
    let length = try valueLength(of: type, at: valueStart)
    guard length <= end - valueStart else {
      throw BSONError(.truncated, "an element runs past its document", offset: valueStart)
    }
    offset = valueStart + length
    return ElementView(
      type: type,
      bytes: try reader.slice(start, offset - start),
      keyLength: keyEnd - start - 1)
  }

  private func valueLength(of type: BSONType, at offset: Int) throws(BSONError) -> Int {
    switch type {
    case .undefined, .null, .minKey, .maxKey: return 0
    case .bool: return 1
    case .int32: return 4
    case .double, .date, .timestamp, .int64: return 8
    case .objectID: return 12
    case .decimal128: return 16
    case .string, .javascript, .symbol: return 4 + (try announced(at: offset, least: 1))
    case .dbPointer: return 4 + (try announced(at: offset, least: 1)) + 12
    case .document, .array: return try announced(at: offset, least: 5)
    case .javascriptWithScope: return try announced(at: offset, least: 14)
    case .binary: return 5 + (try announced(at: offset, least: 0))
    case .regex:
      let end = reader.bytes.count - 1
      let pattern = try reader.terminator(from: offset, limit: end)
      return try reader.terminator(from: pattern + 1, limit: end) + 1 - offset
    }
  }

  private func announced(at offset: Int, least: Int) throws(BSONError) -> Int {
    let length = Int(try reader.int32(at: offset))
    guard length >= least, length <= reader.bytes.count else {
      throw BSONError(.invalidLength, "a length of \(length) cannot be true", offset: offset)
    }
    return length
  }
}
