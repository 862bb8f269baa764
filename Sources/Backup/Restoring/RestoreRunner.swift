internal import BSON
internal import Dump
import Fingerprint
public import MongoDB

/// Restores a set, or a set and the oplog after it, into a server.
///
/// Nothing live is touched before everything has been loaded beside it, indexed and compared.
/// - Source: consistency.md, "Restore beside, verify, swap".
public struct RestoreRunner: Sendable {
  let store: any Store
  let pool: ClientPool
  let options: RestoreOptions
  private let planned = PlannedRestore()

  /// - Parameter pool: lends `insertThreads` + 3 clients at a time.
  public init(_ store: any Store, pool: ClientPool, options: RestoreOptions) {
    self.store = store
    self.pool = pool
    self.options = options
  }

  /// What a restore would do; changes nothing. What it chose and collected is kept for ``run(_:)``.
  /// - Throws: ``BackupError``, `MongoError`.
  public func plan(_ id: String?) throws -> RestorePlan {
    let set = try choose(id)
    planned.keep(set: set.id, for: id)
    let manifest = try set.readManifest()
    guard options.end != nil else { return try plan(set, manifest, nil) }
    // A store that only this reads may not be written to. A plan that dies leaves nothing to complete.
    let use = try? use(set, purpose: "\(options.area) plan")
    defer { use?.end() }
    let oplog = try source(of: set)
    if let oplog { planned.keep(oplog, of: set.id) }
    return try plan(set, manifest, try oplog?.history(options.cancellation))
  }

  private func plan(
    _ set: BackupSet, _ manifest: Manifest, _ history: NamespaceHistory?,
    completed: Set<Namespace> = []
  ) throws -> RestorePlan {
    try pool.withClient { client in
      try RestorePlanner(client: client, options: options, completed: completed)
        .plan(set, manifest, history)
    }
  }

  /// Nothing that the restore reads is pruned meanwhile.
  func use(_ set: BackupSet, purpose: String) throws -> StoreUse {
    try StoreUse(
      store, sets: [set.id],
      oplogFrom: options.end.flatMap { _ in set.manifest?.consistency?.replayStart },
      purpose: purpose)
  }

  /// Of a recovery; nil when it ends where the set does.
  private func source(of set: BackupSet) throws -> ReplaySource? {
    guard options.end != nil else { return nil }
    if let source = planned.take(set.id) { return source }
    options.notice?("reading the captured oplog")
    return try ReplaySource.make(store, set, options, planned.takeChains())
  }

  /// Restores the set of an id; nil is the newest that serves. Blocks.
  /// - Throws: ``BackupError``, `DumpError`, `MongoError`. Before the first swap nothing has changed.
  public func run(_ id: String?) throws -> RestoreReport {
    let ticks = Moment.ticks()
    let lock = try StoreLock.acquire(
      store, area: options.area, purpose: options.area, cancellation: options.cancellation)
    defer { lock.release() }
    // Read again: another restore may have added late writes to it.
    let set = try planned.set(for: id).map { try Catalog(store).find($0) } ?? choose(id)
    let manifest = try set.readManifest()
    let use = try use(set, purpose: options.area)
    defer { use.end() }
    var oplog = try source(of: set)
    defer { oplog?.remove() }
    let history = try oplog?.history(options.cancellation)
    let databases = try plan(set, manifest, history).databases
    let completed = try pool.withClient { client in
      let begun = try Journal(client: client).reloads()
      try RestoreRecovery(
        client: client, options: options, store: store, reload: completeReload, save: safety
      ).run(databases: databases)
      return begun
    }
    let plan = try plan(set, manifest, history, completed: completed)
    for warning in plan.warnings { options.notice?(warning) }
    options.notice?("reading \(plan.backup.id) to see that it is whole")
    try Verifier(store, age: options.age, cancellation: options.cancellation)
      .verify(plan.backup.id, depth: .checksums)

    if options.end == nil { oplog = try LateWrites.source(plan.backup, store, options) }
    var report = RestoreReport(backup: plan.backup.id)
    let temporary = Temporary()
    let isWhole = manifest.database == nil && options.only.isEmpty
    let mark = TimelineEnd(
      backup: plan.backup.id, run: temporary.token, databases: isWhole ? [] : databases.sorted())
    // What only adds new names beside the old ones leaves the timeline as it is.
    let endsTimeline = plan.results.contains { $0.source == $0.target || $0.liveCount != nil }
    try pool.withClient { client in
      try Journal(client: client).begin(
        temporary.token, backup: plan.backup.id, databases: databases.sorted())
    }
    do {
      var rest = Reload(
        plan.items.filter { $0.way != .swap }, [], manifest, options,
        made: options.inPlace ? plan.made.map(\.target) : [])
      // At another moment each of them may be of another kind.
      let isBeside = options.end != nil || plan.items.contains { $0.way != .view }
      if isBeside, !options.inPlace {
        rest = try beside(plan, manifest, oplog, temporary, &report) { report in
          if endsTimeline { try leave(mark, .before, &report) }
        }
      } else {
        rest.replaced = try uuids(rest.targets)
        report.safetyBackup = try safety(plan, [])
        if endsTimeline { try leave(mark, .before, &report) }
      }
      try reload(rest, temporary.token, manifest, oplog, &report)
      try pool.withClient { try Journal(client: $0).end(temporary.token) }
    } catch {
      throw leave(temporary, after: error, use, report.safetyBackup)
    }
    if endsTimeline { try leave(mark, .after, &report) }
    if options.users, plan.users > 0 { try mergeUsers(manifest, &report) }
    report.durationMilliseconds = Moment.ticks() - ticks
    return report
  }

  /// Marks the oplog: what is before is another timeline. A standalone has none.
  func leave(_ mark: TimelineEnd, _ event: TimelineEnd.Event, _ report: inout RestoreReport) throws
  {
    try pool.withClient { client in
      guard case .replicaSet = try client.hello().topology else { return }
      do throws(MongoError) { try mark.leave(event, client) } catch {
        let text =
          "the end of the timeline could not be marked in the oplog (\(error.message)): take a new "
          + "backup, and recover to nothing after this restore with an older one"
        guard !report.notices.contains(text) else { return }
        report.notices.append(text)
        options.notice?(text)
      }
      // Who may not read it has no capture either.
      if let id = try? ReplicaSet.id(client) {
        report.endsTimeline = try SliceCatalog(store).hasSlices(id)
      }
    }
  }

  private func choose(_ id: String?) throws -> BackupSet {
    let catalog = Catalog(store)
    if let id {
      let set = try catalog.find(id)
      guard set.manifest?.data != nil || set.manifest == nil else {
        throw BackupError(.usage, "the backup holds files only", path: set.id)
      }
      return set
    }
    guard let end = options.end else {
      return try catalog.latest(databases: options.databases)
    }
    let sets = try catalog.sets()
    var scope = RecoveryScope(databases: options.databases, replicaSetID: options.replicaSetID)
    if scope.replicaSetID == nil, let live = try liveReplicaSet(),
      // Not the safety backup of an earlier restore to this server.
      sets.contains(where: {
        RestorableWindows.isBase($0) && $0.manifest?.server?.replicaSetID == live
      })
    {
      scope.replicaSetID = live
    }
    let chains = try SliceCatalog(store).chains()
    planned.keep(chains)
    return try RestorableWindows.base(for: end.time, sets, chains, scope: scope)
  }

  /// Nil also where this user may not know: then the backups must not be of several.
  private func liveReplicaSet() throws -> String? {
    do { return try pool.withClient { try ReplicaSet.id($0) } } catch let error as BackupError {
      guard error.code == .privilege else { throw error }
      return nil
    }
  }

  // MARK: - Beside and swap

  private func beside(
    _ plan: RestorePlan, _ manifest: Manifest, _ oplog: ReplaySource?, _ temporary: Temporary,
    _ report: inout RestoreReport, beforeSwap: (inout RestoreReport) throws -> Void
  ) throws -> Reload {
    // A time-series is loaded to see that it can be, and loaded in place in the end. So is a view, unless
    // the replay may make something else of it.
    let items = plan.items.filter { $0.way != .view || options.end != nil }
    let way = try swapWay(plan, temporary)
    options.notice?("loading \(items.count + plan.origins.count) collections beside the live ones")
    let summary = try load(
      manifest, oplog,
      items.map { ($0, temporary.loading($0.target)) }
        + plan.origins.map { ($0, temporary.origin($0.source)) },
      selection: try loadingSelection(plan, manifest, temporary),
      withholdsExpiry: true, &report)
    try options.cancellation.check()
    let loaded = try loaded(plan, summary, temporary)
    try refuseOtherKinds(loaded)
    tellMissing(items, loaded, &report)
    var rest = Reload(
      plan.items.filter { item in
        options.end == nil
          ? item.way != .swap
          : loaded.contains { $0.target == item.target && $0.kind == .series && $0.isOfBackup }
      },
      loaded.compactMap(LateMade.init), manifest, options)
    let swaps = loaded.compactMap(\.swap)
    report.replayed = summary.replayed
    // A time-series counts when it is in its place.
    let trials = Set(
      rest.items.map { temporary.loading($0.target) }
        + plan.origins.map { temporary.origin($0.source) })
    report.documents += summary.collections.filter { !trials.contains($0.target) }
      .reduce(0) { $0 + $1.inserted }
    rest.replaced = try uuids(rest.targets)
    report.safetyBackup = try safety(plan, try live(loaded.map(\.target)))
    try beforeSwap(&report)
    let known = Set(items.map(\.target))
    report.compared.removeAll { result in
      plan.origins.contains { $0.target == result.namespace } && !known.contains(result.namespace)
    }
    report.compared += loaded.map(\.target).filter { !known.contains($0) }.sorted()
      .map(Compared.lateMade)
    try perform(swaps, way, temporary, rest, &report)
    return rest
  }

  private func tellMissing(
    _ items: [RestorePlan.Item], _ loaded: [Loaded], _ report: inout RestoreReport
  ) {
    let there = Set(loaded.map(\.target))
    let missing = items.map(\.target).filter { !there.contains($0) }
    guard !missing.isEmpty else { return }
    let text =
      "not there at the moment asked for, so nothing is done to what has the name now: "
      + missing.map(\.description).joined(separator: ", ")
    report.notices.append(text)
    options.notice?(text)
  }

  /// Before the journal says `swapping` it is enough to drop what was loaded; after it the next run
  /// completes, with the same set and slices.
  private func leave(
    _ temporary: Temporary, after error: any Error, _ use: StoreUse, _ safety: String?
  ) -> any Error {
    do {
      return try pool.withClient { client in
        let journal = Journal(client: client)
        guard let entry = try journal.entry(temporary.token) else { return error }
        guard entry["state"]?.stringValue == Journal.State.loading.rawValue else {
          use.leave()
          try journal.abandon(temporary.token)
          return Self.unfinished(error, safety)
        }
        try RestoreRecovery(client: client, options: options).drop(temporary.stem)
        try journal.end(temporary.token)
        return error
      }
    } catch _ {
      // The next run does it.
      use.leave()
      return Self.unfinished(error, safety)
    }
  }

  private static func unfinished(_ error: any Error, _ safety: String?) -> any Error {
    FailureWords.hint(error) { own in
      [
        own ?? "run the same restore again: it completes, or takes back, what this one has begun",
        safety.map { "what was there before is in \($0)" },
      ]
    }
  }

  // MARK: - Safety

  private func safety(_ plan: RestorePlan, _ more: [Namespace]) throws -> String? {
    let databases = Set(
      plan.results.filter { $0.liveCount != nil }.map(\.target.database) + more.map(\.database))
    return try safety(plan.backup.id, databases)
  }

  func safety(_ id: String, _ databases: Set<String>) throws -> String? {
    guard options.safetyBackup, !databases.isEmpty else { return nil }
    options.notice?("backing up what will be replaced")
    var backup = options.safety
    backup.kind = .database
    backup.requiresDatabase = false
    backup.database = databases.count == 1 ? databases.first : nil
    backup.tags = ["safety"]
    backup.safetyFor = "restore of \(id)"
    backup.cancellation = options.cancellation
    backup.notice = options.notice
    return try BackupRunner(store, pool: pool, options: backup).run().id
  }
}
