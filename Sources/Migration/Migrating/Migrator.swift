public import BSON
public import MongoDB

/// Migrations of one database, from files, from code or from both.
///
/// The one entrance to the engine, for commands and for applications. Every call blocks until the
/// server has answered; a `Migrator` may be used from several threads.
public struct Migrator: Sendable {
  static let lockID = "lock"

  /// Where the clients come from.
  public let pool: ClientPool
  /// The database that is migrated and holds the ledger.
  public let database: String
  /// Files and code together, in their order.
  public let migrations: [Migration]
  /// Files that could not be read; `up` and `down` refuse while there are any.
  public let problems: [MigrationError]
  /// The names of the ledger's collections.
  public let names: LedgerNames
  /// How long a lease lasts without a heartbeat, and how long to wait for another's.
  public var leaseDuration: Duration = .seconds(60)
  public var lockWait: Duration = .zero
  /// Where dropped collections go; nil keeps them in the database under another name.
  public var archive: (any CollectionArchive)?
  /// Called with a plan that is confirmed, before anything is written for it, while the lease is held:
  /// takes a backup where one is due, and returns its name for the ledger. What it throws ends the run.
  public var backup: (@Sendable (Plan) throws -> String?)?
  /// Recorded with each run: host, user, pid, tool.
  public let appliedBy: Document
  let code: [String: CodeMigration]

  /// - Parameters:
  ///   - files: what a ``MigrationLoader`` has read, or nil without files.
  ///   - code: migrations written in Swift.
  ///   - appliedBy: what the ledger says of the caller; host, user and pid are filled in.
  /// - Throws: ``MigrationError`` `.duplicateNumber` when two migrations share a number.
  public init(
    pool: ClientPool, database: String, files: LoadedMigrations? = nil,
    code: [CodeMigration] = [], names: LedgerNames = LedgerNames(), tool: String = "martlet"
  ) throws(MigrationError) {
    self.pool = pool
    self.database = database
    self.names = names
    problems = files?.errors ?? []
    self.code = Dictionary(code.map { ($0.id.stem, $0) }, uniquingKeysWith: { a, _ in a })
    let all = ((files?.migrations ?? []) + code.map(\.migration)).sorted { $0.id < $1.id }
    for (a, b) in zip(all, all.dropFirst()) where a.id.number == b.id.number {
      throw MigrationError(
        .duplicateNumber, "\(a.name) and \(b.name) have the same number",
        file: b.source.path, hint: "give one of them another number")
    }
    migrations = all
    appliedBy = CallerIdentity.document(tool: tool)
  }

  // MARK: - Planning

  /// What `up` would do; only reads.
  public func planUp(_ request: UpRequest = UpRequest()) throws -> Plan {
    try checkFiles()
    return try pool.withClient { try planUp(request, $0) }
  }

  /// What `down` would do; only reads.
  public func planDown(_ request: DownRequest) throws -> Plan {
    try checkFiles()
    return try pool.withClient { try planDown(request, $0) }
  }

  func planUp(_ request: UpRequest, _ client: Client) throws -> Plan {
    let ledger = try Ledger(client.database(database), names: names).load()
    let empty = ServerState(
      database: database, release: Release(major: 0), topology: .replicaSet,
      now: DateTime(milliseconds: 0))
    let first = Planner(migrations: migrations, ledger: ledger, state: empty, seed: "")
    try first.checkHistory(allowOutOfOrder: request.allowOutOfOrder)
    let state = try StateReader(client: client, database: database, names: names)
      .read(for: try first.pending(request))
    return try Planner(
      migrations: migrations, ledger: ledger, state: state, seed: StepHash.newSeed()
    ).up(request)
  }

  func planDown(_ request: DownRequest, _ client: Client) throws -> Plan {
    let ledger = try Ledger(client.database(database), names: names).load()
    let state = try StateReader(client: client, database: database, names: names)
      .read(for: migrations, counting: false)
    let plan = try Planner(
      migrations: migrations, ledger: ledger, state: state, seed: StepHash.newSeed()
    ).down(request)
    try WayBack(database: client.database(database), names: names).check(plan)
    return plan
  }

  func checkFiles() throws(MigrationError) {
    guard var first = problems.first else { return }
    first.others = Array(problems.dropFirst())
    throw first
  }

  // MARK: - Executing

  /// Applies what is pending: takes the lease, plans, asks, executes that very plan.
  ///
  /// - Parameters:
  ///   - confirm: sees the plan before anything is written; false leaves everything as it is.
  ///   - cancellation: looked at between chunks and steps.
  ///   - observer: told of every step; called from several threads.
  /// - Throws: ``MigrationError``; `MongoError` `.locked` when another run holds the lease.
  public func up(
    _ request: UpRequest = UpRequest(), cancellation: Cancellation = Cancellation(),
    observer: @escaping @Sendable (ExecutionEvent) -> Void = { _ in },
    confirm: (Plan) throws -> Bool = { _ in true }
  ) throws -> RunReport {
    try checkFiles()
    // Refusals that need no lease come first, so that nothing at all is written for them.
    _ = try planHistory(request)
    return try withLease(cancellation) { lease, client in
      let plan = try planUp(request, client)
      return try execute(plan, lease, client, cancellation, observer, confirm)
    }
  }

  /// Takes migrations back, newest first.
  public func down(
    _ request: DownRequest, cancellation: Cancellation = Cancellation(),
    observer: @escaping @Sendable (ExecutionEvent) -> Void = { _ in },
    confirm: (Plan) throws -> Bool = { _ in true }
  ) throws -> RunReport {
    try checkFiles()
    _ = try planDown(request)
    return try withLease(cancellation) { lease, client in
      let plan = try planDown(request, client)
      return try execute(plan, lease, client, cancellation, observer, confirm)
    }
  }

  private func planHistory(_ request: UpRequest) throws -> [Migration] {
    try pool.withClient { client in
      let ledger = try Ledger(client.database(database), names: names).load()
      let state = ServerState(
        database: database, release: Release(major: 0), topology: .replicaSet,
        now: DateTime(milliseconds: 0))
      let planner = Planner(migrations: migrations, ledger: ledger, state: state, seed: "")
      try planner.checkHistory(allowOutOfOrder: request.allowOutOfOrder)
      let pending = try planner.pending(request)
      try Privileges.read(client)?.check(pending, database: database, names: names)
      return pending
    }
  }

  private func execute(
    _ plan: Plan, _ lease: Lease, _ client: Client, _ cancellation: Cancellation,
    _ observer: @escaping @Sendable (ExecutionEvent) -> Void, _ confirm: (Plan) throws -> Bool
  ) throws -> RunReport {
    if var first = plan.conflicts.first {
      first.others = Array(plan.conflicts.dropFirst())
      throw first
    }
    guard !plan.isEmpty else { return RunReport(direction: plan.direction) }
    guard try confirm(plan) else {
      throw MigrationError(.declined, "not confirmed: nothing was changed")
    }
    try cancellation.check()
    let backup = plan.direction == .up ? try self.backup?(plan) : nil
    try cancellation.check()
    try Ledger(client.database(database), names: names).prepare()
    let environment = RunEnvironment(
      pool: pool, database: database, names: names, fence: lease.fence, cancellation: cancellation,
      appliedBy: appliedBy, code: code, observer: observer,
      hasTransactions: try client.hello().hasTransactions, archive: archive, backup: backup)
    return try Executor(environment, client: client).run(plan)
  }

  /// Fencing numbers rise for ever: a lock document that somebody dropped must not begin below those
  /// that stand in the ledger, or every later run would look like one that has lost its lease.
  private func carryFenceOver(_ database: Database) throws {
    let newest: Document = ["sort": ["fence": -1], "projection": ["fence": 1], "limit": 1]
    guard
      let reached = try database.findOne(names.ledger, options: newest)?["fence"]?.integerValue
    else { return }
    let lock = try database.findOne(names.lock, filter: ["_id": .string(Self.lockID)])
    guard (lock?["fence"]?.integerValue ?? 0) < reached else { return }
    _ = try database.update(
      names.lock,
      [
        [
          "q": ["_id": .string(Self.lockID)], "u": ["$max": ["fence": .int64(reached)]],
          "upsert": true,
        ]
      ])
  }

  func withLease<R>(_ cancellation: Cancellation, _ body: (Lease, Client) throws -> R) throws -> R {
    try pool.withClient { try carryFenceOver($0.database(database)) }
    let lease = try Lease.acquire(
      pool: pool, database: database, collection: names.lock, id: Self.lockID, holder: appliedBy,
      duration: leaseDuration, heartbeat: leaseDuration / 3, wait: lockWait,
      cancellation: cancellation)
    do {
      let result = try pool.withClient { try body(lease, $0) }
      // A release that fails leaves a lease that expires; the work is done all the same.
      try? lease.release()
      return result
    } catch {
      try? lease.release()
      throw error
    }
  }
}
