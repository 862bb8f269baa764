internal import BSON
import Fingerprint
internal import MongoDB

/// One load under way: the phases of ``Loader`` in their order.
struct LoadRun: Sendable {
  let pool: ClientPool
  let options: LoadOptions
  let items: [LoadItem]
  let server: ServerDescription
  let chunks: ChunkPool
  private let queue: BatchQueue
  let account: Monitor<Account>
  /// Nil until something was replayed.
  let catalog: Monitor<ReplayCatalog?>
  private let spool: Monitor<OplogSpool?>

  struct Account {
    var inserted: [Int64]
    var failed: [Int64]
    var indexes: [Int]
    var progress: LoadProgress
    var notices: [String] = []
    /// `expireAfterSeconds` of the clustered collections and time-series that were made.
    var expiries: [Namespace: Value] = [:]
    var indexFailures: [(namespace: Namespace, error: MongoError)] = []
  }

  init(
    pool: ClientPool, options: LoadOptions, items: [LoadItem], server: ServerDescription,
    chunks: ChunkPool, expected: Int64?
  ) {
    self.pool = pool
    self.options = options
    self.items = items
    self.server = server
    self.chunks = chunks
    queue = BatchQueue(ordered: Set(items.indices.filter { items[$0].isOrdered(options) }))
    account = Monitor(
      Account(
        inserted: Array(repeating: 0, count: items.count),
        failed: Array(repeating: 0, count: items.count),
        indexes: Array(repeating: 0, count: items.count),
        progress: LoadProgress(
          documents: 0, bytes: 0, expectedBytes: expected, namespace: Namespace("", ""))))
    catalog = Monitor(nil)
    spool = Monitor(nil)
  }

  // MARK: - Before

  /// Refuses what cannot go well, before anything is written.
  func check() throws {
    if options.replaysOplog, options.oplogFile == nil, !items.contains(where: { $0.role == .oplog })
    {
      throw DumpError(.usage, "there is no oplog in the dump to replay")
    }
    if case .database = options.usersAndRoles, !items.contains(where: { $0.role == .users }) {
      throw DumpError(.usage, "there are no users in the dump to load")
    }
    if options.replaysOplog, server.topology == .sharded {
      throw DumpError(.usage, "an oplog cannot be replayed through a mongos")
    }
    try pool.withClient { client in
      try CollectionCreator(client: client, options: options, server: server).check(items)
    }
  }

  func dryRun() -> LoadSummary {
    var summary = LoadSummary()
    summary.isDryRun = true
    summary.hasUsers = !userRoles.isEmpty
    summary.collections = items.filter { $0.role == .collection || $0.role == .view }.map {
      LoadSummary.Collection(
        source: $0.source, target: $0.target, tally: CollectionTally(), inserted: 0, failed: 0,
        indexes: 0)
    }
    return summary
  }

  /// Makes the collections, several at a time: a dump may have thousands.
  func createCollections() throws {
    try parallel(items.indices.filter { items[$0].role == .collection }) { client, index in
      let item = items[index]
      let isNew = try CollectionCreator(client: client, options: options, server: server)
        .create(item)
      if isNew, !options.skipsOptions, let expiry = item.metadata.options?["expireAfterSeconds"] {
        account.withLock { $0.expiries[item.target] = expiry }
      }
    }
    if items.contains(where: { UsersLoader.target(of: $0.role) != nil }) {
      try pool.withClient { try UsersLoader(client: $0, options: options).clear() }
    }
  }

  // MARK: - Documents

  /// Feeds and inserts; returns what the dump holds.
  func insert(_ feed: (LoadFeed, [LoadItem]) throws -> LoadFeed.Tallies) throws
    -> LoadFeed.Tallies
  {
    if options.replaysOplog {
      let file = try OplogSpool(directory: options.spoolDirectory)
      spool.withLock { $0 = file }
    }
    let source = LoadFeed(
      items: items, queue: queue, pool: chunks, options: options, spool: spool.withLock { $0 })
    let failure = Monitor<(any Error)?>(nil)
    let threads = (0..<options.insertThreads).compactMap { _ in
      WorkerThread {
        do { try work() } catch {
          failure.withLock { if $0 == nil { $0 = error } }
          queue.stop()
          chunks.stop()
        }
      }
    }
    guard !threads.isEmpty else { throw DumpError(.file, "the system gives no thread to insert") }
    var tallies: LoadFeed.Tallies = []
    do {
      tallies = try feed(source, items)
      queue.close()
    } catch {
      // What stopped the workers is the cause; the feed has only met its consequence.
      failure.withLock { if $0 == nil { $0 = error } }
      queue.stop()
    }
    for thread in threads { thread.join() }
    if let error = failure.withLock({ $0 }) { throw error }
    return tallies
  }

  private func work() throws {
    try pool.withClient { client in
      let worker = InsertWorker(client: client, options: options)
      while let work = queue.next() {
        defer { queue.done(work) }
        try options.cancellation.check()
        switch work {
        case .insert(let batch): try insert(batch, worker)
        case .finish(let index):
          // With a replay the indexes wait for it: it may change them.
          if !options.replaysOplog { try buildIndexes(of: index, client) }
        }
      }
    }
  }

  private func insert(_ batch: LoadBatch, _ worker: InsertWorker) throws {
    var item = items[batch.item]
    if let target = UsersLoader.target(of: item.role) { item = item.redirected(to: target) }
    let outcome = try worker.insert(batch, into: item)
    let progress = account.withLock { account in
      account.inserted[batch.item] += outcome.inserted
      account.failed[batch.item] += outcome.failed
      account.progress.documents += outcome.inserted + outcome.failed
      account.progress.bytes += Int64(batch.bytes.count)
      account.progress.namespace = item.target
      return account.progress
    }
    options.progress?(progress)
  }

  // MARK: - After

  /// Applies the dump's oplog or another; returns the number of entries.
  func replay() throws -> Int64 {
    guard options.replaysOplog else { return 0 }
    var catalog = ReplayCatalog()
    for item in items where item.role == .collection {
      catalog.set(item.target, item.metadata.indexes)
    }
    for (target, expiry) in account.withLock({ $0.expiries }) {
      catalog.expire(target, after: expiry)
    }
    for item in items where item.role == .view {
      catalog.addView(item.target, of: item.source.database)
    }
    let replayed = try pool.withClient { client in
      var replayer = OplogReplayer(
        client: client, options: options, server: server.version, catalog: catalog)
      replayer.cappedUpTo = try cappedUpTo(client)
      try forEachEntry { raw in
        try replayer.add(raw)
        return !replayer.isFinished
      }
      try replayer.finish()
      catalog = replayer.finalCatalog
      return replayer.applied
    }
    self.catalog.withLock { $0 = catalog }
    return replayed
  }

  /// Entries to be replayed, until `body` returns false.
  private func forEachEntry(_ body: (UnsafeRawBufferPointer) throws -> Bool) throws {
    if let path = options.oplogFile { return try OplogFile.forEach(path: path, body) }
    var goesOn = true
    try spool.withLock({ $0 })?.forEach(upTo: nil) { raw in
      if goesOn { goesOn = try body(raw) }
    }
  }

  private func cappedUpTo(_ client: Client) throws -> [Namespace: Timestamp] {
    let capped = items.filter { item in
      item.role == .collection && item.metadata.options?["capped"]?.isTruthy == true
    }
    guard !capped.isEmpty else { return [:] }
    var scan = CappedScan(client: client, options: options, collections: Set(capped.map(\.target)))
    try forEachEntry { try scan.add($0) }
    try scan.finish()
    return scan.upTo
  }

  /// Views after all collections: those that show other views need them.
  func createViews() throws {
    let views = items.indices.filter { items[$0].role == .view }
    guard !views.isEmpty else { return }
    try pool.withClient { client in
      let creator = CollectionCreator(client: client, options: options, server: server)
      for index in views { _ = try creator.create(items[index]) }
    }
  }

  private var userRoles: Set<LoadItem.Role> {
    Set(items.map(\.role)).intersection([.users, .roles])
  }

  func mergeUsers() throws {
    let roles = userRoles
    guard !roles.isEmpty else { return }
    try pool.withClient { client in
      try UsersLoader(client: client, options: options).merge(roles)
    }
  }

  func summary(_ tallies: LoadFeed.Tallies, _ replayed: Int64) -> LoadSummary {
    let account = self.account.withLock { $0 }
    var summary = LoadSummary()
    summary.hasUsers = !userRoles.isEmpty
    summary.replayed = replayed
    summary.notices = account.notices
    let replayed = catalog.withLock { $0 }
    var seen: Set<Namespace> = []
    for (index, item) in items.enumerated() where item.role == .collection || item.role == .view {
      var collection = LoadSummary.Collection(
        source: item.source, target: item.target, tally: tallies[index],
        inserted: account.inserted[index], failed: account.failed[index],
        indexes: account.indexes[index])
      collection.indexSpecs = replayed?.indexes(of: item.target) ?? item.metadata.indexes
      collection.expireAfterSeconds =
        replayed.map { $0.expiry(of: item.target) } ?? account.expiries[item.target]
      collection.isView = replayed.map { $0.isView(item.target) } ?? (item.role == .view)
      if let replayed {
        collection.isReplayed = replayed.isChanged(item.target)
        collection.isGone = !replayed.holds(item.target)
      }
      seen.insert(item.target)
      summary.collections.append(collection)
    }
    for namespace in replayed?.all ?? [] where !seen.contains(namespace) {
      // Made by the replay.
      var collection = LoadSummary.Collection(
        source: replayed?.source(of: namespace) ?? namespace, target: namespace,
        tally: CollectionTally(), inserted: 0, failed: 0, indexes: 0)
      collection.indexSpecs = replayed?.indexes(of: namespace) ?? []
      collection.expireAfterSeconds = replayed?.expiry(of: namespace)
      collection.isView = replayed?.isView(namespace) ?? false
      collection.isReplayed = true
      summary.collections.append(collection)
    }
    return summary
  }

  /// Does something for each index, `options.parallel` at a time.
  func parallel(_ indices: [Int], _ body: @escaping @Sendable (Client, Int) throws -> Void)
    throws
  {
    guard !indices.isEmpty else { return }
    let next = Monitor(0)
    let bodies = (0..<min(options.parallel, indices.count)).map { _ in
      { @Sendable in
        try pool.withClient { client in
          while true {
            try options.cancellation.check()
            let place = next.withLock { place in
              defer { place += 1 }
              return place
            }
            guard place < indices.count else { return }
            try body(client, indices[place])
          }
        }
      }
    }
    try WorkerThreads.run(bodies) { _ in next.withLock { $0 = .max / 2 } }
  }
}

extension LoadItem {
  func redirected(to namespace: Namespace) -> LoadItem {
    LoadItem(
      source: source, sourceData: sourceData, metadata: metadata, role: role, target: namespace,
      targetData: namespace, file: file)
  }
}
