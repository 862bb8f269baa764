internal import BSON
public import MongoDB

/// Removes what the retention policy does not keep.
public struct Pruner: Sendable {
  /// What pruning does, or would do.
  public struct Plan: Sendable {
    /// Every set with its reasons, newest first.
    public var verdicts: [RetentionVerdict]
    public var removed: [BackupSet]
    /// Folders of runs that died.
    public var debris: [String]
    /// Slices that no kept base can use.
    public var slices: [Slice]
    /// What a pruning that died has left of such slices.
    var strays: [String] = []

    public var removedBytes: Int64 { removed.reduce(0) { $0 + ($1.manifest?.storedBytes ?? 0) } }
  }

  private let store: any Store
  private let retention: RetentionPolicy
  private let zone: Zone
  private let cancellation: Cancellation

  public init(
    _ store: any Store, policy: RetentionPolicy, zone: Zone = .local,
    cancellation: Cancellation = Cancellation()
  ) {
    self.store = store
    retention = policy
    self.zone = zone
    self.cancellation = cancellation
  }

  /// Decides; removes nothing.
  /// - Throws: ``BackupError`` `.usage` for an empty policy.
  public func plan(now: Int64 = Moment.now()) throws(BackupError) -> Plan {
    let sets = try Catalog(store).sets()
    let claims = try StoreUse.claims(store)
    let chains = try SliceCatalog(store).chains()
    try SliceCatalog.refuseNewer(chains)
    let items = sets.map { set -> RetentionItem in
      var item = RetentionItem(
        id: set.id, time: set.time, group: set.group, isGood: set.isGood,
        pinned: pinned(set) ?? inUse(set.id, claims))
      item.isOccasional = set.manifest?.safetyFor != nil
      return item
    }
    let verdicts = try Retention(policy: retention, zone: zone, coversWindow: !chains.isEmpty)
      .verdicts(items, now: now)
    let kept = Set(verdicts.filter(\.isKept).map(\.id))
    var plan = Plan(
      verdicts: verdicts, removed: sets.filter { !kept.contains($0.id) },
      debris: try Catalog(store).debris(), slices: [])
    for chain in chains {
      guard let oldest = oldest(of: chain, sets.filter { kept.contains($0.id) }, claims) else {
        continue
      }
      plan.slices += (chain.slices + chain.damaged.map(\.slice)).filter { $0.end < oldest }
      // What a capture writes just now has no description yet.
      guard !chain.strays.isEmpty,
        (try? StoreLock.refuseOthers(store, area: "oplog-" + chain.replicaSetID)) != nil
      else { continue }
      plan.strays += chain.strays.filter { name in
        Slice.times(inName: name).map { $0.end < oldest } ?? false
      }
    }
    return plan
  }

  /// Removes what a plan names. Blocks. Takes the store's lock.
  public func run(now: Int64 = Moment.now()) throws -> Plan {
    let whole = try plan(now: now)
    let lock = try lock(whole)
    defer { lock.release() }
    // Somebody else may have been at work until the lock was there.
    try remove(try plan(now: now))
    return whole
  }

  /// A lock needs room for a small file. In a store that is full the oldest that would go anyway makes it.
  private func lock(_ plan: Plan) throws -> StoreLock {
    func acquire() throws(BackupError) -> StoreLock {
      try StoreLock.acquire(store, purpose: "backup prune", cancellation: cancellation)
    }
    do throws(BackupError) { return try acquire() } catch {
      guard error.isOutOfRoom, let first = plan.debris.first ?? plan.removed.last?.id else {
        throw error
      }
      try StoreLock.refuseOthers(store)
      try Catalog(store).remove(first)
      return try acquire()
    }
  }

  /// For a run that holds the lock already.
  func remove(_ plan: Plan) throws {
    for set in plan.removed {
      try cancellation.check()
      // A restore may have begun meanwhile.
      guard try inUse(set.id, StoreUse.claims(store)) == nil else { continue }
      try Catalog(store).remove(set.id)
    }
    for name in plan.debris { try Catalog(store).remove(name) }
    guard !plan.slices.isEmpty || !plan.strays.isEmpty else { return }
    let used = try StoreUse.claims(store).compactMap(\.oplogFrom).min()
    func isFree(_ end: Timestamp) -> Bool { used.map { end < $0 } ?? true }
    var slices = plan.slices.filter { isFree($0.end) }[...]
    while !slices.isEmpty {
      try cancellation.check()
      let part = slices.prefix(100)
      slices = slices.dropFirst(part.count)
      // The descriptions first: a slice without it does not count.
      try store.delete(all: part.map(\.descriptionName))
      try store.delete(all: part.flatMap { [$0.dataName, $0.damageName] })
    }
    let strays = plan.strays.filter { Slice.times(inName: $0).map { isFree($0.end) } ?? false }
    if !strays.isEmpty { try store.delete(all: strays) }
  }

  private func pinned(_ set: BackupSet) -> String? {
    // Its tags and whether it is whole are for the newer version to say.
    if case .newer = set.state { return "made by a newer version" }
    return set.manifest?.tags.contains("keep") == true ? "tagged keep" : nil
  }

  private func inUse(_ id: String, _ claims: [StoreUse.Claim]) -> String? {
    claims.first { $0.sets.contains(id) }.map { claim in
      "in use: \(claim.holder.purpose) of \(claim.holder.host), pid \(claim.holder.pid)"
    }
  }

  /// Where the oldest kept base of a replica set begins: slices that end before it are of no use. Nil while no
  /// base is kept: the next one may be under way.
  private func oldest(
    of chain: SliceChain, _ kept: [BackupSet], _ claims: [StoreUse.Claim]
  ) -> Timestamp? {
    let starts = kept.compactMap { set -> Timestamp? in
      guard let manifest = set.manifest, manifest.server?.replicaSetID == chain.replicaSetID else {
        return nil
      }
      return manifest.consistency?.replayStart
    }
    return starts.min().map { min($0, claims.compactMap(\.oplogFrom).min() ?? $0) }
  }
}
