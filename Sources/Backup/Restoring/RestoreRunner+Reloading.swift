internal import BSON
internal import Dump
internal import MongoDB

extension RestoreRunner {
  /// Drops, makes and loads what cannot be swapped. What was written to it since the safety backup is
  /// added to that, as soon as nobody can write to it any more.
  ///
  /// - Parameter manifest: nil where no documents are loaded.
  func reload(
    _ reload: Reload, _ token: String, _ manifest: Manifest?, _ oplog: ReplaySource?,
    _ report: inout RestoreReport
  ) throws {
    guard !reload.isEmpty else { return }
    let temporary = try Temporary(token: token)
    // Whatever is wrong with it shows before anything is dropped.
    let taken = try manifest.map { try selection(of: reload, temporary, $0, oplog) }
    try dropReplaced(by: reload, token, &report)
    let asides = Asides(
      pool: pool, options: options, temporary: temporary, own: reload.own)
    try makeViews(reload.late, asides, &report)
    if reload.loadsDocuments, let manifest, let taken {
      let targets = Set(reload.items.map(\.target))
      report.compared.removeAll { targets.contains($0.namespace) }
      let summary = try load(
        manifest, oplog, reload.items.map { ($0, $0.target) }, selection: taken,
        withholdsExpiry: false, &report, asides: asides)
      report.documents += summary.inserted
      report.replayed = max(report.replayed, summary.replayed)
      report.restored += reload.items.map(\.target)
    }
    report.kept += try pool.withClient { client in
      let recovery = RestoreRecovery(client: client, options: options, store: store)
      if taken?.places.isEmpty == false {
        try recovery.drop(temporary.stem + Temporary.originMark)
      }
      return try recovery.settle(asides.swaps, report.safetyBackup)
    }
  }

  private func dropReplaced(by reload: Reload, _ token: String, _ report: inout RestoreReport)
    throws
  {
    var reload = reload
    try pool.withClient { client in
      let journal = Journal(client: client)
      // Where there were swaps it is done already, before them.
      if try journal.entry(token)?["state"]?.stringValue == Journal.State.loading.rawValue {
        try collectEarly([], reload, report.safetyBackup, client)
      }
      if reload.replaced == nil { reload.replaced = try uuids(reload.targets) }
      if let target = try newSeries(reload) {
        throw BackupError(
          .conflict, "a time-series has been made anew since it was backed up",
          namespace: target.description)
      }
      reload.safety = report.safetyBackup
      if reload.replaced?.isEmpty == false { try warn(client, &report) }
      try journal.reloading(token, reload)
      options.notice?("loading \(reload.targets.count) collections and views in place")
      let swapper = Swapper(client: client, options: options)
      for target in reload.targets where !target.collection.hasPrefix("system.") {
        // What has come into being since is put aside when its name is needed.
        let live = try Self.dataUUID(target, client)
        if let live, reload.replaced?.contains(live) != true { continue }
        guard try live != nil || swapper.info(target) != nil else { continue }
        try client.database(target.database).drop(target.collection)
      }
      try journal.confirm(token, options)
      report.lateWrites += try RestoreRecovery(client: client, options: options, store: store)
        .addLateWrites(token)
    }
  }

  /// What is loaded in place; and what must be there for a rename, under temporary names.
  private func selection(
    of reload: Reload, _ temporary: Temporary, _ manifest: Manifest, _ oplog: ReplaySource?
  ) throws -> NamespaceSelection {
    let options = try reload.options(options)
    return try pool.withClient { client in
      let planner = RestorePlanner(client: client, options: options)
      let selection = try planner.selection(manifest)
      guard reload.loadsDocuments, options.end != nil, !reload.isWhole, let oplog else {
        return selection
      }
      let names = try oplog.history(options.cancellation).origins { selection.takes($0) }
      return try planner.selection(manifest, places: temporary.origins(names))
    }
  }

  /// Of what holds the documents of those that are there.
  func uuids(_ targets: [Namespace]) throws -> [Binary] {
    try pool.withClient { client in try targets.compactMap { try Self.dataUUID($0, client) } }
  }

  /// Where no oplog can tell what is written after the safety backup, it is said.
  private func warn(_ client: Client, _ report: inout RestoreReport) throws {
    guard report.safetyBackup != nil, !options.writersAreStopped,
      !LateWrites(client: client, store: store, options: options).isPossible()
    else { return }
    let text =
      "the oplog cannot be read: what is written between the safety backup and the loading in place "
      + "is in neither; stop the application"
    report.notices.append(text)
    options.notice?(text)
  }

  /// What is there now is backed up before it is loaded anew, where the oplog may not tell what was written to
  /// it since, and where it has been made since.
  private func saveAgain(_ reload: inout Reload, _ entry: Document, _ report: inout RestoreReport)
    throws
  {
    report.safetyBackup = reload.safety ?? entry["safety"]?.stringValue
    let isDropped = entry["state"]?.stringValue == Journal.State.reloading.rawValue
    let isSaved = try report.safetyBackup.map { safety in
      try pool.withClient { client in
        try LateWrites(client: client, store: store, options: options).reaches(safety)
      }
    }
    guard try isDropped || isSaved == false || newSeries(reload) != nil else { return }
    reload.replaced = try uuids(reload.targets)
    report.safetyBackup = try safety(
      report.backup, Set(try live(reload.own).map(\.database)))
  }

  /// A time-series that has taken the name of one that is replaced, and is in no safety backup.
  private func newSeries(_ reload: Reload) throws -> Namespace? {
    guard let replaced = reload.replaced else { return nil }
    return try pool.withClient { client in
      try reload.targets.first { target in
        let found = try client.database(target.database).listCollections(
          filter: ["name": .string(target.collection)])
        guard found.first?.type == .timeseries else { return false }
        return try Self.dataUUID(target, client).map { !replaced.contains($0) } ?? false
      }
    }
  }

  /// Does what a run that died has not done any more.
  /// - Throws: ``BackupError`` `.conflict` when its backup is not in this store.
  func completeReload(_ entry: Document) throws {
    guard let token = entry["_id"]?.stringValue, let id = entry["backup"]?.stringValue,
      var reload = entry["reload"]?.documentValue.flatMap({ Reload($0) }), !reload.isEmpty
    else { return }
    var report = RestoreReport(backup: id)
    let again = RestoreRunner(store, pool: pool, options: try reload.options(options))
    guard reload.loadsDocuments else {
      try again.saveAgain(&reload, entry, &report)
      return try again.reload(reload, token, nil, nil, &report)
    }
    guard let set = try Catalog(store).set(id), set.isGood,
      set.manifest?.data?.digest.sha256 == reload.archive
    else {
      throw BackupError(
        .conflict,
        "an earlier restore died while it loaded from a backup that is not in this store",
        path: id,
        hint: "name the store that has it; --take-over leaves what was loaded as it is")
    }
    options.notice?("loading again what an earlier restore of \(id) had not loaded to its end")
    let manifest = try set.readManifest()
    // Whoever has to try once more needs the same.
    let use = try again.use(set, purpose: options.area)
    var isDone = false
    defer { if isDone { use.end() } else { use.leave() } }
    try Verifier(store, age: options.age, cancellation: options.cancellation)
      .verify(id, depth: .checksums)
    let oplog =
      reload.end == nil
      ? try LateWrites.source(set, store, again.options)
      : try ReplaySource.make(store, set, again.options)
    defer { oplog?.remove() }
    try again.saveAgain(&reload, entry, &report)
    try again.reload(reload, token, manifest, oplog, &report)
    isDone = true
  }

  /// Views that a replay has made. A time-series is made and filled by replaying once more.
  private func makeViews(
    _ late: [LateMade], _ asides: Asides, _ report: inout RestoreReport
  ) throws {
    try pool.withClient { client in
      for item in late {
        report.restored.append(item.target)
        guard let view = item.view else { continue }
        var command: Document = ["create": .string(item.target.collection)]
        command.append(contentsOf: view)
        for attempt in 1... {
          do throws(MongoError) {
            _ = try client.run(command, on: item.target.database, options: .majority)
            break
          } catch {
            guard error.code == 48, attempt < 100, try asides.free(item.target) else { throw error }
          }
        }
      }
    }
  }

  /// Of what holds the documents: writes in the oplog carry it.
  static func dataUUID(_ namespace: Namespace, _ client: Client) throws -> Binary? {
    let database = client.database(namespace.database)
    let names: [Value] = [.string(namespace.collection), .string(namespace.buckets.collection)]
    return try database.listCollections(filter: ["name": ["$in": .array(names)]])
      .compactMap(\.uuid).first
  }
}
