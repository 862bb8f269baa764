public import BSON

/// Where reads go.
public struct ReadPreference: Sendable, Hashable {
  public enum Mode: String, Sendable, Hashable {
    case primary, primaryPreferred, secondary, secondaryPreferred, nearest
  }

  public let mode: Mode
  /// The first set that any member matches counts; empty takes every member.
  public let tagSets: [Document]
  /// How far behind a secondary may be; nil is as far as it likes.
  public let maxStalenessSeconds: Int64?

  /// - Throws: ``MongoError`` of kind `client` for tags or staleness with `primary`, which reads from
  ///   one member only, and for a staleness below the 90 s that members need to know of each other.
  public init(
    _ mode: Mode, tagSets: [Document] = [], maxStalenessSeconds: Int64? = nil
  ) throws(MongoError) {
    guard mode != .primary || (tagSets.isEmpty && maxStalenessSeconds == nil) else {
      throw MongoError(.client, "the read preference primary takes no tag sets and no staleness")
    }
    if let maxStalenessSeconds, maxStalenessSeconds < 90 {
      throw MongoError(.client, "maxStalenessSeconds must be at least 90")
    }
    self.init(mode, tagSets, maxStalenessSeconds)
  }

  private init(_ mode: Mode, _ tagSets: [Document], _ maxStalenessSeconds: Int64?) {
    self.mode = mode
    self.tagSets = tagSets
    self.maxStalenessSeconds = maxStalenessSeconds
  }

  public static let primary = ReadPreference(.primary, [], nil)
  public static let primaryPreferred = ReadPreference(.primaryPreferred, [], nil)
  public static let secondary = ReadPreference(.secondary, [], nil)
  public static let secondaryPreferred = ReadPreference(.secondaryPreferred, [], nil)
  public static let nearest = ReadPreference(.nearest, [], nil)
}

/// What is added to a command unless it says so itself.
public struct CommandOptions: Sendable {
  /// For example `["level": "majority"]`; left out inside a transaction.
  public var readConcern: Document?
  /// For example `["w": "majority"]`; left out inside a transaction.
  public var writeConcern: Document?
  public var readPreference: ReadPreference
  /// The server's time limit for each round trip, whole milliseconds; nil is none.
  public var maxTime: Duration?
  /// Shown in the server's log and in `$currentOp`.
  public var comment: String?

  public init(
    readConcern: Document? = nil, writeConcern: Document? = nil,
    readPreference: ReadPreference = .primary, maxTime: Duration? = nil, comment: String? = nil
  ) {
    self.readConcern = readConcern
    self.writeConcern = writeConcern
    self.readPreference = readPreference
    self.maxTime = maxTime
    self.comment = comment
  }

  /// Writes that a majority of the members has.
  public static let majority = CommandOptions(writeConcern: ["w": "majority"])

  /// Reads at one point in time, outside a transaction (5.0+). Nil lets the server choose the time;
  /// ``Cursor/atClusterTime`` tells it.
  public static func snapshot(at time: Timestamp? = nil) -> CommandOptions {
    var concern: Document = ["level": "snapshot"]
    if let time { concern["atClusterTime"] = .timestamp(time) }
    return CommandOptions(readConcern: concern)
  }

  func applied(to command: Document, inTransaction: Bool) -> Document {
    guard readConcern != nil || writeConcern != nil || maxTime != nil || comment != nil else {
      return command
    }
    var result = command
    if let readConcern, !inTransaction, !command.has("readConcern") {
      result.append("readConcern", .document(readConcern))
    }
    if let writeConcern, !inTransaction, !command.has("writeConcern") {
      result.append("writeConcern", .document(writeConcern))
    }
    if let maxTime, !command.has("maxTimeMS") {
      result.append("maxTimeMS", .integer(max(1, maxTime.wholeMilliseconds)))
    }
    if let comment, !command.has("comment") { result.append("comment", .string(comment)) }
    return result
  }
}

extension Duration {
  /// Milliseconds, rounded down.
  var wholeMilliseconds: Int64 {
    components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
  }
}
