internal import BSON
internal import Dump
internal import Glibc
internal import MongoDB
internal import Synchronization

/// The oplog between a base and the time to recover to, as one local file of entries.
struct ReplaySource {
  let path: String
  /// Entries in it.
  let count: Int64

  /// Collects the slices that lead from the base to the end; nil when nothing is to be replayed.
  ///
  /// - Throws: ``BackupError`` `.unreachableTime`, `.gap`, `.damaged`.
  static func make(_ store: any Store, _ base: BackupSet, _ options: RestoreOptions) throws
    -> ReplaySource?
  {
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
    let chain = try SliceCatalog(store).chain(id).limited(to: wanted)
    // A snapshot needs what is after it; a fuzzy dump what is after its start, inclusive.
    guard let run = chain.runs.first(where: { $0.covers(start) }),
      let reach = RestorableWindows.reach(base, [chain], wanted), end.time <= reach
    else {
      let chains = try SliceCatalog(store).chains()
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
      for slice in run.slices where slice.end >= start && slice.start <= end.time {
        try options.cancellation.check()
        try collector.add(slice, store, options.age)
      }
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

  func remove() {
    let folder = Disk.parent(of: path)
    // Never a folder that is not our own.
    guard folder.contains("/martlet-replay.") else { return }
    _ = try? RunningProgram.output(of: ["rm", "-rf", "--", folder])
  }

  /// A name in a folder of its own (mode 0700): the oplog holds what documents hold.
  static func place(_ folder: String) throws(BackupError) -> String {
    removeDead(in: folder)
    var template = Array((folder + "/" + prefix + "XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { throw Disk.failure("mkdir", folder) }
    let made = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // Held until this process ends, however it ends: that is what tells a folder of the living.
    let lock = open(made + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    if lock >= 0 { _ = flock(lock, LOCK_EX | LOCK_NB) }
    return made + "/entries.bson"
  }

  private static let prefix = "martlet-replay."

  /// What restores that were killed have left: decrypted documents.
  private static func removeDead(in folder: String) {
    for name in (try? Disk.names(in: folder)) ?? [] where name.hasPrefix(prefix) {
      let path = folder + "/" + name
      var status = stat()
      guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
        status.st_uid == geteuid()
      else { continue }
      let lock = open(path + "/lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
      guard lock >= 0 else { continue }
      if flock(lock, LOCK_EX | LOCK_NB) == 0 {
        _ = try? RunningProgram.output(of: ["rm", "-rf", "--", path])
      }
      close(lock)
    }
  }
}

/// What a plan has collected, for the run after it.
final class CollectedOplog: Sendable {
  private let state = Mutex<(id: String, source: ReplaySource)?>(nil)

  func keep(_ source: ReplaySource, of id: String) {
    state.withLock { state in
      state?.source.remove()
      state = (id, source)
    }
  }

  /// Nil when it is of another backup, or there is none.
  func take(_ id: String) -> ReplaySource? {
    state.withLock { state in
      guard let found = state, found.id == id else { return nil }
      state = nil
      return found.source
    }
  }

  deinit { state.withLock { $0?.source.remove() } }
}

/// Writes the wanted entries of slices to a file, each once.
private struct EntryCollector {
  private let path: String
  private let file: OutputFile
  /// The oplog of a day is ten times smaller so.
  private let sink: FilterSink
  private let takes: (Timestamp) -> Bool
  private var last = Timestamp(rawValue: 0)
  private var count: Int64 = 0

  init(folder: String, takes: @escaping (Timestamp) -> Bool) throws {
    path = try ReplaySource.place(folder)
    file = try OutputFile(path: path)
    sink = try FilterSink(["gzip", "-c", "-1"], to: file)
    self.takes = takes
  }

  mutating func add(_ slice: Slice, _ store: any Store, _ age: Age) throws {
    try SliceReader(store, age: age).forEach(slice) { time, raw in
      // The overlap comes twice.
      guard time > last else { return }
      last = time
      guard takes(time) else { return }
      try sink.write(raw)
      count += 1
    }
  }

  func abandon() {
    sink.abandon()
    ReplaySource(path: path, count: 0).remove()
  }

  func finish() throws -> ReplaySource {
    try sink.finish()
    try file.commit()
    return ReplaySource(path: path, count: count)
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
