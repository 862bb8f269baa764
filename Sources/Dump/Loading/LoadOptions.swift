public import BSON
public import Fingerprint
public import MongoDB

/// What to load and how.
public struct LoadOptions: Sendable {
  /// What of the dump, and under which names.
  public var selection = NamespaceSelection()
  /// Drop each collection that is loaded first; others stay.
  public var drop = false
  /// Stop before anything is written.
  public var dryRun = false
  /// Collections get the UUIDs they had; needs `drop` and a privilege that few roles have.
  public var preservesUUIDs = false
  /// Of every write.
  public var writeConcern: Document = ["w": "majority"]
  /// Documents in the dump's order, one after the other, until the first failure.
  public var maintainsInsertionOrder = false
  /// The first document that fails ends the load.
  public var stopsOnError = false
  /// Only `_id` indexes.
  public var skipsIndexes = false
  /// Collections without their options.
  public var skipsOptions = false
  /// Keep the indexes' `v`.
  public var keepsIndexVersions = false
  /// Make indexes of old servers acceptable.
  public var convertsLegacyIndexes = false
  /// Turn hashed indexes on dotted fields into ascending ones.
  public var fixesDottedHashIndexes = false
  /// TTL indexes get an expiry so late that nothing is deleted (plain indexes from 6.0 on), clustered
  /// collections and time-series none; whoever asks for it sets the real one with collMod, see
  /// ``LoadSummary/Collection/indexSpecs`` and ``LoadSummary/Collection/expireAfterSeconds``. Without it
  /// that of collections is set when everything is there.
  public var withholdsExpiry = false
  /// Documents that a validator refuses are loaded too.
  public var bypassesValidation = false
  /// Look into every document before it is sent.
  public var checksDocuments = false
  /// Read the whole input once before anything is written, where it can be read twice.
  public var verifiesFirst = true
  /// Files that are read at a time, and collections whose indexes are built at a time.
  public var parallel = 4
  /// Threads that insert.
  public var insertThreads = 3
  /// Most documents of one insert command.
  public var batchSize = 20_000
  /// Bytes of documents on their way.
  public var memory = 32 << 20
  /// Replay the dump's oplog after the documents.
  public var replaysOplog = false
  /// In a replay a rename to a name that is not selected drops the collection; without it such a rename is
  /// refused.
  public var dropsRenamedOut = false
  /// Replay stops before the first entry of this time.
  public var oplogLimit: Timestamp?
  /// Another source of entries, a `.bson` file.
  public var oplogFile: String?
  /// Where oplog entries wait on disk, with room for the oplog and its largest transaction.
  public var spoolDirectory = FilePath.temporaryDirectory
  /// Up to this time entries may already be in the documents; nil is all of them.
  public var overlapEnd: Timestamp?
  /// Up to this time entries are in the documents for certain: of them only the parts of transactions count
  /// that end later. Of a snapshot.
  public var replayAfter: Timestamp?
  /// Load users and roles: always with a whole server's dump, otherwise only when this is set.
  public var usersAndRoles = UserLoading.whenWhole
  /// Told of each document that failed, as it happens.
  public var failed: (@Sendable (FailedDocument) -> Void)?
  /// Asked, instead of a drop, to free a name that somebody has taken; false when it cannot: then a replay
  /// drops what is there, and a load ends.
  public var freesName: (@Sendable (Namespace) throws -> Bool)?
  /// Called when all documents and views are in the server, before the oplog is replayed over them.
  public var beforeReplay: (@Sendable (LoadSummary) throws -> Void)?
  /// Stops the load when cancelled.
  public var cancellation = Cancellation()
  /// Told of every batch; called by many threads.
  public var progress: (@Sendable (LoadProgress) -> Void)?
  /// Told of what the operator should know.
  public var notice: (@Sendable (String) -> Void)?

  public init() {}

  /// Whose users and roles are loaded.
  public enum UserLoading: Sendable, Hashable {
    case never
    /// Those of a whole server's dump.
    case whenWhole
    /// Those of the dump's one database, into the database of that name.
    case database(String)
  }

  /// Refuses combinations that mongorestore refuses.
  /// - Throws: ``DumpError`` `.usage`.
  public func check() throws(DumpError) {
    if preservesUUIDs, !drop {
      throw DumpError(.usage, "UUIDs can only be kept when the collections are dropped first")
    }
    guard parallel >= 1, insertThreads >= 1, batchSize >= 1 else {
      throw DumpError(.usage, "threads and batches are counted from 1")
    }
    let isSelective =
      !selection.renames.isEmpty || !selection.includes.isEmpty || !selection.excludes.isEmpty
    if oplogLimit != nil || oplogFile != nil, !replaysOplog {
      throw DumpError(.usage, "an oplog's limit or file needs a replay")
    }
    if isSelective, replaysOplog, case .database = usersAndRoles {
      throw DumpError(.usage, "users of one database and a replay exclude each other")
    }
  }
}

/// A document that the server refused.
public struct FailedDocument: Sendable {
  public let namespace: Namespace
  /// Nil when it has none.
  public let id: Value?
  /// The server's code.
  public let code: Int
  /// The server's words, without the values they quote.
  public let message: String
}

/// How far a load is.
public struct LoadProgress: Sendable {
  public var documents: Int64
  public var bytes: Int64
  /// Nil when the input was not read before.
  public var expectedBytes: Int64?
  public var namespace: Namespace
}

/// Where a dump comes from.
public enum LoadSource {
  /// An archive in a file, plain or gzip.
  case archive(path: String)
  /// An archive that can be read once.
  case archiveStream(any ByteSource)
  /// A dump's folder; with a database the folder of one database's files, or that part of a root.
  case directory(path: String, database: String?)
  /// One `.bson` file and, beside it, its metadata.
  case file(path: String, Namespace)
  /// Documents that can be read once.
  case documents(any ByteSource, Namespace)
}

/// What a load did.
public struct LoadSummary: Sendable {
  /// One collection, under its new name.
  public struct Collection: Sendable {
    /// In the dump.
    public var source: Namespace
    /// In the server; buckets are shown as their time-series.
    public var target: Namespace
    /// Documents of the dump.
    public var tally: CollectionTally
    public var inserted: Int64
    public var failed: Int64
    /// Indexes built, without `_id`.
    public var indexes: Int
    /// What the indexes are to be in the end, in order, as the dump and a replayed oplog say.
    public var indexSpecs: [Document] = []
    /// Of the collection itself, when it is clustered or a time-series.
    public var expireAfterSeconds: Value?
    public var isView = false
    /// The replay has changed it, or made it.
    public var isReplayed = false
    /// The replay has dropped it, or given it another name.
    public var isGone = false
  }

  public var collections: [Collection] = []
  /// The dump's users or roles were among what was chosen.
  public var hasUsers = false
  /// Oplog entries applied.
  public var replayed: Int64 = 0
  public var notices: [String] = []
  /// Stopped before anything was written, on request.
  public var isDryRun = false

  public var inserted: Int64 { collections.reduce(0) { $0 + $1.inserted } }
  public var failed: Int64 { collections.reduce(0) { $0 + $1.failed } }

  /// True when every document of the dump is in the server.
  public var isComplete: Bool {
    isDryRun || collections.allSatisfy { $0.failed == 0 && $0.inserted == $0.tally.count }
  }

  /// The summary as `--json` prints it.
  public var document: Document {
    [
      "format": "martlet-load-summary/1", "inserted": .integer(inserted),
      "failed": .integer(failed), "replayed": .integer(replayed), "dryRun": .bool(isDryRun),
      "collections": .array(
        collections.map { collection in
          [
            "source": .string(collection.source.description),
            "namespace": .string(collection.target.description),
            "count": .integer(collection.tally.count), "bytes": .integer(collection.tally.bytes),
            "fingerprint": .string(collection.tally.fingerprint.description),
            "inserted": .integer(collection.inserted), "failed": .integer(collection.failed),
            "indexes": .integer(collection.indexes),
          ]
        }), "notices": .array(notices.map { .string($0) }),
    ]
  }
}
