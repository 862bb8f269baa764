public import Migration
public import MongoDB

/// Migrations of one database, for an application that applies them when it starts.
///
/// ```swift
/// let migrator = try Migrator(
///   uri: "mongodb://127.0.0.1:27017/shop", directory: "migrations", migrations: [loyaltyPoints])
/// try await migrator.migrate()
/// ```
///
/// Several instances may start at once: one applies, the others wait for it. The work is done on a
/// thread of its own; cancelling the task stops it at the next safe point, and the next run goes on.
public struct Migrator: Sendable {
  /// What `migrate` allows.
  public struct Options: Sendable {
    /// How long to wait for another instance that is migrating.
    public var lockWait: Duration
    /// Apply pending migrations that come before applied ones.
    public var allowOutOfOrder: Bool
    /// Refuse a plan that removes or overwrites something; apply that with the command line.
    public var refusesDestruction: Bool

    public init(
      lockWait: Duration = .seconds(60), allowOutOfOrder: Bool = false,
      refusesDestruction: Bool = false
    ) {
      self.lockWait = lockWait
      self.allowOutOfOrder = allowOutOfOrder
      self.refusesDestruction = refusesDestruction
    }
  }

  /// What is done, and how.
  public var options: Options
  private let engine: MigrationEngine

  /// Reads the folder and prepares; connects on first use.
  ///
  /// - Parameters:
  ///   - uri: `mongodb://…`; its path names the database unless `database` does.
  ///   - directory: folder of migration files, or nil without files.
  ///   - migrations: those written in Swift; ordered with the files by their numbers.
  ///   - collection: the ledger's name.
  /// - Throws: `MongoError` for the URI; ``MigrationError`` for files, and numbers that occur twice.
  public init(
    uri: String, database: String? = nil, directory: String? = nil,
    migrations: [CodeMigration] = [], collection: String = "migrations",
    options: Options = Options()
  ) throws {
    let settings = try ConnectionSettings(uri: uri, appName: "martlet")
    guard let name = database ?? settings.database, !name.isEmpty else {
      throw MongoError(
        .invalidURI, "no database is named",
        hint: "write it in the URI's path or pass `database:`")
    }
    try self.init(
      pool: ClientPool(settings), database: name, directory: directory, migrations: migrations,
      collection: collection, options: options)
  }

  /// Takes a database of a client that there is already; only its pool and its name are used.
  /// - Throws: ``MigrationError``.
  public init(
    _ database: Database, directory: String? = nil, migrations: [CodeMigration] = [],
    collection: String = "migrations", options: Options = Options()
  ) throws {
    try self.init(
      pool: database.client.pool, database: database.name, directory: directory,
      migrations: migrations, collection: collection, options: options)
  }

  /// Takes clients from a pool that there is already; needs three of them at a time.
  /// - Throws: ``MigrationError``.
  public init(
    pool: ClientPool, database: String, directory: String? = nil,
    migrations: [CodeMigration] = [], collection: String = "migrations",
    options: Options = Options()
  ) throws {
    let files = try directory.map { try MigrationLoader(directory: $0).load() }
    engine = try MigrationEngine(
      pool: pool, database: database, files: files, code: migrations,
      names: LedgerNames(ledger: collection), tool: "martlet library")
    self.options = options
  }

  // MARK: - Asking

  /// Where every migration stands; only reads.
  /// - Throws: `MongoError`; ``MigrationError`` `.foreignLedger`.
  public func status() async throws -> StatusReport {
    let engine = engine
    return try await BlockingWork.run { _ in try engine.status() }
  }

  /// True when every migration that this application knows is applied as it knows it.
  ///
  /// Migrations of a newer release of the application, which this one has no file for, do not count.
  /// - Throws: as ``status()``.
  public func hasCompletedMigrations() async throws -> Bool {
    let report = try await status()
    return report.problems.isEmpty
      && report.rows.allSatisfy { $0.state == .applied || $0.state == .missing }
  }

  /// What ``migrate(observer:)`` would do; only reads.
  /// - Throws: `MongoError`; ``MigrationError`` when files and ledger differ.
  public func plan() async throws -> Plan {
    let (engine, request) = (engine, request)
    return try await BlockingWork.run { _ in try engine.planUp(request) }
  }

  // MARK: - Doing

  /// Applies what is pending.
  ///
  /// - Parameter observer: told of every step, from several threads.
  /// - Throws: ``MigrationError``; `MongoError` `.locked` when another instance does not end in time,
  ///   `.cancelled` when the task was cancelled: then the next run goes on.
  @discardableResult
  public func migrate(
    observer: @escaping @Sendable (ExecutionEvent) -> Void = { _ in }
  ) async throws -> RunReport {
    let (engine, request, careful) = (configured, request, options.refusesDestruction)
    return try await BlockingWork.run { cancellation in
      try engine.up(request, cancellation: cancellation, observer: observer) { plan in
        if careful, plan.destroys {
          throw MigrationError(
            .declined, "a pending migration removes or overwrites something",
            hint: "look at `martlet migrate plan`, then run `martlet migrate up`")
        }
        return true
      }
    }
  }

  /// Takes migrations back, newest first; for tests and tools.
  /// - Throws: ``MigrationError``, `.irreversible` among others; `MongoError`.
  @discardableResult
  public func rollBack(
    _ request: DownRequest = .count(1),
    observer: @escaping @Sendable (ExecutionEvent) -> Void = { _ in }
  ) async throws -> RunReport {
    let engine = configured
    return try await BlockingWork.run { cancellation in
      try engine.down(request, cancellation: cancellation, observer: observer)
    }
  }

  private var request: UpRequest { UpRequest(allowOutOfOrder: options.allowOutOfOrder) }

  private var configured: MigrationEngine {
    var engine = engine
    engine.lockWait = options.lockWait
    return engine
  }
}
