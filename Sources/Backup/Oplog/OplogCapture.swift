public import BSON
internal import Dump
public import MongoDB

/// Copies the oplog of a replica set into slices, for as long as it runs.
///
/// Majority-committed entries only, so that nothing that is rolled back gets in and a failover makes no
/// gap. - Source: consistency.md, "Capture".
public struct OplogCapture: Sendable {
  /// How slices are cut.
  public struct Options: Sendable {
    /// A slice is closed when it is this old.
    public var slice: Duration = .seconds(60)
    /// … or has so many bytes of BSON.
    public var sliceBytes = 32 << 20
    /// Only entries of these; all when empty.
    public var databases: [String] = []
    public var age = Age()
    /// Begin a chain although the store holds one of another replica set.
    public var acceptsOtherChains = false
    /// Ends when this much has been captured; nil goes on until cancelled. For tests and catching up.
    public var until: (@Sendable () -> Bool)?
    public var cancellation = Cancellation()
    /// Told of every slice.
    public var sliced: (@Sendable (Slice) -> Void)?
    public var notice: (@Sendable (String) -> Void)?

    public init() {}
  }

  private let store: any Store
  private let pool: ClientPool
  private let options: Options

  public init(_ store: any Store, pool: ClientPool, options: Options) {
    self.store = store
    self.pool = pool
    self.options = options
  }

  /// Captures until it is cancelled, then closes the slice that is open. Blocks.
  ///
  /// Lost connections are tried again for ever; an oplog that has rolled over is a gap, which is told and
  /// shows in the chain.
  /// - Throws: ``BackupError`` `.conflict`, `.locked`, `.store`; ``MongoError`` for what does not pass.
  public func run() throws {
    let identity = try pool.withClient { client in
      (try ReplicaSet.id(client), try client.hello().version.description)
    }
    guard let id = identity.0 else {
      throw BackupError(
        .notReady, "only a replica set has an oplog to capture",
        hint: "start mongod with --replSet and run rs.initiate(); one member is enough")
    }
    let lock = try StoreLock.acquire(
      store, area: "oplog-" + id, purpose: "oplog run", cancellation: options.cancellation)
    defer { lock.release() }
    try refuseOthers(id)

    var builder = SliceBuilder(
      store: store, options: options, replicaSetID: id, serverVersion: identity.1)
    var resume = try startingPoint(id)
    builder.begin(isNew: resume.isNew)
    try tellFilter(id)
    var pause: UInt32 = 250
    while !isOver {
      do {
        try pool.withClient { try follow($0, &resume.time, &builder) }
        pause = 250
      } catch let error as BackupError where error.code == .gap {
        try builder.close()
        let fresh = try freshStart(id, after: resume.time)
        options.notice?(
          "the oplog rolled over: what happened between \(OplogTime.text(resume.time)) and "
            + "\(OplogTime.text(fresh)) is lost; take a new backup")
        resume = (fresh, true)
        builder.begin(isNew: true)
      } catch let error as MongoError where error.isNetwork || error.isNotPrimary {
        options.notice?("connection lost, trying again: \(error.message)")
        let end = Moment.ticks() + Int64(pause)
        while Moment.ticks() < end, !isOver { Pause.milliseconds(50) }
        pause = min(pause * 2, 10_000)
      }
    }
    try builder.close()
  }

  private var isOver: Bool { options.cancellation.isCancelled || options.until?() == true }

  private func refuseOthers(_ id: String) throws(BackupError) {
    let chains = try SliceCatalog(store).chains()
    guard !options.acceptsOtherChains, !chains.isEmpty,
      !chains.contains(where: { $0.replicaSetID == id })
    else { return }
    throw BackupError(
      .conflict,
      "the store holds the oplog of another replica set (\(chains[0].replicaSetID)), this one is \(id)",
      path: store.location,
      hint: "use a store of its own, or add --new-chain if the replica set was initiated anew")
  }

  /// Slices of another filter go on with the chain, and lead nowhere for what they leave out.
  private func tellFilter(_ id: String) throws(BackupError) {
    guard let before = try SliceCatalog(store).chain(id).slices.last?.databases,
      Set(before) != Set(options.databases)
    else { return }
    func text(_ names: [String]) -> String {
      names.isEmpty ? "all databases" : names.joined(separator: ", ")
    }
    options.notice?(
      "slices held \(text(before)) so far, and \(text(options.databases)) from here: take a new backup "
        + "if what can be recovered to is to go on")
  }

  // MARK: - Where to begin

  private func startingPoint(_ id: String) throws -> (time: Timestamp, isNew: Bool) {
    if let last = try SliceCatalog(store).chain(id).runs.last?.end {
      return (last, false)
    }
    return (try freshStart(id, after: nil), true)
  }

  /// The newest base that the oplog still reaches, else the majority point.
  private func freshStart(_ id: String, after: Timestamp?) throws -> Timestamp {
    let bases = try Catalog(store).sets().filter {
      RestorableWindows.isBase($0) && $0.manifest?.server?.replicaSetID == id
    }
    return try pool.withClient { client in
      let oldest = try client.database("local").findOne(
        "oplog.rs", options: ["sort": ["$natural": 1]])?["ts"]?.timestampValue
      let reached = bases.filter { base in
        guard let start = base.manifest?.consistency?.replayStart, let oldest else { return false }
        return oldest <= start && after.map { $0 < start } ?? true
      }
      if let start = Self.start(reached) {
        // A cluster time need not be an entry's: begin at the last one at or before it.
        let entry = try client.database("local").findOne(
          "oplog.rs", filter: ["ts": ["$lte": .timestamp(start)]],
          options: ["sort": ["$natural": -1]])
        if let time = entry?["ts"]?.timestampValue { return time }
      }
      guard let majority = try client.hello().majorityTime else {
        throw BackupError(.notReady, "the server does not tell its majority point")
      }
      return majority
    }
  }

  /// That of the newest whole one, else of the oldest among the newest of each database.
  /// - Parameter bases: newest first.
  private static func start(_ bases: [BackupSet]) -> Timestamp? {
    func start(_ base: BackupSet) -> Timestamp? { base.manifest?.consistency?.replayStart }
    if let whole = bases.first(where: { $0.manifest?.database == nil }) { return start(whole) }
    var seen: Set<String?> = []
    return bases.filter { seen.insert($0.manifest?.database).inserted }.compactMap(start).min()
  }

  // MARK: - Following

  private func follow(_ client: Client, _ resume: inout Timestamp, _ builder: inout SliceBuilder)
    throws
  {
    let find: Document = [
      "find": "oplog.rs", "filter": ["ts": ["$gte": .timestamp(resume)]], "tailable": true,
      "awaitData": true, "batchSize": 1000, "readConcern": ["level": "majority"],
    ]
    let cursor = try client.cursor(find, on: "local")
    cursor.awaitTime = .milliseconds(500)
    var isOverlap = true
    do {
      while cursor.isOpen || isOverlap, !isOver {
        let wasOverlap = isOverlap
        var last = resume
        let got: Void? = try cursor.nextBatch { batch in
          var entries = batch.makeIterator()
          while let raw = try entries.next() {
            guard let time = try DocumentView(raw).first("ts")?.value().timestampValue else {
              throw BackupError(.damaged, "an oplog entry without a time")
            }
            if isOverlap {
              guard time == resume else { throw BackupError(.gap, "the oplog rolled over") }
              isOverlap = false
              if !builder.isEmpty { continue }
            }
            try builder.add(raw, time)
            last = time
          }
        }
        resume = max(resume, last)
        if got == nil, wasOverlap, !cursor.isOpen {
          throw BackupError(.gap, "the oplog rolled over")
        }
        try builder.closeIfDue()
      }
    } catch let error as MongoError where [136, 43, 175, 286].contains(error.code) {
      // 136: the cursor's place was overwritten; looked at again from the overlap, which tells.
    }
  }
}

/// Collects entries and writes them as slices.
private struct SliceBuilder {
  let store: any Store
  let options: OplogCapture.Options
  let replicaSetID: String
  let serverVersion: String

  private var bytes: [UInt8] = []
  private var count: Int64 = 0
  private var start: Timestamp?
  private var end: Timestamp?
  /// The last entry: the next slice begins with it.
  private var lastEntry: [UInt8] = []
  private var isFiltered = false
  private var begun = Moment.ticks()
  private var isNew = true

  init(
    store: any Store, options: OplogCapture.Options, replicaSetID: String, serverVersion: String
  ) {
    self.store = store
    self.options = options
    self.replicaSetID = replicaSetID
    self.serverVersion = serverVersion
  }

  /// True when the overlap entry is still wanted.
  var isEmpty: Bool { start == nil }

  mutating func begin(isNew: Bool) {
    self.isNew = isNew
    reset()
    start = nil
    end = nil
    lastEntry = []
  }

  private mutating func reset() {
    bytes.removeAll(keepingCapacity: true)
    count = 0
    begun = Moment.ticks()
  }

  mutating func add(_ raw: UnsafeRawBufferPointer, _ time: Timestamp) throws {
    dropFiltered()
    let isWanted = try isWanted(raw)
    if isWanted || start == nil {
      lastEntry = try options.databases.isEmpty ? [UInt8](raw) : withoutOthers(raw)
    } else {
      // Its time is evidence of contiguity; what it did is none of ours.
      lastEntry =
        (["ts": .timestamp(time), "op": "n", "ns": "", "o": Value.document([:])] as Document).bytes
    }
    isFiltered = !isWanted && start != nil
    bytes += lastEntry
    count += 1
    if start == nil { start = time }
    end = time
    if bytes.count >= options.sliceBytes { try close() }
  }

  /// A left-out entry stays only while it is the last.
  private mutating func dropFiltered() {
    guard isFiltered, count > 1 else { return }
    bytes.removeLast(lastEntry.count)
    count -= 1
  }

  private func isWanted(_ raw: UnsafeRawBufferPointer) throws -> Bool {
    if options.databases.isEmpty { return true }
    let view = try DocumentView(raw)
    guard let name = try view.first("ns")?.value().stringValue else { return true }
    let database = name.prefix { $0 != "." }
    // Transactions stand in admin.$cmd, whatever they write to.
    if options.databases.contains(String(database)) || name == "admin.$cmd" { return true }
    return try view.first("op")?.value().stringValue == "n"
  }

  /// A transaction without what it did in other databases. Empty parts stay: the last one commits it.
  private func withoutOthers(_ raw: UnsafeRawBufferPointer) throws -> [UInt8] {
    let entry = try Document(bytes: [UInt8](raw))
    guard entry["ns"]?.stringValue == "admin.$cmd", var object = entry["o"]?.documentValue,
      let operations = object["applyOps"]?.arrayValue
    else { return entry.bytes }
    let kept = operations.filter { operation in
      let name = operation.documentValue?["ns"]?.stringValue ?? ""
      return options.databases.contains(String(name.prefix { $0 != "." }))
    }
    guard kept.count < operations.count else { return entry.bytes }
    object["applyOps"] = .array(kept)
    var out = entry
    out["o"] = .document(object)
    return out.bytes
  }

  mutating func closeIfDue() throws {
    let age = Moment.ticks() - begun
    if age >= options.slice.components.seconds * 1000 + 1 { try close() }
  }

  /// Writes what there is, data first and description last; nothing when only the overlap is there.
  mutating func close() throws {
    begun = Moment.ticks()
    guard let start, let end, start < end || (isNew && count > 0) else { return }
    var slice = Slice(
      replicaSetID: replicaSetID, start: start, end: end, count: count, bytes: Int64(bytes.count),
      digest: FileDigest(size: 0, sha256: ""), isEncrypted: options.age.encrypts,
      beginsChain: isNew, databases: options.databases, serverVersion: serverVersion)
    slice.digest = try write(slice.dataName)
    try store.put(slice.descriptionName, bytes: SealedText.seal(slice.document))
    options.sliced?(slice)
    isNew = false
    isFiltered = false
    reset()
    bytes = lastEntry
    count = 1
    self.start = end
  }

  private func write(_ name: String) throws -> FileDigest {
    let writer = try store.put(name, size: nil)
    let hashing = HashingSink(writer)
    var filters: [FilterSink] = []
    do {
      var sink: any ByteSink = hashing
      if options.age.encrypts {
        let filter = try options.age.encrypting(to: sink)
        filters.insert(filter, at: 0)
        sink = filter
      }
      let gzip = try FilterSink(["gzip", "-c", "-3"], to: sink)
      filters.insert(gzip, at: 0)
      try gzip.write(all: bytes)
      for filter in filters { try filter.finish() }
      try writer.commit()
      return hashing.digest
    } catch {
      for filter in filters { filter.abandon() }
      writer.discard()
      throw error
    }
  }
}

/// What has been captured, for people and scripts.
public struct OplogStatus: Sendable {
  public var chains: [SliceChain]
  public var windows: [RestorableWindow]
  /// Behind the server's majority point, in seconds; nil without a server or a chain of it.
  public var lag: Int64?

  /// Reads a store; the server only when there is one.
  public static func read(_ store: any Store, pool: ClientPool? = nil) throws -> OplogStatus {
    let chains = try SliceCatalog(store).chains()
    var status = OplogStatus(
      chains: chains, windows: RestorableWindows.all(try Catalog(store).sets(), chains), lag: nil)
    guard let pool else { return status }
    let live = try pool.withClient { client in
      (try ReplicaSet.id(client), try client.hello().majorityTime)
    }
    let chain = chains.first { $0.replicaSetID == live.0 }
    if let end = chain?.runs.last?.end, let now = live.1 {
      status.lag = max(0, Int64(now.seconds) - Int64(end.seconds))
    }
    return status
  }

  /// Stored bytes of a chain for each day that it covers.
  public static func bytesPerDay(_ chain: SliceChain) -> Int64? {
    guard let first = chain.slices.first, let last = chain.slices.last else { return nil }
    let seconds = Int64(last.end.seconds) - Int64(first.start.seconds)
    guard seconds > 0 else { return nil }
    return chain.slices.reduce(0) { $0 + $1.digest.size } * 86_400 / seconds
  }
}

/// The mark that a migration leaves in the oplog before it begins.
public struct MigrationMark: Sendable, Hashable {
  /// Of the oplog that ``time`` is a time of.
  public let replicaSetID: String
  public let time: Timestamp

  /// The newest mark of that name, in the captured oplog of one replica set.
  ///
  /// That of the live server, when the store has slices of it; only then may a ledger, whose mark is
  /// `ledger`, be believed. Restoring to another server the store alone tells. Blocks.
  /// - Throws: ``BackupError`` `.notFound`, `.usage` when several replica sets have such a mark.
  public static func find(
    _ name: String, in store: any Store, age: Age = Age(), pool: ClientPool, ledger: Timestamp?
  ) throws -> MigrationMark {
    let chains = try SliceCatalog(store).chains()
    let live = try pool.withClient { try ReplicaSet.id($0) }
    if let own = chains.first(where: { $0.replicaSetID == live }) {
      if let time = try ledger ?? newest(name, own, store, age) {
        return MigrationMark(replicaSetID: own.replicaSetID, time: time)
      }
      throw none(name)
    }
    let found = try chains.compactMap { chain in
      try newest(name, chain, store, age).map { (chain.replicaSetID, $0) }
    }
    guard let first = found.first else { throw none(name) }
    guard found.count == 1 else {
      throw BackupError(
        .usage, "the oplogs of \(found.count) replica sets have a mark of the migration '\(name)'",
        hint: "recover with --to-time and a backup's id: "
          + found.map { "\($0.0) at \(OplogTime.text($0.1))" }.joined(separator: ", "))
    }
    return MigrationMark(replicaSetID: first.0, time: first.1)
  }

  private static func none(_ name: String) -> BackupError {
    BackupError(
      .notFound, "the captured oplog has no mark of the migration '\(name)'",
      hint: "martlet oplog run must have been running; else recover with --to-time")
  }

  private static func newest(
    _ name: String, _ chain: SliceChain, _ store: any Store, _ age: Age
  ) throws -> Timestamp? {
    for slice in chain.slices.reversed() {
      var found: Timestamp?
      try SliceReader(store, age: age).forEach(slice) { time, raw in
        guard raw.count < 4096 else { return }
        let entry = try Document(bytes: [UInt8](raw))
        guard entry["op"]?.stringValue == "n",
          let mark = entry["o"]?.documentValue?["martlet"]?.documentValue,
          mark["migration"]?.stringValue == name, mark["event"]?.stringValue == "before"
        else { return }
        found = time
      }
      if let found { return found }
    }
    return nil
  }
}
