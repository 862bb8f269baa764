/// Why reading, writing or loading a dump failed, and where.
public struct DumpError: Error, Sendable, CustomStringConvertible {
  /// The kind of failure; commands choose their exit code by it.
  public enum Code: Sendable, Hashable {
    /// A dump that is cut, altered or not whole (exit 20).
    case damaged
    /// A format that is recognised but cannot be read as it is: encrypted, another compressor.
    case unsupported
    /// The system refused a file operation.
    case file
    /// A pattern, an option or a combination of options that makes no sense (exit 64).
    case usage
    /// What is there already stands in the way.
    case conflict
    /// Consistency could not be kept: history or oplog rolled over, a collection was dropped.
    case inconsistent
    /// Some documents or indexes failed; the rest is done (exit 3).
    case partial
    /// The server refused.
    case server
    /// Stopped by a signal or by its caller.
    case cancelled
  }

  /// The kind of failure.
  public let code: Code
  /// One sentence, lower case, without values from documents.
  public let message: String
  /// `database.collection`, when one is concerned.
  public var namespace: String?
  /// Bytes from the start of the uncompressed input.
  public var offset: Int64?
  /// The file concerned.
  public var path: String?
  /// What to do about it.
  public var hint: String?
  /// What caused it.
  public var cause: (any Error)?

  /// Makes an error; `offset` is in bytes from the start of the uncompressed input.
  public init(
    _ code: Code, _ message: String, namespace: String? = nil, offset: Int64? = nil,
    path: String? = nil, hint: String? = nil, cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.namespace = namespace
    self.offset = offset
    self.path = path
    self.hint = hint
    self.cause = cause
  }

  public var description: String {
    var text = message
    if let namespace { text += ", namespace \(namespace)" }
    if let offset { text += ", at byte \(offset)" }
    if let path { text += ", in \(path)" }
    if let cause { text += ": \(cause)" }
    if let hint { text += "\nHINT: \(hint)" }
    return text
  }
}
