/// What is wrong with some bytes or some Extended JSON, and where.
public struct BSONError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kind of damage; stable, for callers that decide by it.
  public enum Code: Sendable, Hashable {
    /// The input ends before the value that it announces.
    case truncated
    /// A length field that cannot be true.
    case invalidLength
    /// A type byte that the BSON specification does not know.
    case invalidType
    /// A string, name or regular expression without its terminator, or with bytes that are not UTF-8.
    case invalidString
    /// A value outside its type's domain: a boolean of 2, an array key that is not an index.
    case invalidValue
    /// Nested deeper than the limit.
    case tooDeep
    /// Text that is not JSON, or JSON that is not Extended JSON.
    case invalidJSON
    /// Longer than a BSON document can say.
    case tooLarge
  }

  /// The kind of damage.
  public let code: Code
  /// One sentence, lower case; never holds a value from the document.
  public let message: String
  /// Where, in bytes from the start of the input, when known.
  public let offset: Int?

  /// Makes an error; `offset` is in bytes from the start of the input.
  public init(_ code: Code, _ message: String, offset: Int? = nil) {
    self.code = code
    self.message = message
    self.offset = offset
  }

  public var description: String {
    guard let offset else { return message }
    return "\(message) (at byte \(offset))"
  }
}
