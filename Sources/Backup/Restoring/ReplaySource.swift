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

/// What a plan has chosen and collected, for the run after it.
final class PlannedRestore: Sendable {
  private struct State: Sendable {
    var asked: String?
    var set: BackupSet?
    var source: ReplaySource?
    var chains: [SliceChain]?
  }

  private let state = Mutex(State())

  /// - Parameter id: what was asked for; nil let the time choose.
  func keep(_ set: BackupSet, for id: String?) {
    state.withLock { state in
      state.asked = id
      state.set = set
    }
  }

  /// Once: whoever asks again gets what is there then.
  func set(for id: String?) -> BackupSet? {
    state.withLock { state in
      defer { state.set = nil }
      return state.asked == id ? state.set : nil
    }
  }

  func keep(_ chains: [SliceChain]) { state.withLock { $0.chains = chains } }

  /// Once, like the rest.
  func takeChains() -> [SliceChain]? {
    state.withLock { state in
      defer { state.chains = nil }
      return state.chains
    }
  }

  func keep(_ source: ReplaySource, of set: String) {
    state.withLock { state in
      state.source?.remove()
      state.source = source
      state.source?.set = set
    }
  }

  /// Nil when it is of another backup, or there is none.
  func take(_ set: String) -> ReplaySource? {
    state.withLock { state in
      guard let source = state.source, source.set == set else { return nil }
      state.source = nil
      return source
    }
  }

  deinit { state.withLock { $0.source?.remove() } }
}

/// Writes the wanted entries of slices to a file, each once.
private struct EntryCollector {
  private let folder: WorkFolder
  private let file: OutputFile
  /// The oplog of a day is ten times smaller so.
  private let sink: FilterSink
  private let takes: (Timestamp) -> Bool
  private var last = Timestamp(rawValue: 0)

  init(folder: String, takes: @escaping (Timestamp) -> Bool) throws {
    self.folder = try WorkFolder(in: folder)
    do {
      file = try OutputFile(path: ReplaySource(folder: self.folder).path)
      sink = try FilterSink(["gzip", "-c", "-1"], to: file)
    } catch {
      self.folder.remove()
      throw error
    }
    self.takes = takes
  }

  /// A remote store gives several slices in one go: asked for each, it would take hours for those of a day.
  mutating func add(_ slices: [Slice], _ store: any Store, _ options: RestoreOptions) throws {
    var rest = slices[...]
    let place = folder.path + "/slices"
    while !rest.isEmpty {
      var bytes: Int64 = 0
      let part = rest.prefix(Self.most).prefix { slice in
        defer { bytes += slice.digest.size }
        return bytes < Self.mostBytes
      }
      rest = rest.dropFirst(part.count)
      let local = try? store.fetch(part.map(\.dataName), to: place)
      for slice in part {
        try options.cancellation.check()
        let isLocal = local?.has(slice.dataName) == true
        try add(slice, isLocal ? local ?? store : store, options.age)
        try? local?.delete(slice.dataName)
      }
    }
  }

  /// Slices that are fetched in one go, and bytes of them after which no more are.
  private static let most = 256
  private static let mostBytes: Int64 = 32 << 20

  private mutating func add(_ slice: Slice, _ store: any Store, _ age: Age) throws {
    try SliceReader(store, age: age).forEach(slice) { time, raw in
      // The overlap comes twice.
      guard time > last else { return }
      last = time
      guard takes(time) else { return }
      try sink.write(raw)
    }
  }

  func abandon() {
    sink.abandon()
    folder.remove()
  }

  func finish() throws -> ReplaySource {
    try sink.finish()
    try file.commit()
    return ReplaySource(folder: folder)
  }
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
