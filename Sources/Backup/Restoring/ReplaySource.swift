internal import BSON
internal import Dump
internal import Glibc
internal import MongoDB
internal import Synchronization

/// The oplog between a base and the time to recover to, as one local file of entries.
struct ReplaySource {
  let folder: WorkFolder
  /// The backup that it begins with, where it is kept for later.
  var set: String?
  var path: String { folder.path + "/entries.bson" }

  /// Collects the slices that lead from the base to the end; nil when nothing is to be replayed.
  ///
  /// - Parameter chains: of the store, when they have just been read.
  /// - Throws: ``BackupError`` `.unreachableTime`, `.gap`, `.damaged`.
  static func make(
    _ store: any Store, _ base: BackupSet, _ options: RestoreOptions, _ chains: [SliceChain]? = nil
  ) throws -> ReplaySource? {
    guard let end = options.end else { return nil }
    guard let manifest = base.manifest, let consistency = manifest.consistency,
      let moment = consistency.moment, let start = consistency.replayStart
    else {
      throw BackupError(
        .unreachableTime, "the backup has no moment to recover from", path: base.id,
        hint: "backups of a standalone server can only be restored as they are")
    }
    guard moment <= end.time else {
      throw BackupError(
        .unreachableTime,
        "the backup is of \(Moment.text(Int64(moment.seconds))) (local), later than the time asked for",
        path: base.id, hint: "leave the backup out and the right one is chosen")
    }
    if end.isInclusive, end.time == moment { return nil }
    guard let id = manifest.server?.replicaSetID else {
      throw BackupError(.unreachableTime, "the backup does not say of which replica set it is")
    }
    let wanted = options.databases ?? manifest.database.map { [$0] }
    let known = chains?.first { $0.replicaSetID == id }
    let chain = try (known ?? SliceCatalog(store).chain(id)).limited(to: wanted)
    // A snapshot needs what is after it; a fuzzy dump what is after its start, inclusive.
    guard let run = chain.runs.first(where: { $0.covers(start) }),
      let reach = RestorableWindows.reach(base, [chain], wanted), end.time <= reach
    else {
      let chains = try chains ?? SliceCatalog(store).chains()
      throw RestorableWindows.unreachable(
        end.time, try Catalog(store).sets(), chains, from: base, for: wanted)
    }
    let isInclusive = consistency.includesReplayStart
    var collector = try EntryCollector(
      folder: options.workFolder,
      takes: { time in
        let isBegun = isInclusive ? time >= start : time > start
        return isBegun && (end.isInclusive ? time <= end.time : time < end.time)
      })
    do {
      let slices = run.slices.filter { $0.end >= start && $0.start <= end.time }
      try collector.add(slices, store, options)
      return try collector.finish()
    } catch {
      collector.abandon()
      throw error
    }
  }

  /// What the entries do to names.
  /// - Throws: ``DumpError`` `.damaged`.
  func history(_ cancellation: Cancellation) throws -> NamespaceHistory {
    var history = NamespaceHistory()
    try OplogFile.forEach(path: path) { raw in
      try history.add(raw)
      return true
    } check: {
      try cancellation.check()
    }
    return history
  }

  func remove() { folder.remove() }
}

/// The documents that were refused, from several threads.
final class FailureCount: Sendable {
  private struct State {
    var first: FailedDocument?
    var count = 0
    var duplicates: [Namespace: Int] = [:]
  }

  /// In a fuzzy dump a document that was replaced by another of its `_id` may have been read twice; the
  /// oplog decides. Before the replay there is no other unique index that could refuse.
  private let toleratesDuplicates: Bool
  private let state = Mutex(State())
  var first: FailedDocument? { state.withLock { $0.first } }
  var count: Int { state.withLock { $0.count } }

  init(toleratesDuplicates: Bool) { self.toleratesDuplicates = toleratesDuplicates }

  /// - Throws: ``BackupError`` `.mismatch` when one was refused.
  func check() throws(BackupError) {
    guard let first else { return }
    throw BackupError(
      .mismatch, "\(count) documents were refused: \(first.message)",
      namespace: first.namespace.description)
  }

  func duplicates(in namespace: Namespace) -> Int {
    state.withLock { $0.duplicates[namespace, default: 0] }
  }

  func note(_ failure: FailedDocument) {
    state.withLock { state in
      if toleratesDuplicates, failure.code == 11000 {
        state.duplicates[failure.namespace.logical, default: 0] += 1
        return
      }
      state.count += 1
      if state.first == nil { state.first = failure }
    }
  }
}
