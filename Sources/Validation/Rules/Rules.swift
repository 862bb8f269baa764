public import BSON

/// What only the team knows about its data: `validation/rules.yaml`.
public struct Rules: Sendable, Hashable {
  /// Where they came from, for messages.
  public var file: String
  /// Changes with the text.
  public var digest = ""
  public var collections: [CollectionRule] = []
  public var indexes: [IndexRule] = []
  public var references: [ReferenceRule] = []
  public var unique: [UniqueRule] = []
  public var schemas: [SchemaRule] = []
  public var fields: [FieldRule] = []
  public var empty: [EmptyRule] = []
  public var queries: [QueryRule] = []
  public var files: [FileRule] = []
  public var commands: [CommandRule] = []
  public var audits: [AuditRule] = []

  /// No rules.
  public init(file: String = "") { self.file = file }

  /// Whether any rule belongs to this phase.
  public func has(_ phase: Phase) -> Bool {
    let headers =
      collections.map(\.header) + indexes.map(\.header) + references.map(\.header)
      + unique.map(\.header) + schemas.map(\.header) + fields.map(\.header) + empty.map(\.header)
      + queries.map(\.header) + files.map(\.header) + commands.map(\.header)
      + audits.map(\.header)
    return headers.contains { $0.phases.contains(phase) }
  }

  /// The number of rules.
  public var count: Int {
    collections.count + indexes.count + references.count + unique.count + schemas.count
      + fields.count + empty.count + queries.count + files.count + commands.count + audits.count
  }
}

/// When checks are made.
public enum Phase: String, Sendable, Hashable, CaseIterable {
  case before, after
  /// After, when the services run again: in a window with its health checks, else with `after`.
  case started
}

/// What every rule has.
public struct RuleHeader: Sendable, Hashable {
  public var severity: CheckResult.Severity = .error
  public var phases: Set<Phase> = [.before, .after]
  /// What to do when it does not hold, in the team's words.
  public var fix: String?

  public init() {}
}

/// A collection that has to be there, with so many documents.
public struct CollectionRule: Sendable, Hashable {
  public var header: RuleHeader
  public var name: String
  public var minimum: Int64?
  public var maximum: Int64?
  /// Options as `listCollections` shows them that must be so.
  public var options: Document?
}

/// An index that has to be there, with exactly these options.
public struct IndexRule: Sendable, Hashable {
  public var header: RuleHeader
  public var collection: String
  public var key: Document
  /// `unique`, `sparse`, `expireAfterSeconds`, …; what is not named has its default.
  public var options: Document
  /// Compare the key only; so do keys of one field in either direction.
  public var isKeyOnly: Bool
}

/// `orders.user_id` must be some `users._id`.
public struct ReferenceRule: Sendable, Hashable {
  public var header: RuleHeader
  public var from: FieldPath
  public var to: FieldPath
  /// Null and missing references are fine.
  public var isNullable: Bool
  /// Only these documents.
  public var filter: Document?
}

/// No two documents have the same values there.
public struct UniqueRule: Sendable, Hashable {
  public var header: RuleHeader
  public var collection: String
  public var fields: [String]
  /// Only these documents, as a partial index.
  public var filter: Document?
  public var collation: Document?
  /// Documents that have none of the fields are left out, as by a sparse index.
  public var isSparse: Bool
}

/// Every document matches.
public struct SchemaRule: Sendable, Hashable {
  public var header: RuleHeader
  public var collection: String
  /// A query, for example `{$jsonSchema: …}`.
  public var validator: Document
}

/// What a field may hold.
public struct FieldRule: Sendable, Hashable {
  public var header: RuleHeader
  public var collection: String
  public var field: String
  /// Aliases of BSON types.
  public var types: [String]
  public var isRequired: Bool
  public var minimum: Value?
  public var maximum: Value?
  public var oneOf: [Value]?
}

/// A pipeline that must return nothing.
public struct EmptyRule: Sendable, Hashable {
  public var header: RuleHeader
  public var name: String
  /// Nil aggregates the database.
  public var collection: String?
  public var pipeline: [Document]
}

/// A query of the application with the plan and the speed that it has to keep.
public struct QueryRule: Sendable, Hashable {
  public var header: RuleHeader
  public var name: String
  public var collection: String
  /// A find: filter, sort, projection, limit, …; or nil for a pipeline.
  public var find: Document?
  public var pipeline: [Document]
  /// The index that it must use.
  public var index: String?
  public var allowsCollectionScan: Bool
  public var allowsMemorySort: Bool
  /// Milliseconds, of the 95th percentile.
  public var p95: Double?
  /// How many times slower than before it may be.
  public var slower: Double
}

/// A file of the application.
public struct FileRule: Sendable, Hashable {
  public var header: RuleHeader
  public var path: String
  public var minimumBytes: Int64
  /// Text that it has to hold.
  public var contains: String?
}

/// A shell command that has to succeed.
public struct CommandRule: Sendable, Hashable {
  public var header: RuleHeader
  public var name: String
  public var run: String
  /// Milliseconds.
  public var timeout: Int64
}

/// An action that has to leave a document in the audit log.
public struct AuditRule: Sendable, Hashable {
  public var header: RuleHeader
  public var collection: String
  /// The shell command that acts.
  public var run: String
  /// What the document looks like.
  public var filter: Document
  /// Milliseconds, of the command and until the document is there.
  public var timeout: Int64
}

/// A collection and a path in its documents.
public struct FieldPath: Sendable, Hashable, CustomStringConvertible {
  public var collection: String
  public var path: String

  public init(_ collection: String, _ path: String) {
    self.collection = collection
    self.path = path
  }

  public var description: String { "\(collection).\(path)" }
}
