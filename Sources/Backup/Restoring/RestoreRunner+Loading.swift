internal import Dump
internal import MongoDB

extension RestoreRunner {
  /// What is to be swapped, under temporary names. What a replay creates gets a name with a prefix.
  func loadingSelection(
    _ plan: RestorePlan, _ manifest: Manifest, _ temporary: Temporary
  ) throws -> NamespaceSelection {
    var selection = try pool.withClient { client in
      try RestorePlanner(client: client, options: options).selection(
        manifest, places: temporary.origins(plan.originNames))
    }
    let items = plan.items.map { item in
      (source: item.source, target: item.target, waits: item.way == .view && options.end == nil)
    }
    // Nothing may go where it is live: what a replay makes gets its new name with a prefix.
    selection.prefix = temporary.stem
    // The last of these that matches counts.
    var renames = options.renames
    for item in items where item.waits {
      // Views have their own pass.
      selection.excludes.append(
        try NamespacePattern(NamespacePattern.escape(item.source.description)))
    }
    for item in items where !item.waits {
      guard !item.source.description.contains("$") else {
        throw BackupError(
          .usage, "a collection with '$' in its name can be restored in place only",
          namespace: item.source.description, hint: "add --in-place")
      }
      renames.append(
        try NamespaceRename(
          from: NamespacePattern.escape(item.source.description),
          to: temporary.loading(item.target).description))
    }
    selection.renames = renames
    return selection
  }

  /// As mongorestore without `--drop`: those of the backup become what they were, others stay. All else is
  /// restored by then: what fails is told.
  func mergeUsers(_ manifest: Manifest, _ report: inout RestoreReport) throws {
    options.notice?("merging users and roles")
    do {
      let none = NamespaceSelection(
        includes: [try NamespacePattern(Journal.database + ".none")])
      var ignored = RestoreReport(backup: manifest.id)
      _ = try load(
        manifest, nil, [], selection: none, withholdsExpiry: false, &ignored,
        users: manifest.database.map { .database($0) } ?? .whenWhole)
      report.users = true
    } catch {
      try options.cancellation.check()
      report.usersFailure = error
    }
  }

  /// Loads, compares what was loaded with the manifest, and replays over it.
  /// - Parameter items: what is to be compared, and where it is loaded.
  func load(
    _ manifest: Manifest, _ oplog: ReplaySource?,
    _ items: [(item: RestorePlan.Item, place: Namespace)], selection: NamespaceSelection,
    withholdsExpiry: Bool, _ report: inout RestoreReport, asides: Asides? = nil,
    users: LoadOptions.UserLoading = .never
  ) throws -> LoadSummary {
    guard let data = manifest.data else {
      throw BackupError(.usage, "the backup holds no data", path: manifest.id)
    }
    var load = LoadOptions()
    load.selection = selection
    // With drop, users that the backup lacks would go.
    load.drop = users == .never
    load.bypassesValidation = true
    load.keepsIndexVersions = true
    load.withholdsExpiry = withholdsExpiry
    load.dropsRenamedOut = true
    load.usersAndRoles = users
    load.insertThreads = options.insertThreads
    load.cancellation = options.cancellation
    load.progress = options.progress
    load.notice = options.notice
    let isFuzzy = manifest.consistency?.mode == "oplog"
    load.replaysOplog = users == .never && (oplog != nil || isFuzzy)
    if let oplog {
      load.oplogFile = oplog.path
      load.overlapEnd = manifest.consistency?.moment
      load.replayAfter = manifest.consistency?.time
    } else if isFuzzy {
      load.overlapEnd = manifest.consistency?.oplogEnd
    }
    let failures = FailureCount(toleratesDuplicates: isFuzzy)
    load.failed = { failures.note($0) }
    let comparer = LoadComparer(manifest, items, pool: pool, options: options, failures: failures)
    // Not worth replaying over what is not whole.
    if let asides { load.freesName = { try asides.free($0) } }
    load.beforeReplay = { summary in
      try failures.check()
      try comparer.documents(summary, hasIndexes: false)
    }
    var source = try store.get(manifest.id + "/" + data.name)
    if data.isEncrypted { source = try options.age.decrypting(source) }
    let summary = try Loader(pool: pool, options: load).run(from: .archiveStream(source))
    try failures.check()
    if users == .never {
      report.compared += try comparer.finish(summary, replayed: load.replaysOplog)
    }
    return summary
  }
}
