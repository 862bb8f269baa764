public import BSON

/// What the planner knows of a server: read once, then only looked at.
public struct ServerState: Sendable {
  /// The database that is migrated.
  public var database: String
  public var release: Release
  public var topology: Requirements.Topology
  public var collections: [String: CollectionState]
  /// What was counted for single steps.
  public var facts: [StepKey: StepFacts]
  /// Data-bearing members that do not answer; an index build waits for them on 4.4 and newer.
  public var unreachableMembers: [String]
  /// The server's clock when the state was read.
  public var now: DateTime
  /// Which collections are Martlet's own.
  var names = LedgerNames()

  public init(
    database: String, release: Release, topology: Requirements.Topology,
    collections: [String: CollectionState] = [:], facts: [StepKey: StepFacts] = [:],
    unreachableMembers: [String] = [], now: DateTime
  ) {
    self.database = database
    self.release = release
    self.topology = topology
    self.collections = collections
    self.facts = facts
    self.unreachableMembers = unreachableMembers
    self.now = now
  }

  /// True where several writes can share a transaction.
  public var hasTransactions: Bool { topology != .standalone }
}

/// A collection as `listCollections` and `listIndexes` show it.
public struct CollectionState: Sendable, Hashable {
  /// `collection`, `view` or `timeseries`.
  public var type: String
  public var options: Document
  /// The documents of `listIndexes`, in the server's order.
  public var indexes: [Document]
  /// From the collection's metadata; may drift after an unclean stop.
  public var count: Int64
  /// True for a collection that an earlier step of the same plan creates.
  public var isPlanned: Bool
  /// Top-level fields that earlier steps of the same plan change; `*` where that cannot be told.
  var changedFields: Set<String> = []
  /// Earlier steps of the same plan insert into it.
  var gainsDocuments = false
  /// Names of those of ``indexes`` that are still being built: they may yet fail.
  var unfinished: Set<String> = []

  public init(
    type: String = "collection", options: Document = [:], indexes: [Document] = [],
    count: Int64 = 0, isPlanned: Bool = false
  ) {
    self.type = type
    self.options = options
    self.indexes = indexes
    self.count = count
    self.isPlanned = isPlanned
  }

  var isCapped: Bool { options["capped"]?.isTruthy ?? false }
  var isPlain: Bool { type == "collection" }
  /// What an index has that does not say another; nil for the simple one.
  var collation: Document? { options["collation"]?.documentValue }
}

/// Names a step of a plan.
public struct StepKey: Sendable, Hashable {
  public let migration: String
  public let step: Int
  public init(migration: String, step: Int) {
    self.migration = migration
    self.step = step
  }
}

/// A number of documents and how sure it is.
public enum DocumentCount: Sendable, Hashable {
  case exact(Int64)
  case atLeast(Int64)
  case unknown(String)

  /// The number, when there is one.
  public var known: Int64? {
    switch self {
    case .exact(let n), .atLeast(let n): n
    case .unknown: nil
    }
  }

  public var text: String {
    switch self {
    case .exact(let n): "\(n)"
    case .atLeast(let n): "at least \(n)"
    case .unknown(let why): "an unknown number (\(why))"
    }
  }
}

/// What was found out about one step before it runs.
public struct StepFacts: Sendable, Hashable {
  /// Documents that an update or delete matches.
  public var matched: DocumentCount?
  /// Key values that occur more than once, by index name.
  public var duplicates: [String: Duplicates] = [:]
  /// Documents that fail the validator which the step sets.
  public var failingValidator: DocumentCount?
  /// Documents that a new TTL index deletes at once, by index name.
  public var expiring: [String: DocumentCount] = [:]
  public init() {}

  /// Duplicates that forbid a unique index.
  public struct Duplicates: Sendable, Hashable {
    /// Key values that occur more than once; counting stops at 1,000.
    public var groups: Int
    /// `_id`s of documents of the first groups.
    public var samples: [Value]
    public init(groups: Int, samples: [Value]) {
      self.groups = groups
      self.samples = samples
    }
  }
}
