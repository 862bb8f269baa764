public import BSON

/// What a run will do, as one value: printed by `plan`, executed by `up` and `down`.
public struct Plan: Sendable {
  public enum Direction: String, Sendable { case up, down }

  public let direction: Direction
  public let database: String
  /// The migrations in the order of execution.
  public let migrations: [PlannedMigration]
  /// What lint and the look at the server found; conflicts forbid execution.
  public let conflicts: [MigrationError]
  /// The batch that an `up` writes.
  public let batch: Int64
  /// What each later step would meet; kept for the report.
  public let release: Release
  /// Data-bearing members that do not answer.
  public let unreachableMembers: [String]

  /// Nothing to do.
  public var isEmpty: Bool { migrations.isEmpty }
  /// True when a step removes or overwrites something.
  public var destroys: Bool { migrations.contains { $0.steps.contains(where: \.destroys) } }
}

/// A migration within a plan.
public struct PlannedMigration: Sendable {
  public let name: String
  /// nil for one whose file is gone and which is taken back from its journal.
  public let migration: Migration?
  public let steps: [PlannedStep]
  /// Runs of steps that share a transaction, by position in `steps`.
  public let groups: [StepGroup]
  /// What the ledger holds, for a resumed `up` and for `down`.
  public let entry: LedgerEntry?
  /// `{$date: now}` in this migration.
  public let now: DateTime
  /// Generated `_id`s come from it.
  public let seed: String
  /// True when an earlier attempt is gone on with.
  public let isResumed: Bool
  /// How it is taken back, for `down`.
  public let down: DownMethod
}

/// How a `down` works.
public enum DownMethod: String, Sendable {
  /// From the journal: each step's recorded inverse, last first.
  case journal
  /// By the steps that the file has under `down:`.
  case steps
  /// By a body written in Swift.
  case code
  /// Nothing to execute: it was only marked.
  case unmark
}

/// Steps that are done together.
public struct StepGroup: Sendable, Hashable {
  public let steps: Range<Int>
  /// All or none, with their journal.
  public let isTransaction: Bool
}

/// A step within a plan.
public struct PlannedStep: Sendable {
  public let index: Int
  public let kind: StepKind
  /// The command as it will be sent.
  public let command: Document
  public let name: String
  public let target: String?
  public let hash: String
  public let options: StepOptions
  public let effect: Effect
  /// What it means for the data, a sentence each.
  public let impact: [String]
  /// How it would be taken back, one sentence.
  public let inverse: String
  public let destroys: Bool
  /// Documents it touches, when known.
  public let documents: Int64?
  /// False for a view, a time-series and a capped collection: no transaction writes to them.
  let sharesTransactions: Bool
  /// What is counted now, for the choice of transactions, where an earlier step may change it.
  var estimate: Int64?

  public enum Effect: Sendable, Hashable {
    case change
    /// Already as asked.
    case none(String)
    /// Done by the attempt that is gone on with.
    case alreadyDone
  }
}

/// How a step is executed and taken back.
public enum StepKind: String, Sendable {
  case create, createIndexes, dropIndexes, collMod, renameCollection, drop
  case insert, update, delete
  /// Anything else the server knows; it has no inverse of its own.
  case other

  init(command name: String) {
    switch name {
    case "create": self = .create
    case "createIndexes": self = .createIndexes
    case "dropIndexes", "deleteIndexes": self = .dropIndexes
    case "collMod": self = .collMod
    case "renameCollection": self = .renameCollection
    case "drop": self = .drop
    case "insert": self = .insert
    case "update": self = .update
    case "delete": self = .delete
    default: self = .other
    }
  }

  var isData: Bool { self == .insert || self == .update || self == .delete }
}
