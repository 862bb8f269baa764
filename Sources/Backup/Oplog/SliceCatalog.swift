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
  /// Its last entry is the mark of this restore: no recovery of what it changed leads further.
  public var endsTimeline: TimelineEnd?

  static let newerHint = "use the version of martlet that made it, or a newer one"

  /// In the store, without a suffix.
  var stem: String {
    "oplog/\(replicaSetID)/\(Self.padded(start))_\(Self.padded(end))"
  }
  var dataName: String {
    stem + SliceCatalog.dataSuffix + (isEncrypted ? ".age" : "")
  }
  var descriptionName: String { stem + SliceCatalog.descriptionSuffix }
  /// Is there once verifying has found damage.
  var damageName: String { stem + SliceCatalog.damageSuffix }

  /// Sorts as text as it does as a time.
  private static func padded(_ time: Timestamp) -> String {
    CivilTime.padded(Int(time.seconds), 10) + "-" + CivilTime.padded(Int(time.increment), 6)
  }

  var document: Document {
    var out: Document = [
      "format": "martlet-slice", "version": 1, "replicaSetId": .string(replicaSetID),
      "start": .string(OplogTime.text(start)), "end": .string(OplogTime.text(end)),
      "startTime": .string(Moment.iso(Int64(start.seconds))),
      "endTime": .string(Moment.iso(Int64(end.seconds))), "entries": .integer(count),
      "bytes": .integer(bytes), "size": .integer(digest.size), "sha256": .string(digest.sha256),
      "encrypted": .bool(isEncrypted), "beginsChain": .bool(beginsChain),
      "databases": .array(databases.map { .string($0) }),
      "serverVersion": .string(serverVersion),
    ]
    if let endsTimeline { out.append("endsTimeline", .document(endsTimeline.document)) }
    return out
  }

  /// The times in a name of the catalog.
  static func times(inName name: String) -> (start: Timestamp, end: Timestamp)? {
    let stem = (name.split(separator: "/").last ?? "").prefix { $0 != "." }
    let times = stem.split(separator: "_").compactMap {
      OplogTime.parse($0.split(separator: "-").joined(separator: ":"))
    }
    guard times.count == 2, times[0] <= times[1] else { return nil }
    return (times[0], times[1])
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
        .unsupported, "the slice was written by a newer version", path: path, hint: Self.newerHint)
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
    endsTimeline = TimelineEnd(document["endsTimeline"]?.documentValue)
  }
}

/// The slices of one replica set, in the order of time.
public struct SliceChain: Sendable, Hashable {
  public let replicaSetID: String
  public let slices: [Slice]
  /// In the store.
  public var path: String { "oplog/" + replicaSetID }
  /// Of no use, and not among ``slices``: where nothing else covers them they are gaps.
  public var damaged: [DamagedSlice] = []
  /// Those of them that nothing else covers: a capture may have written the last one anew.
  public var missed: [DamagedSlice] {
    let runs = runs
    return damaged.filter { damaged in
      !runs.contains { $0.covers(damaged.slice.start) && $0.covers(damaged.slice.end) }
    }
  }
  /// Descriptions that cannot be read: what they described is not there.
  public var unreadable: [String] = []
  /// Files without a description: of a slice that is being written, or of a pruning that died.
  var strays: [String] = []
  /// Slices that only a newer version can read: a recovery ends before the first that it needs.
  public var newer: [NewerSlice] = []

  /// All that is known of it is its name.
  public struct NewerSlice: Sendable, Hashable {
    public let path: String
    public let start: Timestamp
    public let end: Timestamp
  }

  /// Where restores have ended timelines; of the two marks of one the first.
  public var ends: [(at: Timestamp, end: TimelineEnd)] {
    var out: [(at: Timestamp, end: TimelineEnd)] = []
    for slice in slices {
      guard let end = slice.endsTimeline, !out.contains(where: { $0.end == end }) else { continue }
      out.append((slice.end, end))
    }
    return out
  }

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
      }, newer: newer)
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

/// A slice that cannot be replayed.
public struct DamagedSlice: Sendable, Hashable {
  public let slice: Slice
  /// One sentence, lower case.
  public let reason: String
}

/// Finds the captured oplog in a store. Needs no server.
public struct SliceCatalog: Sendable {
  static let dataSuffix = ".bson.gz"
  static let descriptionSuffix = ".json"
  static let damageSuffix = ".damaged"

  let store: any Store

  public init(_ store: any Store) { self.store = store }

  /// All chains, by their replica set's id.
  public func chains() throws(BackupError) -> [SliceChain] {
    var chains: [SliceChain] = []
    for entry in try store.list("oplog", recursively: false) where entry.isFolder {
      let id = String(entry.name.dropFirst("oplog/".count))
      chains.append(try chain(id))
    }
    return chains.filter {
      !$0.slices.isEmpty || !$0.newer.isEmpty || !$0.damaged.isEmpty || !$0.unreadable.isEmpty
    }
  }

  func hasSlices(_ replicaSetID: String) throws(BackupError) -> Bool {
    try store.list("oplog/\(replicaSetID)", recursively: true)
      .contains { $0.name.hasSuffix(Self.descriptionSuffix) }
  }

  /// The chain of a replica set; empty when there is none.
  public func chain(_ replicaSetID: String) throws(BackupError) -> SliceChain {
    var slices: [Slice] = []
    var newer: [SliceChain.NewerSlice] = []
    var damaged: [DamagedSlice] = []
    var unreadable: [String] = []
    let entries = try store.list("oplog/\(replicaSetID)", recursively: true)
    let files = Dictionary(entries.map { ($0.name, $0.size) }, uniquingKeysWith: { a, _ in a })
    let described = entries.filter { $0.name.hasSuffix(Self.descriptionSuffix) }
    let texts = try store.read(all: described.map(\.name), limit: 1 << 20)
    for entry in described {
      // Pruned since it was listed.
      guard let bytes = texts[entry.name] else { continue }
      // A description that is cut is a slice that is not there: the gap shows by itself.
      guard let document = try? SealedText.open(bytes, path: entry.name) else {
        unreadable.append(entry.name)
        continue
      }
      let slice: Slice
      do throws(BackupError) { slice = try Slice(document, path: entry.name) } catch {
        guard error.code == .unsupported, let times = Slice.times(inName: entry.name) else {
          throw error
        }
        newer.append(SliceChain.NewerSlice(path: entry.name, start: times.start, end: times.end))
        continue
      }
      if let reason = try damage(slice, files) {
        damaged.append(DamagedSlice(slice: slice, reason: reason))
      } else {
        slices.append(slice)
      }
    }
    var chain = SliceChain(
      replicaSetID: replicaSetID,
      slices: slices.sorted { ($0.start, $0.end) < ($1.start, $1.end) },
      damaged: damaged.sorted { $0.slice.start < $1.slice.start }, unreadable: unreadable,
      newer: newer.sorted { $0.start < $1.start })
    let stems = Set(described.map { $0.name.dropLast(Self.descriptionSuffix.count) })
    chain.strays = files.keys.filter { name in
      let isOurs = [Self.dataSuffix, Self.dataSuffix + ".age", Self.damageSuffix].contains {
        name.hasSuffix($0)
      }
      return isOurs && !stems.contains(Self.stem(name))
    }.sorted()
    return chain
  }

  /// Without what comes after the times.
  private static func stem(_ name: String) -> Substring {
    let folder = name.lastIndex(of: "/").map(name.index(after:)) ?? name.startIndex
    return name[..<(name[folder...].firstIndex(of: ".") ?? name.endIndex)]
  }

  /// What a listing of the chain's files shows of a slice's damage.
  private func damage(_ slice: Slice, _ files: [String: Int64]) throws(BackupError) -> String? {
    if files[slice.damageName] != nil {
      let bytes = try? store.read(slice.damageName, limit: 1 << 20)
      let document = bytes.flatMap { try? SealedText.open($0, path: slice.damageName) }
      return document?["damage"]?.stringValue ?? "verifying has found damage"
    }
    if files[slice.dataName] == slice.digest.size { return nil }
    // Listed before it was there, or it is missing.
    do throws(BackupError) {
      var size = files[slice.dataName] ?? 0
      if files[slice.dataName] == nil { size = Int64(try store.read(slice.dataName).count) }
      return size == slice.digest.size
        ? nil : "the file has \(size) bytes, its description says \(slice.digest.size)"
    } catch {
      switch error.code {
      case .notFound: return "the file is missing"
      case .damaged: return error.message
      default: throw error
      }
    }
  }

  /// Keeps beside a slice what verifying has found.
  func note(_ slice: Slice, damage: String?) throws(BackupError) {
    guard let damage else { return try store.delete(slice.damageName) }
    let document: Document = [
      "format": "martlet-slice-damage/1", "time": .string(Moment.iso(Moment.now())),
      "damage": .string(damage),
    ]
    try store.put(slice.damageName, bytes: SealedText.seal(document))
  }

  /// For work that would remove what a newer version has written, or needs.
  /// - Throws: ``BackupError`` `.unsupported`.
  static func refuseNewer(_ chains: [SliceChain]) throws(BackupError) {
    guard let newer = chains.lazy.compactMap(\.newer.first).first else { return }
    throw BackupError(
      .unsupported, "the store has slices that a newer version has written", path: newer.path,
      hint: Slice.newerHint)
  }
}
