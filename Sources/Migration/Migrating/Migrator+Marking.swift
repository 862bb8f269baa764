public import BSON
public import MongoDB

extension Migrator {
  /// Marks migrations as applied up to one, without running them: for a database that has it all.
  /// - Returns: the names that were marked.
  public func baseline(to name: String, cancellation: Cancellation = Cancellation()) throws
    -> [String]
  {
    try checkFiles()
    return try withLease(cancellation) { lease, client in
      let ledger = Ledger(client.database(database), names: names)
      let entries = try ledger.load()
      let planner = try emptyPlanner(entries)
      let last = try planner.find(name)
      let chosen = migrations.filter { $0.id <= last.id && !(entries[$0.name]?.isApplied ?? false) }
      try ledger.prepare()
      for migration in chosen {
        try mark(migration, as: "baseline", entries[migration.name], .baseline, lease, client)
      }
      return chosen.map(\.name)
    }
  }

  /// Says that one migration is applied, or is not, without running anything.
  public func mark(
    _ name: String, applied: Bool, cancellation: Cancellation = Cancellation()
  ) throws {
    try withLease(cancellation) { lease, client in
      let ledger = Ledger(client.database(database), names: names)
      let entries = try ledger.load()
      if applied {
        let migration = try emptyPlanner(entries).find(name)
        guard !(entries[migration.name]?.isApplied ?? false) else {
          throw MigrationError(.conflict, "\(migration.name) is applied already")
        }
        try ledger.prepare()
        try mark(migration, as: "mark", entries[migration.name], .mark, lease, client)
        return
      }
      let stem = try entries[name] != nil ? name : emptyPlanner(entries).find(name).name
      guard entries[stem] != nil else {
        throw MigrationError(.unknownMigration, "\(stem) is not in the ledger")
      }
      try ledger.remove(stem, fence: nil)
      try History(client.database(database), names: names).append(
        .unmark, name: stem, at: try client.serverTime(), outcome: "success", by: appliedBy)
    }
  }

  /// Accepts the files as they are: checksums of applied migrations are taken from them, entries of
  /// interrupted runs are set to what their journal shows.
  /// - Returns: a sentence for each change; with `dryRun` nothing is written.
  public func repair(dryRun: Bool, cancellation: Cancellation = Cancellation()) throws -> [String] {
    try checkFiles()
    return try withLease(cancellation) { lease, client in
      let ledger = Ledger(client.database(database), names: names)
      let files = Dictionary(migrations.map { ($0.name, $0) }, uniquingKeysWith: { a, _ in a })
      var changes: [String] = []
      for entry in try ledger.load().values.sorted(by: { $0.name < $1.name }) {
        guard let set = repaired(entry, files[entry.name], &changes), !dryRun else { continue }
        var claimed = entry
        claimed.fence = lease.fence
        if let checksum = set["checksum"]?.stringValue { claimed.checksum = checksum }
        if let status = set["status"]?.stringValue.flatMap(LedgerEntry.Status.init(rawValue:)) {
          claimed.status = status
        }
        try ledger.begin(claimed)
        try History(client.database(database), names: names).append(
          .repair, name: entry.name, at: try client.serverTime(), outcome: "success",
          by: appliedBy, details: ["set": .document(set)])
      }
      return changes
    }
  }

  private func repaired(
    _ entry: LedgerEntry, _ migration: Migration?, _ changes: inout [String]
  ) -> Document? {
    if entry.isApplied, let migration, let checksum = entry.checksum,
      checksum != migration.checksum
    {
      changes.append("\(entry.name): the file as it is now counts as what was applied")
      return ["checksum": .string(migration.checksum)]
    }
    if entry.status == .running {
      changes.append("\(entry.name): was interrupted, is shown as failed and can be run again")
      return ["status": "failed"]
    }
    return nil
  }

  /// Takes the lock away from a run that is gone.
  /// - Returns: who held it, or nil when nobody did.
  /// - Throws: `MongoError` `.locked` while the lease has not expired, unless forced.
  public func unlock(force: Bool) throws -> LeaseHolder? {
    try pool.withClient { client in
      guard
        let holder = try Lease.holder(
          client: client, database: database, collection: names.lock, id: Self.lockID)
      else { return nil }
      guard force || holder.isExpired else {
        throw MongoError(
          .locked, "the lock is held by \(holder.description)",
          hint: "if that run is really gone: `martlet migrate unlock --force`")
      }
      _ = try Lease.forceRelease(
        client: client, database: database, collection: names.lock, id: Self.lockID)
      try History(client.database(database), names: names).append(
        .unlock, name: "", at: try client.serverTime(), outcome: "success", by: appliedBy,
        details: ["holder": .document(holder.holder)])
      return holder
    }
  }

  /// Removes a kept collection, or the undo data of a migration, for good.
  public func forget(_ name: String, cancellation: Cancellation = Cancellation()) throws {
    try withLease(cancellation) { _, client in
      let database = client.database(self.database)
      try refuseForgettingUnfinished(name, database)
      var found = try KeptCollections(
        database, names: names, archive: archive
      ).forget(name)
      let undo = name.hasPrefix(names.undoPrefix) ? name : names.undo(of: name)
      if !found, try !database.listCollections(filter: ["name": .string(undo)]).isEmpty {
        try database.drop(undo)
        found = true
      }
      guard found else {
        throw MigrationError(
          .unknownMigration, "nothing is kept under the name \(name)",
          hint: "`martlet migrate status` lists kept collections and undo data")
      }
      try History(database, names: names).append(
        .forget, name: name, at: try client.serverTime(), outcome: "success", by: appliedBy)
    }
  }

  /// The checkpoints of a run that goes on lie beside the pre-images: without them it would begin again.
  private func refuseForgettingUnfinished(_ name: String, _ database: Database) throws {
    let kept = try database.findOne(names.kept, filter: ["_id": .string(name)])
    for entry in try Ledger(database, names: names).load().values where !entry.isApplied {
      let isItsUndo = kept == nil && (name == entry.name || name == names.undo(of: entry.name))
      let isItsKept = kept?["migration"]?.stringValue == entry.name && entry.status == .reverting
      guard isItsUndo || isItsKept else { continue }
      throw MigrationError(
        .conflict, "\(entry.name) is half done, and goes on from what is kept of it",
        hint: "finish it with `martlet migrate up` or `down` first")
    }
  }

  /// The recorded attempts, oldest first.
  public func history(of name: String? = nil, limit: Int = 1000) throws -> [Document] {
    try pool.withClient {
      try History($0.database(database), names: names).lines(of: name, limit: limit)
    }
  }

  // MARK: - Parts

  private func mark(
    _ migration: Migration, as kind: String, _ old: LedgerEntry?, _ action: History.Action,
    _ lease: Lease, _ client: Client
  ) throws {
    let now = try client.serverTime()
    var entry = LedgerEntry(
      name: migration.name, version: migration.id.number, description: migration.description,
      checksum: migration.checksum, batch: 0, startedAt: now, steps: old?.steps ?? [],
      appliedBy: appliedBy, fence: lease.fence, seed: old?.seed ?? StepHash.newSeed())
    entry.status = .success
    entry.appliedAt = now
    entry.durationMilliseconds = 0
    entry.marked = kind
    let database = client.database(self.database)
    try Ledger(database, names: names).begin(entry)
    try History(database, names: names).append(
      action, name: migration.name, at: now, outcome: "success", by: appliedBy)
  }

  private func emptyPlanner(_ entries: [String: LedgerEntry]) throws -> Planner {
    Planner(
      migrations: migrations, ledger: entries,
      state: ServerState(
        database: database, release: Release(major: 0), topology: .replicaSet,
        now: DateTime(milliseconds: 0)), seed: "")
  }
}
