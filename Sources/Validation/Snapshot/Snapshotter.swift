internal import BSON
internal import Fingerprint
internal import MongoDB

/// Takes the snapshot of a database: every document is read once.
struct Snapshotter {
  let context: CheckContext

  /// What one pass over a collection gives.
  struct Pass {
    var tally = CollectionTally()
    /// Documents whose field names were looked at.
    var inspected: Int64 = 0
    var oddNames: Int64 = 0
    var oddIDs: [Value] = []
  }

  /// - Parameter own: collections of the tool itself, which are left out.
  func snapshot(
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
    let snapshot = Snapshot(
      takenAt: context.options.now(), database: context.database.name, server: facts,
      collections: collections, queries: queries)
    return (snapshot, results)
  }

  private func collection(_ info: CollectionInfo) throws -> (CollectionSnapshot, CheckResult?) {
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
  func read(_ collection: String) throws -> Pass {
    context.current = ("snapshot", collection)
    try context.checkTime()
    let total = try context.database.estimatedCount(collection)
    let cursor = try context.database.find(collection, command: context.scan)
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
    var isOdd = false
    var iterator = try DocumentView(document).makeIterator()
    while let element = try iterator.next() {
      let name = element.keyBytes
      if name.isEmpty || name.first == UInt8(ascii: "$") || name.contains(UInt8(ascii: ".")) {
        isOdd = true
        break
      }
    }
    guard isOdd else { return }
    pass.oddNames += 1
    if pass.oddIDs.count < context.options.evidenceRows,
      let id = try DocumentView(document).first("_id")
    {
      pass.oddIDs.append(try id.value())
    }
  }

  private func names(_ collection: String, _ pass: Pass) -> CheckResult {
    let amount = Amount(pass.inspected, "documents")
    let sure: Certainty =
      pass.inspected == pass.tally.count ? .exact : .sample(of: pass.inspected)
    guard pass.oddNames > 0 else {
      return .passed(
        "field-names", collection, "no field name is empty, dotted or begins with $",
        lookedAt: amount, certainty: sure)
    }
    return .found(
      "field-names", collection, .warning,
      "\(Words.counted(pass.oddNames, "documents")) with an empty or dotted field name, or one with $",
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
