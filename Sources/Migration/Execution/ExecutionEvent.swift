public import BSON

/// What an executor tells while it works.
public enum ExecutionEvent: Sendable {
  case migrationStarted(
    name: String, position: Int, of: Int, direction: Plan.Direction, resumed: Bool)
  case stepStarted(migration: String, step: Int, of: Int, command: String, target: String?)
  /// Documents or, for an index build, what the server counts; total when known.
  case stepProgress(migration: String, step: Int, words: String, done: Int64?, total: Int64?)
  case stepFinished(migration: String, step: Int, note: String?)
  case migrationFinished(name: String, milliseconds: Int64)
  case migrationFailed(name: String, step: Int?, message: String)
  case notice(String)
}

/// What became of a run.
public struct RunReport: Sendable {
  /// What became of one migration.
  public struct Item: Sendable {
    public let name: String
    public let milliseconds: Int64
    /// Kept collections and documents that were left as they are.
    public let notes: [String]
    /// Documents that a `down` left because they had changed since.
    public let skipped: Int64
    /// The first thousand of them.
    public var left: [Left] = []
  }

  /// A document that a `down` left as it is.
  public struct Left: Sendable {
    public let collection: String
    public let id: Value
    /// `changed`, `gone`, or `existing` when its `_id` or a unique value is there again.
    public let reason: String

    static let maximum = 1000

    var document: Document {
      ["collection": .string(collection), "id": id, "reason": .string(reason)]
    }
  }

  public let direction: Plan.Direction
  public var items: [Item] = []
  /// True when a `down` left documents as they are.
  public var isPartial: Bool { items.contains { $0.skipped > 0 } }
}
