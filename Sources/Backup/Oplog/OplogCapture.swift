internal import BSON
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
    /// The majority point may stand still for so long before it is told.
    public var majorityPatience: Duration = .seconds(60)
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
    let chain = try ownChain(id)
    // What a run that died was writing.
    store.removeEmptyFolder("oplog/" + id)

    var builder = SliceBuilder(
      store: store, lock: lock, options: options, replicaSetID: id, serverVersion: identity.1)
    var resume = try startingPoint(chain)
    builder.begin(isNew: resume.isNew)
    tellFilter(chain)
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

  /// - Throws: ``BackupError`` `.conflict` when the store has chains, and none of this replica set.
  private func ownChain(_ id: String) throws(BackupError) -> SliceChain {
    let chains = try SliceCatalog(store).chains()
    if let own = chains.first(where: { $0.replicaSetID == id }) { return own }
    guard !options.acceptsOtherChains, !chains.isEmpty else {
      return SliceChain(replicaSetID: id, slices: [])
    }
    throw BackupError(
      .conflict,
      "the store holds the oplog of another replica set (\(chains[0].replicaSetID)), this one is \(id)",
      path: store.location,
      hint: "use a store of its own, or add --new-chain if the replica set was initiated anew")
  }

  /// Slices of another filter go on with the chain, and lead nowhere for what they leave out.
  private func tellFilter(_ chain: SliceChain) {
    guard let before = chain.slices.last?.databases,
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

  private func startingPoint(_ chain: SliceChain) throws -> (time: Timestamp, isNew: Bool) {
    if !chain.newer.isEmpty {
      options.notice?(
        "\(chain.newer.count) slices were written by a newer version: going on after the last one that "
          + "this one can read")
    }
    if let last = chain.runs.last?.end { return (last, false) }
    return (try freshStart(chain.replicaSetID, after: nil), true)
  }

  /// The newest base that the oplog still reaches, else the majority point.
  private func freshStart(_ id: String, after: Timestamp?) throws -> Timestamp {
    let bases = try Catalog(store).sets().filter {
      RestorableWindows.isBase($0) && $0.manifest?.server?.replicaSetID == id
    }
    return try pool.withClient { client in
      let oldest = try ReplicaSet.oldestEntry(client)
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
    var watch = MajorityWatch(patience: options.majorityPatience)
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
            let end = wasOverlap && time == resume ? nil : try TimelineEnd(entry: raw)
            try builder.add(raw, time, ending: end)
            if let end {
              options.notice?(
                "\(end.backup) was restored: to recover to a later moment a new backup is needed "
                  + "(martlet backup run)")
            }
            last = time
          }
        }
        resume = max(resume, last)
        if got == nil, wasOverlap, !cursor.isOpen {
          throw BackupError(.gap, "the oplog rolled over")
        }
        try builder.closeIfDue()
        if let told = try watch.look(client) { options.notice?(told) }
      }
    } catch let error as MongoError where [136, 43, 175, 286].contains(error.code) {
      // 136: the cursor's place was overwritten; looked at again from the overlap, which tells.
    }
  }
}
