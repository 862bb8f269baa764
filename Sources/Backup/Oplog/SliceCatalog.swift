public import BSON

/// A piece of the captured oplog: all entries from `start` to `end`, both inclusive.
///
/// Its first entry is the last one of the slice before it, which proves that nothing is missing
/// between the two.
public struct Slice: Sendable, Hashable {
  public var replicaSetID: String
  public var start: Timestamp
  public var end: Timestamp
  /// Entries, the overlap included.
  public var count: Int64
  /// Of BSON, uncompressed.
  public var bytes: Int64
  /// As stored.
  public var digest: FileDigest
  public var isEncrypted: Bool
  /// Nothing proves what happened before it: the first of a chain, or one behind a gap.
  public var beginsChain: Bool
  /// Only entries of these databases are in it; all when empty.
  public var databases: [String]
  /// Server version at capture.
  public var serverVersion: String

  /// In the store, without a suffix.
  var stem: String {
    "oplog/\(replicaSetID)/\(Self.padded(start))_\(Self.padded(end))"
  }
  var dataName: String {
    stem + SliceCatalog.dataSuffix + (isEncrypted ? ".age" : "")
  }
  var descriptionName: String { stem + SliceCatalog.descriptionSuffix }

  /// Sorts as text as it does as a time.
  private static func padded(_ time: Timestamp) -> String {
    CivilTime.padded(Int(time.seconds), 10) + "-" + CivilTime.padded(Int(time.increment), 6)
  }

  var document: Document {
    [
      "format": "martlet-slice", "version": 1, "replicaSetId": .string(replicaSetID),
      "start": .string(OplogTime.text(start)), "end": .string(OplogTime.text(end)),
      "startTime": .string(Moment.iso(Int64(start.seconds))),
      "endTime": .string(Moment.iso(Int64(end.seconds))), "entries": .integer(count),
      "bytes": .integer(bytes), "size": .integer(digest.size), "sha256": .string(digest.sha256),
      "encrypted": .bool(isEncrypted), "beginsChain": .bool(beginsChain),
      "databases": .array(databases.map { .string($0) }),
      "serverVersion": .string(serverVersion),
    ]
  }

  public init(
    replicaSetID: String, start: Timestamp, end: Timestamp, count: Int64, bytes: Int64,
    digest: FileDigest, isEncrypted: Bool, beginsChain: Bool, databases: [String],
    serverVersion: String
  ) {
    self.replicaSetID = replicaSetID
    self.start = start
    self.end = end
    self.count = count
    self.bytes = bytes
    self.digest = digest
    self.isEncrypted = isEncrypted
    self.beginsChain = beginsChain
    self.databases = databases
    self.serverVersion = serverVersion
  }

  init(_ document: Document, path: String) throws(BackupError) {
    let reader = ManifestReader(document: document, path: path)
    guard try reader.integer("version") <= 1 else {
      throw BackupError(
        .unsupported, "the slice was written by a newer version", path: path,
        hint: "use the version of martlet that made it, or a newer one")
    }
    guard let start = try reader.oplogTime("start"), let end = try reader.oplogTime("end") else {
      throw reader.damaged("start")
    }
    self.init(
      replicaSetID: try reader.string("replicaSetId"), start: start, end: end,
      count: try reader.integer("entries"), bytes: try reader.integer("bytes"),
      digest: FileDigest(size: try reader.integer("size"), sha256: try reader.string("sha256")),
      isEncrypted: document["encrypted"]?.boolValue ?? false,
      beginsChain: document["beginsChain"]?.boolValue ?? false,
      databases: try reader.strings("databases"),
      serverVersion: try reader.string("serverVersion"))
  }
}

/// The slices of one replica set, in the order of time.
public struct SliceChain: Sendable, Hashable {
  public let replicaSetID: String
  public let slices: [Slice]

  /// A stretch without a hole.
  public struct Run: Sendable, Hashable {
    public let slices: [Slice]
    public var start: Timestamp? { slices.first?.start }
    public var end: Timestamp? { slices.last?.end }

    /// True when an entry of that time would be in it.
    func covers(_ time: Timestamp) -> Bool {
      guard let start, let end else { return false }
      return start <= time && time <= end
    }
  }

  /// Between two runs: what happened after the first time and before the second is not there.
  public struct Gap: Sendable, Hashable {
    public let after: Timestamp
    public let before: Timestamp
  }

  /// Only the slices that hold every entry of these databases; of all databases when nil. What lies between
  /// them is a hole to whoever asks for more than was captured.
  func limited(to databases: Set<String>?) -> SliceChain {
    SliceChain(
      replicaSetID: replicaSetID,
      slices: slices.filter { slice in
        if slice.databases.isEmpty { return true }
        guard let databases else { return false }
        return databases.isSubset(of: slice.databases)
      })
  }

  /// The contiguous stretches.
  public var runs: [Run] {
    var runs: [[Slice]] = []
    for slice in slices {
      // A slice that was written again after a crash lies inside what is there.
      if let last = runs.last?.last, slice.end <= last.end, slice.start >= last.start { continue }
      if let last = runs.last?.last, !slice.beginsChain, slice.start <= last.end {
        runs[runs.count - 1].append(slice)
      } else {
        runs.append([slice])
      }
    }
    return runs.map { Run(slices: $0) }
  }

  public var gaps: [Gap] {
    zip(runs, runs.dropFirst()).compactMap { first, second in
      guard let after = first.end, let before = second.start, after < before else { return nil }
      return Gap(after: after, before: before)
    }
  }
}

/// Finds the captured oplog in a store. Needs no server.
public struct SliceCatalog: Sendable {
  static let dataSuffix = ".bson.gz"
  static let descriptionSuffix = ".json"

  let store: any Store

  public init(_ store: any Store) { self.store = store }

  /// All chains, by their replica set's id.
  public func chains() throws(BackupError) -> [SliceChain] {
    var chains: [SliceChain] = []
    for entry in try store.list("oplog", recursively: false) where entry.isFolder {
      let id = String(entry.name.dropFirst("oplog/".count))
      chains.append(try chain(id))
    }
    return chains.filter { !$0.slices.isEmpty }
  }

  /// The chain of a replica set; empty when there is none.
  public func chain(_ replicaSetID: String) throws(BackupError) -> SliceChain {
    var slices: [Slice] = []
    for entry in try store.list("oplog/\(replicaSetID)", recursively: true)
    where entry.name.hasSuffix(Self.descriptionSuffix) {
      let bytes: [UInt8]
      do throws(BackupError) { bytes = try store.read(entry.name, limit: 1 << 20) } catch {
        if error.code == .notFound { continue }
        throw error
      }
      // A description that is cut is a slice that is not there: the gap shows by itself.
      guard let document = try? SealedText.open(bytes, path: entry.name) else { continue }
      slices.append(try Slice(document, path: entry.name))
    }
    return SliceChain(
      replicaSetID: replicaSetID,
      slices: slices.sorted { ($0.start, $0.end) < ($1.start, $1.end) })
  }
}

/// A stretch of time that can be recovered to.
public struct RestorableWindow: Sendable, Hashable {
  /// The base to begin with.
  public let base: String
  /// Both inclusive.
  public let start: Timestamp
  public let end: Timestamp
  /// Only these can be; all of the server when empty.
  public var databases: [String] = []

  /// For people: local times.
  public func text(zone: Zone = .local) -> String {
    let first = Moment.text(Int64(start.seconds), zone: zone)
    let last = Moment.text(Int64(end.seconds), zone: zone)
    let times = start == end ? first : "\(first) to \(last)"
    return databases.isEmpty ? times : "\(times) (\(databases.joined(separator: ", ")) only)"
  }
}

/// Which moments can be recovered to. Pure.
public enum RestorableWindows {
  /// One window for each stretch and what it has of the server, oldest first. A base without slices is a
  /// window of one moment.
  public static func all(_ sets: [BackupSet], _ chains: [SliceChain]) -> [RestorableWindow] {
    let captured = Set(chains.flatMap(\.slices).flatMap(\.databases)).sorted()
    var windows: [RestorableWindow] = []
    for set in sets.filter(isBase).sorted(by: { $0.time < $1.time }) {
      guard let manifest = set.manifest, let moment = manifest.consistency?.moment else { continue }
      let own = manifest.database.map { [$0] } ?? []
      let end = reach(set, chains) ?? moment
      add(RestorableWindow(base: set.id, start: moment, end: max(end, moment), databases: own))
      // A capture of some databases may lead further for these.
      for name in captured where manifest.database == nil {
        guard let further = reach(set, chains, [name]), further > end else { continue }
        add(RestorableWindow(base: set.id, start: moment, end: further, databases: [name]))
      }
    }
    return windows

    func add(_ window: RestorableWindow) {
      // What a base reaches belongs to the window that an older one has begun, when it did.
      let last = windows.last { $0.databases == window.databases }
      if let last, last.end >= window.start, last.end == window.end { return }
      windows.append(window)
    }
  }

  /// A safety backup lacks what its restore had loaded beside, and the oplog renames that later.
  static func isBase(_ set: BackupSet) -> Bool {
    set.isGood && set.manifest?.data != nil && set.manifest?.safetyFor == nil
  }

  /// The last time that slices lead to from this base, for these databases; nil is all that it has.
  static func reach(
    _ set: BackupSet, _ chains: [SliceChain], _ databases: Set<String>? = nil
  ) -> Timestamp? {
    guard let manifest = set.manifest, let id = manifest.server?.replicaSetID,
      let from = manifest.consistency?.replayStart
    else { return nil }
    let wanted = databases ?? manifest.database.map { [$0] }
    let runs = chains.filter { $0.replicaSetID == id }.flatMap { $0.limited(to: wanted).runs }
    return runs.first { $0.covers(from) }?.end
  }

  /// The newest base from which `time` can be reached.
  /// - Throws: ``BackupError`` `.unreachableTime` with what can be reached; `.usage` when bases of several
  ///   replica sets or databases could be meant.
  public static func base(
    for time: Timestamp, _ sets: [BackupSet], _ chains: [SliceChain],
    scope: RecoveryScope = RecoveryScope()
  ) throws(BackupError) -> BackupSet {
    let candidates = sets.filter { set in
      guard isBase(set), scope.takes(set),
        let moment = set.manifest?.consistency?.moment, moment <= time
      else { return false }
      // All of a second is there only when something later is: nothing is guessed.
      guard let reach = reach(set, chains, scope.databases) else { return moment == time }
      return time <= reach
    }
    // By the server's time: the clock of the host that made them may have jumped.
    let newest = try scope.unambiguous(candidates).max { a, b in
      let (first, second) = (a.manifest?.consistency?.moment, b.manifest?.consistency?.moment)
      return (first ?? Timestamp(rawValue: 0)) < (second ?? Timestamp(rawValue: 0))
    }
    if let newest { return newest }
    let windows = all(sets.filter { scope.takes($0) }, chains).map { $0.text() }
    throw BackupError(
      .unreachableTime,
      "\(Moment.text(Int64(time.seconds))) (local) cannot be reached"
        + (scope.databases.map { " for \($0.sorted().joined(separator: ", "))" } ?? ""),
      hint: windows.isEmpty
        ? "nothing can be recovered to; martlet backup run makes a base"
        : "what can be: " + windows.joined(separator: "; "))
  }
}
