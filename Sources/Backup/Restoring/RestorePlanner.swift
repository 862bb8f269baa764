internal import BSON
internal import Dump
internal import MongoDB

/// Decides what a restore does to each namespace.
struct RestorePlanner {
  let client: Client
  let options: RestoreOptions
  /// What a run that died was about to make in place, and the next has completed.
  var completed: Set<Namespace> = []

  /// Never replaced: they say what is running, and what was done. - Source: consistency.md.
  private var protected: [String] {
    let ledger = "*." + NamespacePattern.escape(options.ledger)
    return [ledger + ".lock", ledger + ".history"]
  }

  /// What of a backup is taken. A backup of one database is never a reason to replay what happened in
  /// another: the captured oplog has all of them.
  /// - Parameter places: of what is taken besides.
  func selection(_ manifest: Manifest, places: [Namespace: Namespace] = [:]) throws
    -> NamespaceSelection
  {
    var includes = options.only
    if let database = manifest.database {
      let prefix = NamespacePattern.escape(database) + "."
      if includes.isEmpty { includes = [try NamespacePattern(prefix + "*")] }
      includes = try includes.map { pattern in
        if pattern.text.hasPrefix(prefix) { return pattern }
        guard pattern.text.hasPrefix("*.") else {
          throw BackupError(
            .usage, "'\(pattern.text)' is not in the backup, which holds \(database) only",
            path: manifest.id)
        }
        return try NamespacePattern(prefix + pattern.text.dropFirst(2))
      }
    }
    var excludes = ["admin.*", "config.*", "local.*", Journal.database + ".*"] + protected
    // A replay needs what another restore had loaded: the oplog renames it to what it became.
    if options.end == nil { excludes.append("*." + Temporary.prefix + "*") }
    var selection = NamespaceSelection(
      includes: includes, excludes: try excludes.map { try NamespacePattern($0) },
      renames: options.renames)
    selection.places = places
    return selection
  }

  /// - Parameter history: of the oplog that will be replayed.
  func plan(_ set: BackupSet, _ manifest: Manifest, _ history: NamespaceHistory? = nil) throws
    -> RestorePlan
  {
    try refuseOlderServer(manifest)
    let selection = try selection(manifest)
    let origins = history?.origins { selection.takes($0) } ?? []
    // Not everybody who may plan may read it.
    let unfinished = (try? Journal(client: client).reloads()) ?? []
    var items: [RestorePlan.Item] = []
    var besides: [RestorePlan.Item] = []
    var left: [String] = []
    var users: Int64 = 0
    for collection in manifest.collections {
      guard let source = Namespace(collection.namespace) else { continue }
      if collection.namespace.hasSuffix("system.users")
        || collection.namespace.hasSuffix("system.roles"),
        collection.type.isEmpty
      {
        users += collection.count
        if options.users { continue }
      }
      let isOrigin = origins.contains(source)
      guard isOrigin || selection.takes(source), !collection.type.isEmpty else {
        left.append(collection.namespace)
        continue
      }
      var item = RestorePlan.Item(
        source: source, target: isOrigin ? source : try selection.target(of: source),
        way: way(collection), count: collection.count, bytes: collection.bytes, liveCount: nil,
        expiries: collection.indexes.compactMap { $0["expireAfterSeconds"]?.integerValue }
          + [collection.expireAfterSeconds].compactMap(\.self))
      guard !isOrigin else {
        besides.append(item)
        continue
      }
      item.liveCount = try liveCount(&item, unfinished)
      items.append(item)
    }
    let made = try made(history, selection, items, unfinished.union(completed))
    guard !items.isEmpty || !made.isEmpty else {
      throw BackupError(
        .usage,
        "nothing in the backup is selected"
          + (history == nil ? "" : ", and nothing of that name was made by the moment asked for"),
        path: set.id, hint: "martlet backup show \(set.id)")
    }
    try refuseSystem(items + made)
    try refuseDoubles(items + made)
    var plan = RestorePlan(
      backup: set, items: items, origins: besides, made: made,
      untouched: try untouched(items + made), left: left, freeDisk: nil)
    try refuseInPlace(plan, origins)
    plan.originNames = origins
    plan.users = users
    plan.freeDisk = freeDisk(plan.results)
    plan.warnings =
      warnings(plan, manifest) + ServerReadiness(client: client).warnings(writing: plan.bytes)
    return plan
  }

  private func made(
    _ history: NamespaceHistory?, _ selection: NamespaceSelection, _ items: [RestorePlan.Item],
    _ unfinished: Set<Namespace>
  ) throws -> [RestorePlan.Item] {
    let known = Set(items.map(\.source))
    let made = (history?.made { selection.takes($0) } ?? []).filter { source in
      // What another restore had loaded at that moment is dropped again.
      !known.contains(source) && !source.collection.hasPrefix(Temporary.prefix)
    }
    return try made.map { source in
      var item = RestorePlan.Item(
        source: source, target: try selection.target(of: source),
        way: options.inPlace ? .inPlace : .swap, count: 0, bytes: 0, liveCount: nil, expiries: [])
      let database = client.database(item.target.database)
      let found = try database.listCollections(filter: ["name": .string(item.target.collection)])
      if let live = found.first {
        // A replay makes it without dropping anything first, and only a collection can be put aside.
        // A run that died may have made it.
        guard
          !options.inPlace || live.type == .collection || unfinished.contains(item.target)
        else {
          throw BackupError(
            .conflict,
            "a view or a time-series has the name of what was made after the backup: in place it is not "
              + "replaced", namespace: item.target.description,
            hint: "drop it, or leave --in-place out")
        }
        item.liveCount = live.type == .view ? 0 : try database.estimatedCount(live.name)
      }
      return item
    }
  }

  /// In place everything goes where it is live.
  private func refuseInPlace(_ plan: RestorePlan, _ origins: Set<Namespace>) throws(BackupError) {
    guard options.inPlace else { return }
    if let origin = origins.min() {
      throw BackupError(
        .usage,
        "what is selected got its name from one that is not, after the backup: in place that would be "
          + "replaced too", namespace: origin.description,
        hint: "leave --in-place out, or select this name too")
    }
    if plan.items.isEmpty, let made = plan.made.first {
      throw BackupError(
        .usage, "it was made after the backup, which has nothing else of what is selected",
        namespace: made.source.description, hint: "leave --in-place out")
    }
  }

  private func way(_ collection: Manifest.Collection) -> RestorePlan.Item.Way {
    switch collection.type {
    case "view": .view
    case "timeseries": .reload
    default: options.inPlace ? .inPlace : .swap
    }
  }

  private func refuseSystem(_ items: [RestorePlan.Item]) throws(BackupError) {
    for item in items where ["admin", "config", "local"].contains(item.target.database) {
      throw BackupError(
        .usage, "\(item.source) would go into a database of the server's own",
        namespace: item.target.description, hint: "name another database with --rename")
    }
  }

  private func refuseDoubles(_ items: [RestorePlan.Item]) throws(BackupError) {
    var seen: [Namespace: Namespace] = [:]
    for item in items {
      if let other = seen.updateValue(item.source, forKey: item.target) {
        throw BackupError(
          .conflict, "\(other) and \(item.source) would both become \(item.target)")
      }
    }
  }

  /// - Parameter unfinished: what a dead run has dropped, and an application may have made anew as
  ///   something else: that run is completed first.
  private func liveCount(_ item: inout RestorePlan.Item, _ unfinished: Set<Namespace>) throws
    -> Int64?
  {
    let database = client.database(item.target.database)
    let found = try database.listCollections(filter: ["name": .string(item.target.collection)])
    guard let info = found.first else { return nil }
    let isView = info.type == .view
    // What it is at another moment is known when it has been loaded.
    let isAlike =
      isView == (item.way == .view) && (info.type == .timeseries) == (item.way == .reload)
    if options.end != nil, !options.inPlace {
      item.isOfOtherKind = !isAlike
      return isView ? 0 : try database.estimatedCount(item.target.collection)
    }
    guard isAlike else {
      guard !unfinished.contains(item.target) else { return 0 }
      throw BackupError(
        .conflict, "what has this name now is of another kind than in the backup",
        namespace: item.target.description,
        hint: "drop it, or give the restored one another name with --rename")
    }
    return isView ? 0 : try database.estimatedCount(item.target.collection)
  }

  private func untouched(_ items: [RestorePlan.Item]) throws -> [Namespace] {
    let targets = Set(items.map(\.target))
    var out: [Namespace] = []
    for database in Set(items.map(\.target.database)).sorted() {
      for info in try client.database(database).listCollections() {
        let namespace = Namespace(database, info.name)
        let isOurs = info.name.hasPrefix("system.") || info.name.hasPrefix(Temporary.prefix)
        if !isOurs, !targets.contains(namespace) { out.append(namespace) }
      }
    }
    return out.sorted()
  }

  private func freeDisk(_ items: [RestorePlan.Item]) -> Int64? {
    guard let database = items.first?.target.database,
      let stats = try? client.run(["dbStats": 1], on: database),
      let total = stats["fsTotalSize"]?.doubleValue, let used = stats["fsUsedSize"]?.doubleValue,
      // A database that is not there yet has statistics of zeros.
      total > 0
    else { return nil }
    return Int64(total - used)
  }

  private func warnings(_ plan: RestorePlan, _ manifest: Manifest) -> [String] {
    var out: [String] = []
    if let free = plan.freeDisk, free < plan.bytes / 2 {
      out.append("the server has \(free >> 20) MiB free for \(plan.bytes >> 20) MiB of documents")
    }
    if let database = manifest.database, options.databases == nil {
      out.append("the backup is one of \(database) only; other databases stay as they are")
    }
    if plan.users > 0, !options.users {
      out.append(
        "\(plan.users) users and roles of the backup are not restored; --users merges them in")
    }
    if !plan.origins.isEmpty {
      let names = plan.origins.map(\.source.description).joined(separator: ", ")
      out.append("loaded besides, because renames lead from it to what is selected: \(names)")
    }
    let others = plan.items.filter(\.isOfOtherKind).map(\.target.description)
    if !others.isEmpty {
      out.append(
        "of another kind (collection, view, time-series) now than in the backup: unless they had changed by "
          + "the moment asked for, nothing will be replaced: " + others.joined(separator: ", "))
    }
    let swapped = plan.results.filter { $0.way == .swap && $0.liveCount != nil }.count
    if swapped > 0 {
      out.append(
        "\(swapped) collections are swapped: their change streams end (startAfter goes on), open "
          + "cursors fail, transactions on them abort")
    }
    let expiring = plan.items.filter { !$0.expiries.isEmpty }.map(\.target.description)
    if !expiring.isEmpty {
      out.append(
        "documents that are past their expiry are deleted right after: "
          + expiring.joined(separator: ", "))
    }
    if !options.only.isEmpty, !manifest.migrations.isEmpty {
      out.append(
        "only a part is restored: the ledger of migrations and the data may part; martlet migrate status"
      )
    }
    return out
  }

  /// An older release series may lack what the backup has (time-series, index kinds, collection options,
  /// forms of oplog entries), and would say so in the middle.
  private func refuseOlderServer(_ manifest: Manifest) throws {
    guard let backup = ServerVersionText(manifest.server?.version) else { return }
    let live = try client.hello().version
    guard backup.major > live.major || (backup.major == live.major && backup.minor > live.minor)
    else { return }
    throw BackupError(
      .notReady,
      "the server has version \(live), older than the \(backup.text) that was backed up; nothing was changed",
      path: manifest.id,
      hint:
        "restore to a server of \(backup.major).\(backup.minor) or newer; what an older one can take "
        + "of it, martlet load reads from the set's data archive")
  }

  private struct ServerVersionText {
    let text: String
    let major: Int
    let minor: Int

    init?(_ text: String?) {
      guard let text else { return nil }
      let parts = text.split(separator: ".").compactMap { Int($0) }
      guard parts.count >= 2 else { return nil }
      self.text = text
      major = parts[0]
      minor = parts[1]
    }
  }
}
