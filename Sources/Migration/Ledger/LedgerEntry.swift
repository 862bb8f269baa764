public import BSON

/// One document of the ledger: what is known about a migration that ran, runs or failed.
///
/// - Source: design section 5; documents of the reference Python manager (`name, applied_at, status,
///   error`) are read too.
public struct LedgerEntry: Sendable {
  /// Where a migration stands.
  public enum Status: String, Sendable {
    /// `up` has begun and not ended.
    case running
    /// Applied.
    case success
    /// `up` stopped at an error; can be run again or taken back.
    case failed
    /// `down` has begun and not ended.
    case reverting
  }

  /// The version of the documents that this build writes.
  public static let schema = "martlet/1"

  /// The migration's stem.
  public var name: String
  /// The digits of the stem's number.
  public var version: String
  public var description: String?
  public var status: Status
  /// `v1:sha256:…`; nil in documents of other tools.
  public var checksum: String?
  /// Migrations applied by one `up` share a batch.
  public var batch: Int64
  public var startedAt: DateTime?
  public var appliedAt: DateTime?
  public var durationMilliseconds: Int64?
  public var steps: [JournalStep]
  /// The journal of written `down:` steps, once they have begun.
  public var downSteps: [JournalStep]?
  public var error: Document?
  public var appliedBy: Document?
  /// The fencing number of the lease that wrote this document last.
  public var fence: Int64
  /// Names the run: generated `_id`s come from it, so a second run makes the same ones.
  public var seed: String?
  /// `baseline` or `mark` when nothing was executed.
  public var marked: String?
  /// The backup that was taken before it.
  public var backup: String?
  /// The note in the oplog just before it, for recovery to that moment.
  public var oplogMark: Timestamp?
  /// Written by another tool in a shape that is understood.
  public var isLegacy: Bool

  /// True when the migration counts as applied.
  public var isApplied: Bool { status == .success }

  /// An entry that has just begun.
  public init(
    name: String, version: String, description: String?, checksum: String, batch: Int64,
    startedAt: DateTime, steps: [JournalStep], appliedBy: Document, fence: Int64, seed: String
  ) {
    self.name = name
    self.version = version
    self.description = description
    self.status = .running
    self.checksum = checksum
    self.batch = batch
    self.startedAt = startedAt
    self.steps = steps
    self.appliedBy = appliedBy
    self.fence = fence
    self.seed = seed
    self.isLegacy = false
  }
}

/// A step as the ledger remembers it.
public struct JournalStep: Sendable {
  /// How far a step got.
  public enum State: String, Sendable {
    case pending
    /// Begun: it may or may not have taken effect.
    case started
    case done
    /// Taken back by `down`.
    case undone
  }

  /// The command's name: `create`, `update`, ….
  public var command: String
  public var collection: String?
  /// The hash of the step as it was run.
  public var hash: String
  public var state: State
  /// How to take it back; nil before it began.
  public var undo: Document?
  /// Counts that the server reported.
  public var result: Document?

  /// A step that has not begun.
  public init(command: String, collection: String?, hash: String) {
    self.command = command
    self.collection = collection
    self.hash = hash
    self.state = .pending
  }

  /// True when its `unless` held, so that it did not run.
  public var isLeftOut: Bool {
    state == .done && undo?["reason"]?.stringValue == UndoKind.leftOut
  }

  /// True for a `create` that found nothing of that name.
  var makesCollection: Bool { command == "create" && undo?["kind"]?.stringValue == "drop" }
}

extension JournalStep {
  init?(_ document: Document) {
    guard let command = document["command"]?.stringValue,
      let hash = document["hash"]?.stringValue,
      let state = document["state"]?.stringValue.flatMap(State.init(rawValue:))
    else { return nil }
    self.command = command
    self.collection = document["collection"]?.stringValue
    self.hash = hash
    self.state = state
    self.undo = document["undo"]?.documentValue.map(StoredUndo.read)
    self.result = document["result"]?.documentValue
  }

  /// The document as it stands in the ledger.
  public var document: Document {
    var out: Document = ["command": .string(command)]
    if let collection { out.append("collection", .string(collection)) }
    out.append("hash", .string(hash))
    out.append("state", .string(state.rawValue))
    if let undo { out.append("undo", .document(StoredUndo.storable(undo))) }
    if let result { out.append("result", .document(result)) }
    return out
  }
}

extension LedgerEntry {
  /// Reads a ledger document; nil when it has a foreign shape.
  public init?(_ document: Document) {
    guard let name = document["name"]?.stringValue, !name.isEmpty,
      let status = document["status"]?.stringValue.flatMap(Status.init(rawValue:))
    else { return nil }
    let schema = document["schema"]?.stringValue
    if schema == nil {
      // The reference manager writes exactly these fields.
      let known: Set<String> = ["_id", "name", "applied_at", "status", "error"]
      guard Set(document.keys).isSubset(of: known), document["applied_at"]?.dateValue != nil,
        status == .success || status == .failed
      else { return nil }
    } else if schema != Self.schema {
      return nil
    }
    self.name = name
    self.status = status
    version =
      document["version"]?.stringValue ?? document["version"]?.integerValue.map(String.init) ?? ""
    description = document["description"]?.stringValue
    checksum = document["checksum"]?.stringValue
    batch = document["batch"]?.integerValue ?? 0
    startedAt = document["started_at"]?.dateValue
    appliedAt = document["applied_at"]?.dateValue
    durationMilliseconds = document["duration_ms"]?.integerValue
    steps = Self.journal(document["steps"]) ?? []
    downSteps = Self.journal(document["down_steps"])
    error =
      document["error"]?.documentValue
      ?? document["error"]?.stringValue.map { ["message": .string($0)] }
    appliedBy = document["applied_by"]?.documentValue
    fence = document["fence"]?.integerValue ?? 0
    seed = document["seed"]?.stringValue
    marked = document["marked"]?.stringValue
    backup = document["backup"]?.stringValue
    oplogMark = document["oplog_mark"]?.timestampValue
    isLegacy = schema == nil
  }

  private static func journal(_ value: Value?) -> [JournalStep]? {
    value?.arrayValue?.compactMap { $0.documentValue.flatMap(JournalStep.init) }
  }

  /// The document as it stands in the ledger.
  public var document: Document {
    var out: Document = [
      "_id": .string(name), "name": .string(name),
      // Numbers of any length are allowed; those that fit are numbers in the ledger.
      "version": Int64(version).map { .int64($0) } ?? .string(version),
    ]
    if let description { out.append("description", .string(description)) }
    out.append("status", .string(status.rawValue))
    if let checksum { out.append("checksum", .string(checksum)) }
    out.append("batch", .int64(batch))
    if let startedAt { out.append("started_at", .date(startedAt)) }
    if let appliedAt { out.append("applied_at", .date(appliedAt)) }
    if let durationMilliseconds { out.append("duration_ms", .int64(durationMilliseconds)) }
    out.append("steps", .array(steps.map { .document($0.document) }))
    if let downSteps {
      out.append("down_steps", .array(downSteps.map { .document($0.document) }))
    }
    if let error { out.append("error", .document(error)) }
    if let appliedBy { out.append("applied_by", .document(appliedBy)) }
    out.append("fence", .int64(fence))
    if let seed { out.append("seed", .string(seed)) }
    if let marked { out.append("marked", .string(marked)) }
    if let backup { out.append("backup", .string(backup)) }
    if let oplogMark { out.append("oplog_mark", .timestamp(oplogMark)) }
    out.append("schema", .string(Self.schema))
    return out
  }
}
