public import BSON

/// What migrations declare, as plain values: the caller makes them from its plan or its ledger.
public struct Expectations: Sendable, Hashable {
  /// A collection that has to be there after `up`, with these options.
  public struct Collection: Sendable, Hashable {
    public var name: String
    /// As in `create`, without the command itself.
    public var options: Document
    /// The migration that says so.
    public var source: String

    public init(_ name: String, options: Document = [:], source: String) {
      self.name = name
      self.options = options
      self.source = source
    }
  }

  /// An index that has to be there, or is about to be built.
  public struct Index: Sendable, Hashable {
    public var collection: String
    /// As in `createIndexes`.
    public var spec: Document
    public var source: String
    /// The pending migration with an earlier step that changes the documents: what is there now says
    /// nothing about their values.
    public var documentsChangedBy: String?

    public init(_ collection: String, _ spec: Document, source: String) {
      self.collection = collection
      self.spec = spec
      self.source = source
    }
  }

  /// A number of documents that has to be there.
  public struct Count: Sendable, Hashable {
    public var collection: String
    public var minimum: Int64
    public var maximum: Int64?
    public var source: String
    /// A warning where the application may have deleted documents since.
    public var severity: CheckResult.Severity

    public init(
      _ collection: String, minimum: Int64, maximum: Int64? = nil, source: String,
      severity: CheckResult.Severity = .error
    ) {
      self.collection = collection
      self.minimum = minimum
      self.maximum = maximum
      self.source = source
      self.severity = severity
    }
  }

  /// A check that says nothing yet.
  public struct Unseen: Sendable, Hashable {
    public var id: String
    public var subject: String
    public var reason: String

    public init(_ id: String, _ subject: String, _ reason: String) {
      self.id = id
      self.subject = subject
      self.reason = reason
    }
  }

  /// A validator that is about to be set, or made stricter.
  public struct Validator: Sendable, Hashable {
    public var collection: String
    /// Nil is the collection's own.
    public var validator: Document?
    /// `validationLevel` and `validationAction`; nil is what the collection has.
    public var level: String?
    public var action: String?
    public var source: String

    public init(
      _ collection: String, _ validator: Document?, level: String? = nil, action: String? = nil,
      source: String
    ) {
      self.collection = collection
      self.validator = validator
      self.level = level
      self.action = action
      self.source = source
    }
  }

  /// A TTL index that is about to have another time.
  public struct Expiry: Sendable, Hashable {
    public var collection: String
    /// The index, by name or by key.
    public var name: String?
    public var key: Document?
    public var seconds: Double
    public var source: String
    /// As in ``Index``.
    public var documentsChangedBy: String?

    public init(
      _ collection: String, name: String?, key: Document?, seconds: Double, source: String
    ) {
      self.collection = collection
      self.name = name
      self.key = key
      self.seconds = seconds
      self.source = source
    }
  }

  /// Looked at after: what must be there.
  public var collections: [Collection] = []
  public var indexes: [Index] = []
  public var counts: [Count] = []
  /// Looked at after: collections that were dropped, and by which migration.
  public var dropped: [Collection] = []
  /// Looked at before: what pending migrations will do.
  public var plannedIndexes: [Index] = []
  public var plannedValidators: [Validator] = []
  public var plannedExpiries: [Expiry] = []
  /// What cannot be looked at before, and what not after, and why.
  public var unseenBefore: [Unseen] = []
  public var unseen: [Unseen] = []
  /// Looked at when two snapshots are compared.
  public var changes: [DeclaredChange] = []
  /// Names of the applied migrations, for the snapshot.
  public var appliedMigrations: [String] = []
  /// Collections of the tool itself, which may change: exact names, and those with `name.` in front.
  public var ownCollections: [String] = ["migrations"]

  public init() {}

  func isOwn(_ collection: String) -> Bool {
    ownCollections.contains { collection == $0 || collection.hasPrefix($0 + ".") }
  }
}

/// A change that migrations say they make to one collection.
public struct DeclaredChange: Sendable, Hashable {
  public var collection: String
  /// The migration that says so.
  public var source: String
  public var creates = false
  public var drops = false
  /// It comes to be with its first document or index, unless it is there.
  public var mayCreate = false
  /// How many documents more or fewer there may be; nil is any number, 0…0 none.
  public var documents: ClosedRange<Int64>? = 0...0
  /// Documents are changed in place.
  public var changesDocuments = false
  /// Names of indexes that come or change, and that go; `*` is any.
  public var addsIndexes: [String] = []
  public var dropsIndexes: [String] = []
  /// Keys of indexes that come or change, and that go, where no name is said.
  public var addsIndexKeys: [Document] = []
  public var dropsIndexKeys: [Document] = []
  public var changesOptions = false

  public init(_ collection: String, source: String) {
    self.collection = collection
    self.source = source
  }
}
