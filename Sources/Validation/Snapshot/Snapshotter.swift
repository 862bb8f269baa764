internal import BSON
internal import Fingerprint
internal import MongoDB

/// Takes the snapshot of a database: every document is read once.
struct Snapshotter {
  let context: CheckContext
  /// All collections are read as they were at this time; set by the first read.
  var time: Timestamp?
  /// False where the server has no such reads, or no longer has that time.
  var isOneMoment: Bool
  /// Why not.
  var reason = ""
  /// When a run that was cut off, or else this one, began; milliseconds since 1970.
  private var startedAt: Int64
  private var collectionsKnown: Int64 = 0

  init(context: CheckContext) {
    self.context = context
    startedAt = context.options.now()
    isOneMoment = true
    // Since 5.0 outside of transactions.
    if context.server.version < ServerVersion(5, 0) {
      (isOneMoment, reason) = (false, "snapshot reads begin with server 5.0")
    }
    if case .standalone = context.server.topology {
      (isOneMoment, reason) = (false, "a standalone has no snapshot reads")
    }
    goOn()
  }

  /// A run that was cut off had read some collections, at its moment.
  private mutating func goOn() {
    guard let kept = context.state?.slice(of: "snapshot") else {
      context.state?.keep(slice: ["startedAt": .integer(startedAt)], of: "snapshot")
      return
    }
    startedAt = kept["startedAt"]?.integerValue ?? startedAt
    time = kept["time"]?.timestampValue
    if isOneMoment, let reason = kept["reason"]?.stringValue {
      (isOneMoment, self.reason) = (false, reason)
    }
  }

  /// Keeps the moment for a run that goes on.
  func keepMoment() {
    var slice: Document = ["startedAt": .integer(startedAt)]
    if let time { slice.append("time", .timestamp(time)) }
    if !isOneMoment { slice.append("reason", .string(reason)) }
    context.state?.keep(slice: slice, of: "snapshot")
  }

  /// What one pass over a collection gives.
  struct Pass {
    var tally = CollectionTally()
    var names = FieldNames()
  }

  /// - Parameter own: collections of the tool itself, which are left out.
  mutating func snapshot(
    own: (String) -> Bool, queries: [QuerySnapshot]
  ) throws -> (Snapshot, [CheckResult]) {
    var collections: [CollectionSnapshot] = []
    var results: [CheckResult] = []
    // Views are listed by themselves, and buckets under the name of their time-series.
    let infos = try context.collections().filter {
      !own($0.name) && (!$0.name.hasPrefix("system.") || $0.name == "system.js")
    }
    for info in infos {
      let (entry, result) = try kept(info) ?? collection(info)
      collections.append(entry)
      if let result { results.append(result) }
    }
    context.current = ("snapshot", "")
    if collectionsKnown > 0 {
      context.note(
        "Resumed: of \(Words.counted(Int64(infos.count), "collections")), "
          + "\(collectionsKnown) had been read for the snapshot.")
    }
    if !results.contains(where: { $0.id == "snapshot" }) {
      results.append(sureness(Int64(infos.count)))
    }
    let server = context.server
    var facts = [Fact("version", server.version.description)]
    switch server.topology {
    case .replicaSet(let name): facts.append(Fact("replica set", name))
    case .standalone: facts.append(Fact("topology", "standalone"))
    case .sharded: facts.append(Fact("topology", "sharded"))
    }
    var consistency = "each collection by itself"
    if isOneMoment, let time { consistency = "all at \(time.seconds):\(time.increment)" }
    facts.append(Fact("consistency", consistency))
    var snapshot = Snapshot(
      takenAt: context.options.now(), database: context.database.name, server: facts,
      collections: collections, queries: queries)
    let members = Members(context: context)
    snapshot.indexUses = try members.indexUses(infos.filter { $0.type == .collection }.map(\.name))
    snapshot.ttlPasses = (try? members.ttlPasses())?.passes
    return (snapshot, results)
  }

  /// How sure the whole is.
  private func sureness(_ collections: Int64) -> CheckResult {
    let amount = Amount(collections, "collections")
    guard !isOneMoment || time == nil else {
      return .passed(
        "snapshot", "", "every collection was read, all as they were at one moment",
        lookedAt: amount)
    }
    return .passed(
      "snapshot", "",
      "every collection was read, each by itself\(reason.isEmpty ? "" : ": \(reason)"); exact if "
        + "nobody wrote between \(Words.instant(startedAt)) and "
        + Words.instant(context.options.now()),
      lookedAt: amount, certainty: .estimated)
  }

  /// A collection that a run before this one had read.
  private mutating func kept(_ info: CollectionInfo) -> (CollectionSnapshot, CheckResult?)? {
    let key = "snapshot \(info.name)"
    guard let slice = context.state?.slice(of: key), slice["uuid"] == Self.identity(info),
      let entry = slice["entry"]?.documentValue.flatMap(SnapshotFile.collection)
    else { return nil }
    collectionsKnown += 1
    return (entry, context.state?.results(of: key)?.first)
  }

  private func keep(_ entry: CollectionSnapshot, _ result: CheckResult?, _ info: CollectionInfo) {
    guard let state = context.state else { return }
    let key = "snapshot \(info.name)"
    if let result { state.keep([result], of: key) }
    state.keep(
      slice: [
        "uuid": Self.identity(info), "entry": .document(SnapshotFile.collection(entry)),
      ], of: key)
  }

  /// Of a collection that was dropped and made again it is another one.
  static func identity(_ info: CollectionInfo) -> Value { info.uuid.map { .binary($0) } ?? .null }

  private mutating func collection(_ info: CollectionInfo) throws -> (
    CollectionSnapshot, CheckResult?
  ) {
    var entry = CollectionSnapshot(name: info.name, options: info.options)
    switch info.type {
    case .view:
      entry.kind = "view"
      return (entry, nil)
    case .timeseries: entry.kind = "timeseries"
    case .other(let kind):
      entry.kind = kind
      return (entry, nil)
    case .collection: break
    }
    let start = ContinuousClock.now
    let stored = info.type == .timeseries ? "system.buckets.\(info.name)" : info.name
    let pass: Pass
    do {
      entry.indexes = try context.indexes(info.name).filter { $0.buildUUID == nil }.map(\.spec)
      pass = try read(stored, Self.identity(info))
      entry.count =
        info.type == .timeseries ? try documents(of: info.name) : pass.tally.count
    } catch let error as MongoError {
      return (entry, try unread(info.name, error))
    } catch let error as BSONError {
      return (
        entry,
        .skipped(
          "snapshot", info.name, "a document cannot be read: \(error.message)",
          fix: "martlet validate before --integrity")
      )
    } catch is TimeIsUp {
      return (
        entry,
        .skipped(
          "snapshot", info.name, "the time budget was used up: no fingerprint of this collection")
      )
    }
    entry.bytes = pass.tally.bytes
    entry.fingerprint = pass.tally.fingerprint.description
    (entry.storageSize, entry.indexSize) = sizes(stored)
    guard info.type == .collection, !info.name.hasPrefix("system.") else {
      keep(entry, nil, info)
      return (entry, nil)
    }
    var result = FieldNames.result(info.name, pass)
    result.duration = Int64((ContinuousClock.now - start).milliseconds)
    keep(entry, result, info)
    return (entry, result)
  }

  /// The other collections can be read nevertheless.
  private func unread(_ collection: String, _ error: MongoError) throws -> CheckResult {
    switch error.kind {
    case .cancelled, .leaseLost, .unreachable, .authentication: throw error
    case .privilege:
      return .skipped(
        "snapshot", collection, "not allowed to read it: no fingerprint", fix: error.hint)
    default:
      return .skipped(
        "snapshot", collection, "it could not be read, no fingerprint: \(error.description)",
        fix: error.hint ?? "take the snapshot again")
    }
  }

  /// On disk; nil where the server does not tell.
  private func sizes(_ collection: String) -> (Int64?, Int64?) {
    let stats = try? context.database.aggregate(
      collection, pipeline: [["$collStats": ["storageStats": [:]]]], command: context.scan
    ).next()?["storageStats"]?.documentValue
    return (stats?["storageSize"]?.integerValue, stats?["totalIndexSize"]?.integerValue)
  }
}
