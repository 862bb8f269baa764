public import BSON
internal import CLibMongoc

/// One client of a pool. Blocking; used by one thread at a time.
public final class Client {
  let handle: ClientHandle
  /// What the pool was made from.
  public var settings: ConnectionSettings { handle.pool.settings }
  /// Where the client came from, for work on other threads.
  public var pool: ClientPool { handle.pool }

  init(pool: ClientPool, pointer: OpaquePointer, link: ReplyLink) {
    handle = ClientHandle(pointer: pointer, pool: pool, link: link)
  }

  /// A database on this client; nothing is sent.
  public func database(_ name: String) -> Database { Database(client: self, name: name) }

  /// Runs any command and returns the reply; blocks for as long as the server takes.
  ///
  /// - Throws: ``MongoError``, also for a reply of `ok: 1` with `writeErrors` or a
  ///   `writeConcernError`; its `reply` then tells what was done.
  public func run(
    _ command: Document, on database: String, session: Session? = nil,
    options: CommandOptions = .init()
  ) throws(MongoError) -> Document {
    try repeating(command, session) { () throws(MongoError) in
      try execute(command, on: database, session: session, options: options).document()
    }
  }

  /// Runs a command whose reply has a `cursor`, and reads on from there.
  ///
  /// Every cursor has a session, its own if none is given: the server refuses a getMore of another.
  /// - Parameter member: as ``Cursor/member`` of another cursor of this pool, to read where that does.
  /// - Throws: ``MongoError``.
  public func cursor(
    _ command: Document, on database: String, session: Session? = nil,
    options: CommandOptions = .init(), member: UInt32? = nil
  ) throws(MongoError) -> Cursor {
    let session: Session = if let session { session } else { try startSession() }
    let (server, reply) = try repeating(command, session) { () throws(MongoError) in
      let server: UInt32 =
        if let member { member } else if session.isInTransaction { 0 } else {
          try selectServer(options.readPreference)
        }
      let reply = try execute(
        command, on: database, session: session, options: options, server: server,
        takingBatch: true)
      return (server, reply)
    }
    return try Cursor(
      client: self, session: session, server: server, reply: reply,
      context: context(command, database), batchSize: Cursor.batchSize(of: command))
  }

  /// Sends a command and checks its reply. `server` 0 lets libmongoc choose. `takingBatch` is for a
  /// cursor: its documents may then be beside the reply, which has an empty batch instead.
  func execute(
    _ command: Document, on database: String, session: Session?, options: CommandOptions,
    server: UInt32 = 0, takingBatch: Bool = false
  ) throws(MongoError) -> Reply {
    let context = context(command, database)
    let inTransaction = session?.isInTransaction ?? false
    let body = options.applied(to: command, inTransaction: inTransaction)
    let extras = OptionsBSON()
    if server != 0 { extras.set("serverId", Int32(truncatingIfNeeded: server)) }
    try session?.append(to: extras)
    let preference = options.readPreference.handle()
    let reply = Reply()
    var error = bson_error_t()
    let send = { [self] in
      body.withBSON { pointer in
        mongoc_client_command_with_opts(
          handle.pointer, database, pointer, preference?.pointer, extras.pointer, reply.pointer,
          &error)
      }
    }
    var ok: Bool?
    if takingBatch { (ok, reply.batch) = handle.link.takingBatch(send) } else { ok = send() }
    return try check(ok, reply, error, context, session)
  }

  private func check(
    _ ok: Bool?, _ reply: Reply, _ error: bson_error_t, _ context: CallContext, _ session: Session?
  ) throws(MongoError) -> Reply {
    guard let ok else {
      throw MongoError(
        .client, "the command is too large", command: context.command, namespace: context.namespace)
    }
    guard ok else {
      throw MongoError.from(error, reply: try? reply.document(), context)
    }
    // One pass over the top-level names; values are skipped by their lengths.
    let inner = reply.withBytes { bytes in
      (try? DocumentView(bytes)).flatMap { MongoError.inside($0, context) }
    }
    if let inner {
      session?.noteFailedWrites(inner)
      throw inner
    }
    return reply
  }

  func context(_ command: Document, _ database: String) -> CallContext {
    CallContext(
      command: command.commandName,
      namespace: command.commandCollection.map { "\(database).\($0)" } ?? database,
      settings: settings)
  }

  /// The id of a server that reads of that preference may go to; cursors stay on it.
  private func selectServer(_ preference: ReadPreference) throws(MongoError) -> UInt32 {
    let wanted = preference.handle()
    var error = bson_error_t()
    guard
      let server = mongoc_client_select_server(
        handle.pointer, wanted == nil, wanted?.pointer, &error)
    else {
      throw MongoError.from(error, reply: nil, CallContext(settings: settings))
    }
    defer { mongoc_server_description_destroy(server) }
    return mongoc_server_description_id(server)
  }
}

/// Owns a libmongoc read preference.
final class ReadPreferenceHandle {
  let pointer: OpaquePointer

  init(_ mode: mongoc_read_mode_t) { pointer = mongoc_read_prefs_new(mode) }
  deinit { mongoc_read_prefs_destroy(pointer) }
}

extension ReadPreference {
  /// Nil for the primary, which is libmongoc's default.
  func handle() -> ReadPreferenceHandle? {
    let handle: ReadPreferenceHandle
    switch mode {
    case .primary: return nil
    case .primaryPreferred: handle = ReadPreferenceHandle(MONGOC_READ_PRIMARY_PREFERRED)
    case .secondary: handle = ReadPreferenceHandle(MONGOC_READ_SECONDARY)
    case .secondaryPreferred: handle = ReadPreferenceHandle(MONGOC_READ_SECONDARY_PREFERRED)
    case .nearest: handle = ReadPreferenceHandle(MONGOC_READ_NEAREST)
    }
    for tags in tagSets {
      _ = tags.withBSON { mongoc_read_prefs_add_tag(handle.pointer, $0) }
    }
    if let maxStalenessSeconds {
      mongoc_read_prefs_set_max_staleness_seconds(handle.pointer, maxStalenessSeconds)
    }
    return handle
  }
}
