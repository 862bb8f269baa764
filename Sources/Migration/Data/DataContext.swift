internal import BSON
internal import MongoDB

/// What a data step may touch, and how.
struct DataContext: Sendable {
  /// What is kept of a document before it is changed.
  enum Keeps: Sendable, Hashable {
    /// The touched top-level fields; the whole document where they cannot be known.
    case touchedFields
    /// The whole document.
    case wholeDocument
    /// Nothing: an update or delete cannot be taken back. An insert always keeps its `_id`s.
    case nothing
  }

  let pool: ClientPool
  let database: String
  /// Where undo records and checkpoints of the migration are kept: `migrations.undo.…`.
  let undoCollection: String
  /// Position of the step, from 0.
  let step: Int
  /// Fencing number of the lease; a checkpoint with a higher one means that the lease is lost.
  let fence: Int64
  /// False on a standalone.
  let transactions: Bool
  let cancellation: Cancellation
  /// Documents of a chunk; at most ``maximumChunk``.
  var chunk: Int
  var keeps: Keeps
  /// Milliseconds to wait after each chunk.
  let pause: Int
  let progress: @Sendable (DataProgress) -> Void
  /// Called at each named crash point; what it throws ends the run there.
  let crashPoint: @Sendable (String) throws -> Void

  static let defaultChunk = 1000
  static let maximumChunk = 2000

  init(
    pool: ClientPool, database: String, undoCollection: String, step: Int, fence: Int64,
    transactions: Bool, cancellation: Cancellation, chunk: Int = Self.defaultChunk,
    keeps: Keeps = .touchedFields, pause: Int = 0,
    progress: @escaping @Sendable (DataProgress) -> Void = { _ in },
    crashPoint: @escaping @Sendable (String) throws -> Void = { CrashPoint.reached($0) }
  ) {
    self.pool = pool
    self.database = database
    self.undoCollection = undoCollection
    self.step = step
    self.fence = fence
    self.transactions = transactions
    self.cancellation = cancellation
    self.chunk = min(max(chunk, 1), Self.maximumChunk)
    self.keeps = keeps
    self.pause = pause
    self.progress = progress
    self.crashPoint = crashPoint
  }

  /// A crash point that is passed once a chunk.
  func reached(_ name: String, _ ordinal: Int) throws { try crashPoint("\(name):\(ordinal)") }
}

/// How far a data step is.
struct DataProgress: Sendable, Hashable {
  /// Documents done, earlier runs included.
  let done: Int64
  /// Documents to do, when that is known.
  let total: Int64?
}

/// What a data step did, all runs of it together.
struct DataOutcome: Sendable, Hashable {
  var matched: Int64 = 0
  var modified: Int64 = 0
  var inserted: Int64 = 0
  var deleted: Int64 = 0
  var upserted: Int64 = 0

  /// Documents that were found or written.
  var touched: Int64 { matched + inserted + upserted }
}

/// What taking a data step back did, all runs of it together.
struct UndoOutcome: Sendable, Hashable {
  /// Why a document was left alone.
  enum Reason: String, Sendable, Hashable {
    /// Somebody changed it after the step.
    case changed
    /// It is not there any more.
    case gone
    /// Its `_id`, or a value of a unique index, is there again.
    case existing
  }

  /// A document that was left alone.
  struct Skip: Sendable, Hashable {
    let id: Value
    let reason: Reason
  }

  /// Documents that are as they were.
  var restored: Int64 = 0
  /// Documents left alone; their undo data stay until the step runs again or is forgotten.
  var skipped: Int64 = 0
  /// The first of them.
  var samples: [Skip] = []

  static let maximumSamples = 1000
  /// Behind the first, an `_id` of more bytes is only counted: a checkpoint holds them all.
  static let maximumIDBytes = 512

  mutating func skip(_ id: RawValue, _ reason: Reason) {
    skipped += 1
    guard samples.count < Self.maximumSamples,
      samples.count < 20 || id.bytes.count <= Self.maximumIDBytes
    else { return }
    samples.append(Skip(id: id.value, reason: reason))
  }
}
