internal import Dump

/// Why something about backups failed, and where.
public struct BackupError: Error, Sendable, CustomStringConvertible {
  /// The kind of failure; commands choose their exit code by it.
  public enum Code: Sendable, Hashable {
    /// A request that makes no sense (exit 64).
    case usage
    /// A backup or slice that is cut, altered or not whole (exit 20).
    case damaged
    /// Written by a newer version, or in a way this one cannot read.
    case unsupported
    /// No such backup, file or time (exit 1).
    case notFound
    /// The moment asked for cannot be reached with what is stored.
    case unreachableTime
    /// Another run works on the same store (exit 11).
    case locked
    /// The store or the disk refused.
    case store
    /// Too little room, or something else is not ready (exit 10).
    case notReady
    /// The user lacks a privilege (exit 12).
    case privilege
    /// A program that was run failed or is missing.
    case program
    /// The key does not open it, or there is none.
    case encryption
    /// What is there already stands in the way.
    case conflict
    /// Restored data differs from what was backed up.
    case mismatch
    /// The server's history does not reach far enough.
    case gap
    /// Stopped by a signal or by its caller.
    case cancelled
  }

  /// The kind of failure.
  public let code: Code
  /// One sentence, lower case, without values from documents.
  public let message: String
  /// `database.collection`, when one is concerned.
  public var namespace: String?
  /// Bytes from the start of the file or, inside an archive, of its uncompressed content.
  public var offset: Int64?
  /// The backup's id and the file in it, or another path.
  public var path: String?
  /// What to do about it.
  public var hint: String?
  /// A disk is full, or a quota used up.
  public var isOutOfRoom = false
  /// The place cannot be written by this user, or by nobody.
  public var isReadOnly = false
  /// What caused it.
  public var cause: (any Error)?

  /// Makes an error.
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

  /// Damage that reading a dump has shown.
  init(_ error: DumpError, path: String) {
    let code: Code =
      switch error.code {
      case .damaged: .damaged
      case .unsupported: .unsupported
      case .cancelled: .cancelled
      case .usage: .usage
      case .conflict: .conflict
      default: .store
      }
    self.init(
      code, error.message, namespace: error.namespace, offset: error.offset, path: path,
      hint: error.hint, cause: error.cause)
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
