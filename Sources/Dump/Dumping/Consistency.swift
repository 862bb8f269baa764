internal import BSON
internal import MongoDB

/// What the readers read at; changes at most once, from a snapshot to the oplog mode.
final class ReadPoint: Sendable {
  enum Level: Sendable, Hashable {
    /// As the server is when asked.
    case local
    /// Majority committed, whatever the time; the oplog makes it whole.
    case majority
    /// Everything at this time.
    case snapshot(Timestamp)
  }

  private let state: Monitor<(level: Level, reason: String?)>
  /// A snapshot that cannot be kept may be completed with the oplog.
  let mayChange: Bool

  init(_ level: Level, mayChange: Bool) {
    state = Monitor((level, nil))
    self.mayChange = mayChange
  }

  var level: Level { state.withLock { $0.level } }
  /// Why a snapshot was given up.
  var reason: String? { state.withLock { $0.reason } }

  /// Gives the snapshot up; false when that is not allowed.
  func giveUpSnapshot(_ reason: String) -> Bool {
    guard mayChange else { return false }
    state.withLock { state in
      guard case .snapshot = state.level else { return }
      state = (.majority, reason)
    }
    return true
  }
}

/// What a dump has settled before it reads documents.
struct DumpBasis {
  let plan: [PlannedCollection]
  let point: ReadPoint
  let tail: OplogTail?
  let spool: OplogSpool?
  let server: ServerDescription
  var notices: [String] = []
}

/// Chooses how consistent a dump can be, and fixes its moment. - Source: consistency.md.
struct ConsistencyPlanner {
  let client: Client
  let options: DumpOptions
  /// Where the oplog's spool may stand.
  let spoolDirectory: String
  private var notices: [String] = []

  init(client: Client, options: DumpOptions, spoolDirectory: String) {
    self.client = client
    self.options = options
    self.spoolDirectory = spoolDirectory
  }

  mutating func settle() throws -> DumpBasis {
    let server = try client.hello()
    guard try usesOplog(server) else { return try plain(server) }
    let tail: OplogTail
    let spool = try OplogSpool(directory: spoolDirectory)
    do {
      let start = try startingPoint()
      tail = try OplogTail(pool: client.pool, start: start, filter: filter, spool: spool)
      try tail.wait(for: start)
    } catch let error as MongoError where error.kind == .privilege && isOptional {
      notices.append("the oplog cannot be read, so the dump is not consistent: \(error.message)")
      return try plain(server)
    }
    let plan = try DumpPlanner(client: client, options: options).plan()
    if options.consistency != .oplog {
      if let refusal = try snapshotRefusal(server, plan) {
        switch options.consistency {
        case .snapshot:
          throw DumpError(
            .inconsistent, "a consistent snapshot is not possible: \(refusal)",
            hint:
              "--oplog makes a dump that becomes consistent when it is loaded with --oplogReplay")
        case .best: notices.append("no snapshot: \(refusal); the oplog is dumped with the data")
        default:
          notices.append("not consistent: \(refusal)")
          tail.stop()
          return basis(plan, ReadPoint(.local, mayChange: false), server, nil, nil)
        }
      } else if let (plan, time) = try snapshot(tail, plan) {
        let point = ReadPoint(.snapshot(time), mayChange: options.consistency != .snapshot)
        return basis(plan, point, server, tail, spool)
      } else if options.consistency != .best {
        // Nothing has documents: there is no moment to choose, and nothing for an oplog to complete.
        tail.stop()
        return basis(plan, ReadPoint(.local, mayChange: false), server, nil, nil)
      }
    }
    return basis(plan, ReadPoint(.majority, mayChange: false), server, tail, spool)
  }

  private var isOptional: Bool { options.consistency == .automatic || options.consistency == .best }

  private var filter: OplogFilter {
    let selector = CollectionSelector(options)
    let isOpen = options.database == nil && options.collection == nil
    return OplogFilter(takes: { selector.takesEntry($0) }, isOpen: isOpen)
  }

  private func usesOplog(_ server: ServerDescription) throws(DumpError) -> Bool {
    if options.consistency == .none { return false }
    if case .replicaSet = server.topology { return true }
    guard isOptional else {
      throw DumpError(
        .usage, "only a member of a replica set can be dumped consistently",
        hint: "this server is \(server.topology == .sharded ? "a mongos" : "a standalone")")
    }
    return false
  }

  private func plain(_ server: ServerDescription) throws -> DumpBasis {
    let plan = try DumpPlanner(client: client, options: options).plan()
    return basis(plan, ReadPoint(.local, mayChange: false), server, nil, nil)
  }

  private func basis(
    _ plan: [PlannedCollection], _ point: ReadPoint, _ server: ServerDescription,
    _ tail: OplogTail?, _ spool: OplogSpool?
  ) -> DumpBasis {
    var notices = notices
    if let database = options.database, let collection = options.collection,
      !plan.contains(where: { $0.namespace == Namespace(database, collection) })
    {
      notices.append("there is no \(database).\(collection): the dump is empty")
    }
    return DumpBasis(
      plan: plan, point: point, tail: tail, spool: spool, server: server, notices: notices)
  }

  /// Without the right to see transactions the majority point has to do.
  private func startingPoint() throws -> Timestamp {
    do { return try OplogTail.startingPoint(client) } catch let error as MongoError
      where error.kind == .privilege
    {
      guard let majority = try client.hello().majorityTime else { throw error }
      return majority
    }
  }

  // MARK: - Snapshot

  /// Why a snapshot is out of the question; nil when it is not.
  private func snapshotRefusal(_ server: ServerDescription, _ plan: [PlannedCollection]) throws
    -> String?
  {
    guard server.version >= ServerVersion(5, 0) else {
      return "the server is older than 5.0"
    }
    if let capped = plan.first(where: \.isCapped) {
      return "the capped collection \(capped.namespace) cannot be read at a point in time"
    }
    if options.consistency == .snapshot { return nil }
    let window = historyWindow()
    // The slowest reading that was ever measured on two cores, by a wide margin.
    let seconds = plan.reduce(0) { $0 + $1.size } / (50 << 20)
    guard seconds < window / 2 else {
      return "reading takes longer than half the server's history of \(window) s"
    }
    return nil
  }

  private func historyWindow() -> Int64 {
    let name = "minSnapshotHistoryWindowInSeconds"
    let reply = try? client.run(["getParameter": 1, name: 1] as Document, on: "admin")
    return reply?[name]?.integerValue ?? 300
  }

  /// A time, and a plan that is true at it: nothing was created or dropped between listing and time.
  private func snapshot(_ tail: OplogTail, _ first: [PlannedCollection]) throws -> (
    [PlannedCollection], Timestamp
  )? {
    var plan = first
    var listed = tail.start
    for _ in 0..<10 {
      guard let time = try clusterTime(plan) else { return nil }
      try tail.wait(for: try majorityTime(atLeast: time))
      let events = tail.events(after: listed, to: time).filter(concerns)
      if events.isEmpty { return (plan, time) }
      listed = time
      plan = try DumpPlanner(client: client, options: options).plan()
    }
    throw DumpError(
      .inconsistent, "collections are created or dropped faster than they can be listed",
      hint: "dump with --oplog, or when the application is quieter")
  }

  private func concerns(_ event: SchemaEvent) -> Bool {
    guard let namespace = Namespace(event.namespace) else {
      return CollectionSelector(options).takes(database: event.namespace)
    }
    return filter.isOpen
      ? CollectionSelector(options).takes(database: namespace.database)
      : CollectionSelector(options).takesEntry(namespace)
  }

  /// The time that the first snapshot read of any planned collection gets.
  private func clusterTime(_ plan: [PlannedCollection]) throws -> Timestamp? {
    for collection in plan where !collection.isView {
      let find: Document = [
        "find": .string(collection.source.collection), "limit": 1, "singleBatch": true,
        "projection": ["_id": 1], "readConcern": ["level": "snapshot"],
      ]
      if let time = try client.cursor(find, on: collection.source.database).atClusterTime {
        return time
      }
    }
    return nil
  }

  private func majorityTime(atLeast time: Timestamp) throws -> Timestamp {
    guard let majority = try client.hello().majorityTime else { return time }
    return max(majority, time)
  }
}
