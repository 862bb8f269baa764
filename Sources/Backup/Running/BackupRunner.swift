internal import BSON
internal import Dump
import Fingerprint
public import MongoDB

/// Makes a backup set.
public struct BackupRunner: Sendable {
  private let store: any Store
  private let pool: ClientPool?
  private let options: BackupOptions

  /// - Parameter pool: nil is enough for a set of files only.
  public init(_ store: any Store, pool: ClientPool?, options: BackupOptions) {
    self.store = store
    self.pool = pool
    self.options = options
  }

  /// Makes a set; its manifest comes last, and without it there is no backup. Blocks.
  ///
  /// - Throws: ``BackupError``, `DumpError` or `MongoError`. What was written is removed, or else by
  ///   the next run.
  public func run() throws -> Manifest {
    // A restore that has loaded for hours must not lose them because a backup is being made. So its safety
    // backup has a lock of its own, names the set that it makes, and leaves other folders alone.
    let isSafety = options.safetyFor != nil
    let lock = try StoreLock.acquire(
      store, area: isSafety ? "safety" : "store",
      purpose: isSafety ? "safety backup" : "backup run", cancellation: options.cancellation)
    defer { lock.release() }
    return try run(holding: lock, isSafety)
  }

  private func run(holding lock: StoreLock, _ isSafety: Bool) throws -> Manifest {
    try check()
    let catalog = Catalog(store)
    if !isSafety { for name in try catalog.debris() { try catalog.remove(name) } }
    let server = try preflight()

    let started = Moment.now()
    let ticks = Moment.ticks()
    let id = SetID.make(
      started, options.kind, isSafety: isSafety, taken: Set(try store.folders()))
    let use = isSafety ? try StoreUse(store, sets: [id], purpose: "safety backup") : nil
    defer { use?.end() }
    var manifest = Manifest(id: id, kind: options.kind, started: started, finished: started)
    try describe(&manifest, server)
    do {
      try catalog.begin(id, isSafety ? "safety backup" : "backup run")
      let writer = SetWriter(store: store, id: id, options: options)
      if options.takesData { try data(writer, &manifest) }
      if options.takesFiles {
        try files(writer, &manifest)
        for stream in options.streams { try command(stream, writer, &manifest) }
      }
      try options.cancellation.check()
      try checkPresence(manifest)
      try lock.check()
      manifest.finished = Moment.now()
      manifest.durationMilliseconds = Moment.ticks() - ticks
      try store.put(id + "/" + Manifest.name, bytes: SealedText.seal(manifest.document))
      catalog.finish(id)
    } catch {
      try? catalog.remove(id)
      throw error
    }
    return manifest
  }

  /// A store that went away and came back empty, or a file system that was unmounted below it, must not get
  /// a manifest for files that it does not have.
  private func checkPresence(_ manifest: Manifest) throws(BackupError) {
    let there = try store.list(manifest.id, recursively: true)
    let sizes = Dictionary(there.map { ($0.name, $0.size) }, uniquingKeysWith: { a, _ in a })
    for file in manifest.files {
      let path = manifest.id + "/" + file.name
      guard sizes[path] == file.digest.size else {
        throw BackupError(
          .store, "a file of this backup is gone from the store already", path: path,
          hint: "is \(store.location) the same store that it was when the backup began?")
      }
    }
  }

  // MARK: - Before

  private func check() throws(BackupError) {
    try options.age.check()
    guard options.takesData || !options.files.isEmpty || !options.streams.isEmpty else {
      throw BackupError(
        .usage, "there are no files and no commands to back up",
        hint: "list them under backup.files and backup.commands in martlet.yaml")
    }
    var names: Set<String> = []
    for stream in options.streams {
      let isPlain = stream.name.utf8.allSatisfy { byte in
        (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
          || byte == 45 || byte == 95
      }
      guard isPlain, !stream.name.isEmpty, names.insert(stream.name).inserted else {
        throw BackupError(
          .usage, "'\(stream.name)' is not a name for a command's stream, or occurs twice")
      }
      _ = try CommandWords.split(stream.dump, name: stream.name)
    }
  }

  /// Server and room, before anything is written.
  private func preflight() throws -> ServerDescription? {
    guard options.takesData else { return nil }
    guard let pool else { throw BackupError(.usage, "a backup of data needs a server") }
    return try pool.withClient { client in
      let server = try client.hello()
      try checkDatabase(client)
      guard let free = store.freeSpace(), let needed = Self.size(client, options.database) else {
        return server
      }
      guard free >= needed + options.reserve else {
        throw BackupError(
          .notReady,
          "the store has \(free >> 20) MiB free, and the backup may need \(needed >> 20) MiB; "
            + "\(options.reserve >> 20) MiB are to stay free",
          path: store.location, hint: "martlet backup prune, or use another store")
      }
      return server
    }
  }

  /// A name with a slip in it would give an empty backup every night.
  private func checkDatabase(_ client: Client) throws {
    guard let name = options.database else {
      if options.safetyFor == nil { try checkServer(client) }
      return
    }
    guard !name.isEmpty, !name.contains(where: { "/\\. \"$\0".contains($0) }) else {
      throw BackupError(.usage, "'\(name)' is not a database's name")
    }
    guard options.requiresDatabase, try client.database(name).listCollections().isEmpty else {
      return
    }
    let there = ((try? RestoreRecovery.databases(client)) ?? []).sorted()
    throw BackupError(
      .notFound, "there is no database '\(name)' on the server, or nothing in it",
      hint: there.isEmpty || there.count > 20
        ? "look at --db and at database: in martlet.yaml"
        : "it has: " + there.joined(separator: ", "))
  }

  /// Without the right to list them all, a server names those databases that the user may read, and the rest
  /// would be missing from a backup that says it has everything.
  private func checkServer(_ client: Client) throws {
    do throws(MongoError) {
      _ = try client.run(
        ["listDatabases": 1, "nameOnly": true, "authorizedDatabases": false], on: "admin")
    } catch {
      guard error.kind == .privilege else { throw error }
      let seen = ((try? RestoreRecovery.databases(client)) ?? []).sorted()
      throw BackupError(
        .privilege, "not authorized: this user does not see all databases of the server",
        hint: seen.isEmpty
          ? "grant it the role backup"
          : "grant it the role backup, or name one that it sees with --db: "
            + seen.joined(separator: ", "))
    }
  }

  /// What the data takes on the server's disk, without indexes: near what a gzip archive takes.
  private static func size(_ client: Client, _ database: String?) -> Int64? {
    var names = database.map { [$0] } ?? []
    if names.isEmpty {
      let reply = try? client.run(["listDatabases": 1, "nameOnly": true], on: "admin")
      names = (reply?["databases"]?.arrayValue ?? []).compactMap {
        $0.documentValue?["name"]?.stringValue
      }
    }
    var total: Int64 = 0
    for name in names {
      // Without the privilege there is no estimate, and the disk has to speak for itself.
      guard let stats = try? client.run(["dbStats": 1], on: name) else { return nil }
      total += Int64(stats["storageSize"]?.doubleValue ?? 0)
    }
    return total
  }

  private func describe(_ manifest: inout Manifest, _ server: ServerDescription?) throws {
    manifest.tags = options.tags
    manifest.host = Machine.host
    manifest.tool = options.tool
    manifest.database = options.takesData ? options.database : nil
    manifest.safetyFor = options.safetyFor
    guard let server, let pool else { return }
    var described = Manifest.Server()
    described.version = server.version.description
    switch server.topology {
    case .standalone: described.topology = "standalone"
    case .sharded: described.topology = "sharded"
    case .replicaSet(let name):
      described.topology = "replicaSet"
      described.replicaSet = name
      do { described.replicaSetID = try pool.withClient { try ReplicaSet.id($0) } } catch let error
        as BackupError
      {
        guard error.code == .privilege else { throw error }
        guard options.takesData else { break }
        let text =
          "which replica set this is cannot be read, so that recovery to a moment cannot begin with this "
          + "backup: grant the user the role clusterMonitor"
        manifest.notices.append(text)
        options.notice?(text)
      }
    }
    manifest.server = described
  }

  // MARK: - Parts

  private func data(_ writer: SetWriter, _ manifest: inout Manifest) throws {
    guard let pool else { return }
    var dump = DumpOptions()
    dump.database = options.database
    dump.consistency = options.consistency
    dump.parallel = options.parallel
    // What a restore has loaded beside is none of what it replaces. An ordinary backup keeps it: a base
    // for recovery needs what the oplog renames later.
    if options.safetyFor != nil { dump.temporaryPrefixes = [Temporary.prefix] }
    dump.compressionLevel = options.compressionLevel
    dump.cancellation = options.cancellation
    dump.progress = options.progress
    dump.notice = options.notice
    if options.database != nil {
      // A whole server's archive has them anyway.
      dump.includesUsersAndRoles = try pool.withClient { try Self.mayReadUsers($0) }
      if !dump.includesUsersAndRoles {
        manifest.notices.append("users and roles are not in it: this user may not read them")
      }
    }
    if let ledger = options.ledger { manifest.migrations = applied(pool, ledger) }
    var summary: DumpSummary?
    let file = try writer.file(
      "data.archive", .data, compresses: false, isCompressed: options.compressionLevel != nil
    ) { sink in
      summary = try Dumper(pool: pool, options: dump).run(to: .archiveStream(sink))
    }
    guard let summary else { return }
    manifest.files.append(file)
    manifest.notices += summary.notices
    var consistency = Manifest.Consistency()
    consistency.mode = summary.mode.rawValue
    consistency.time = summary.clusterTime
    consistency.oplogStart = summary.replayStart
    consistency.oplogEnd = summary.oplogEnd
    manifest.consistency = consistency
    manifest.collections = summary.collections.filter { $0.namespace != .oplog }.map {
      Manifest.Collection(
        namespace: $0.namespace.description, type: $0.type, count: $0.tally.count,
        bytes: $0.tally.bytes, fingerprint: $0.tally.fingerprint.description,
        indexes: $0.metadata?.indexes ?? [],
        expireAfterSeconds: $0.metadata?.options?["expireAfterSeconds"]?.integerValue)
    }.sorted { $0.namespace < $1.namespace }
  }

  private static func mayReadUsers(_ client: Client) throws -> Bool {
    do throws(MongoError) {
      for name in ["system.users", "system.roles"] {
        _ = try client.database("admin").findOne(name, options: ["projection": ["_id": 1]])
      }
      return true
    } catch {
      guard error.kind == .privilege else { throw error }
      return false
    }
  }

  /// By tar, which keeps owner, mode, times and symbolic links.
  private func files(_ writer: SetWriter, _ manifest: inout Manifest) throws {
    guard !options.files.isEmpty else { return }
    let words =
      ["tar", "--create", "--file=-", "--format=pax", "--directory=" + options.folder, "--"]
      + options.files
    var changed = false
    let file = try writer.file(
      "files.tar", .files, compresses: true, isCompressed: true
    ) { sink in
      let program = try RunningProgram(
        words, input: false, output: true, limits: .init(cancellation: options.cancellation))
      do {
        try Transfer.all(ProgramSource(program), to: sink) { try options.cancellation.check() }
      } catch {
        program.kill()
        try options.cancellation.check()
        throw error
      }
      switch program.wait() {
      case .exited(0): break
      // 1: some files changed while they were read. - Source: GNU tar's manual.
      case .exited(1): changed = true
      default: throw program.failure(kill: false)
      }
    }
    if changed {
      manifest.notices.append("some files changed while they were read")
      options.notice?("some files changed while they were read")
    }
    manifest.files.append(file)
  }

  private func command(
    _ stream: StreamCommand, _ writer: SetWriter, _ manifest: inout Manifest
  ) throws {
    let words = try CommandWords.split(stream.dump, name: stream.name)
    var count: Int64 = 0
    let file = try writer.file(
      "commands/" + stream.name, .command, compresses: true, isCompressed: true,
      stream: stream.name
    ) { sink in
      let program = try RunningProgram(
        words, input: false, output: true, limits: .init(cancellation: options.cancellation))
      do {
        count = try Transfer.all(ProgramSource(program), to: sink) {
          try options.cancellation.check()
        }
      } catch {
        program.kill()
        try options.cancellation.check()
        throw error
      }
      do throws(BackupError) { try program.finish() } catch {
        try options.cancellation.check()
        throw BackupError(
          .program, "the command of '\(stream.name)' failed", hint: "try it by hand", cause: error)
      }
      guard count > 0 else {
        throw BackupError(
          .program, "the command of '\(stream.name)' wrote nothing",
          hint: "an empty dump is no backup; try it by hand")
      }
    }
    manifest.files.append(file)
  }

  /// What the ledger says now; a backup without a ledger has none.
  private func applied(_ pool: ClientPool, _ ledger: Namespace) -> [String] {
    let names = try? pool.withClient { client in
      try client.database(ledger.database).find(
        ledger.collection, filter: ["status": "success"],
        options: ["projection": ["name": 1], "sort": ["name": 1]]
      ).all().compactMap { $0["name"]?.stringValue }
    }
    return names ?? []
  }
}

/// What an oplog chain belongs to.
enum ReplicaSet {
  /// The id that a replica set got when it was initiated; nil on a standalone.
  static func id(_ client: Client) throws -> String? {
    let document: Document?
    do throws(MongoError) {
      document = try client.database("local").findOne("system.replset")
    } catch {
      guard error.kind == .privilege else { throw error }
      throw BackupError(
        .privilege, "this user may not read which replica set this is (local.system.replset)",
        hint: "grant it the role clusterMonitor", cause: error)
    }
    guard case .objectID(let id)? = document?["settings"]?.documentValue?["replicaSetId"] else {
      return nil
    }
    return id.description
  }

  /// The time of the first entry that the oplog still has.
  static func oldestEntry(_ client: Client) throws -> Timestamp? {
    for _ in 0..<5 {
      do throws(MongoError) {
        return try client.database("local").findOne(
          "oplog.rs", options: ["sort": ["$natural": 1], "projection": ["ts": 1]])?["ts"]?
          .timestampValue
      } catch {
        // It was overwritten while it was read.
        guard error.code == 136 else { throw error }
      }
    }
    return nil
  }
}
