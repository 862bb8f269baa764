internal import BSON
internal import Fingerprint
internal import MongoDB

/// Takes the snapshot of a database: every document is read once.
struct Snapshotter {
  let context: CheckContext
  /// All collections are read as they were at this time; set by the first read.
  private var time: Timestamp?
  /// False where the server has no such reads, or no longer has that time.
  private var isOneMoment: Bool

  init(context: CheckContext) {
    self.context = context
    // Since 5.0 outside of transactions.
    var hasSnapshots = context.server.version >= ServerVersion(5, 0)
    if case .standalone = context.server.topology { hasSnapshots = false }
    isOneMoment = hasSnapshots
  }

  /// What one pass over a collection gives.
  struct Pass {
    var tally = CollectionTally()
    /// Documents whose field names were looked at.
    var inspected: Int64 = 0
    var oddNames: Int64 = 0
    var oddIDs: [Value] = []
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
      let (entry, result) = try collection(info)
      collections.append(entry)
      if let result { results.append(result) }
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
    entry.indexes = try context.indexes(info.name).filter { $0.buildUUID == nil }.map(\.spec)
    let stored = info.type == .timeseries ? "system.buckets.\(info.name)" : info.name
    let pass: Pass
    do {
      pass = try read(stored)
    } catch is TimeIsUp {
      return (
        entry,
        .skipped(
          "snapshot", info.name, "the time budget was used up: no fingerprint of this collection")
      )
    }
    entry.count = pass.tally.count
    entry.bytes = pass.tally.bytes
    entry.fingerprint = pass.tally.fingerprint.description
    (entry.storageSize, entry.indexSize) = sizes(stored)
    guard info.type == .collection, !info.name.hasPrefix("system.") else { return (entry, nil) }
    var result = names(info.name, pass)
    result.duration = Int64((ContinuousClock.now - start).milliseconds)
    return (entry, result)
  }

  /// One cursor in the collection's own order: as fast as the server gives documents away.
  mutating func read(_ collection: String) throws -> Pass {
    context.current = ("snapshot", collection)
    try context.checkTime()
    guard isOneMoment else { return try read(collection, context.scan) }
    var options = context.scan
    var concern: Document = ["level": "snapshot"]
    if let time { concern.append("atClusterTime", .timestamp(time)) }
    options.readConcern = concern
    do {
      return try read(collection, options)
    } catch let error as MongoError where Self.isGone(error) {
      // A capped collection, or a time that the server no longer keeps.
      isOneMoment = false
      return try read(collection, context.scan)
    }
  }

  /// InvalidOptions, OptionNotSupportedOnView, SnapshotTooOld, SnapshotUnavailable, ….
  private static func isGone(_ error: MongoError) -> Bool {
    error.kind == .server && [72, 115, 167, 239, 246].contains(error.code)
  }

  private mutating func read(_ collection: String, _ options: CommandOptions) throws -> Pass {
    let total = try context.database.estimatedCount(collection)
    let cursor = try context.database.find(collection, command: options)
    if time == nil { time = cursor.atClusterTime }
    var pass = Pass()
    let isSmall = total <= 10_000
    while true {
      let batch: Void? = try cursor.nextBatch { raw in
        try raw.visit { document in
          pass.tally.add(document: document)
          if isSmall || pass.tally.count & 15 == 0 { try inspect(document, &pass) }
        }
      }
      guard batch != nil else { return pass }
      context.report(done: pass.tally.count, total: total)
      try context.checkTime()
    }
  }

  /// Names that queries and updates cannot address.
  private func inspect(_ document: UnsafeRawBufferPointer, _ pass: inout Pass) throws {
    pass.inspected += 1
    let view = try DocumentView(document)
    guard try Self.hasOddName(view, isArray: false, depth: 0) else { return }
    pass.oddNames += 1
    if pass.oddIDs.count < context.options.evidenceRows,
      let id = try DocumentView(document).first("_id")
    {
      pass.oddIDs.append(try id.value())
    }
  }

  /// Empty, dotted, `$…`; digits, which a path takes for a position in an array.
  private static func hasOddName(
    _ view: DocumentView, isArray: Bool, depth: Int
  ) throws -> Bool {
    var iterator = view.makeIterator()
    while let element = try iterator.next() {
      if !isArray {
        let name = element.keyBytes
        if name.isEmpty || name.first == UInt8(ascii: "$") || name.contains(UInt8(ascii: "."))
          || name.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        {
          return true
        }
      }
      // DBRefs have names of their own; what is deeper than the server allows is not there.
      guard depth < 200, element.type == .document || element.type == .array,
        let inner = try element.nested()
      else { continue }
      if element.type == .document, let first = try inner.first("$ref"), first.type == .string {
        continue
      }
      if try hasOddName(inner, isArray: element.type == .array, depth: depth + 1) { return true }
    }
    return false
  }

  private func names(_ collection: String, _ pass: Pass) -> CheckResult {
    let amount = Amount(pass.inspected, "documents")
    let sure: Certainty =
      pass.inspected == pass.tally.count ? .exact : .sample(of: pass.inspected)
    guard pass.oddNames > 0 else {
      return .passed(
        "field-names", collection, "no field name is empty, dotted, all digits or begins with $",
        lookedAt: amount, certainty: sure)
    }
    return .found(
      "field-names", collection, .warning,
      "\(Words.counted(pass.oddNames, "documents")) with an empty, dotted or all-digit field name, or one with $",
      lookedAt: amount, certainty: sure, findings: pass.oddNames, evidence: .ids(pass.oddIDs),
      cause: "keys of the application's data were used as field names",
      fix: "rename the fields, with $setField and $getField where updates cannot name them")
  }

  /// On disk; nil where the server does not tell.
  private func sizes(_ collection: String) -> (Int64?, Int64?) {
    let stats = try? context.database.aggregate(
      collection, pipeline: [["$collStats": ["storageStats": [:]]]], command: context.scan
    ).next()?["storageStats"]?.documentValue
    return (stats?["storageSize"]?.integerValue, stats?["totalIndexSize"]?.integerValue)
  }
}
