public import BSON
public import MongoDB

/// Where every migration stands.
public struct StatusReport: Sendable {
  public enum State: String, Sendable {
    case pending, applied, running, interrupted, failed, reverting, edited, missing
  }

  public struct Row: Sendable {
    public let name: String
    public let description: String?
    public let state: State
    public let entry: LedgerEntry?
    /// Steps done and all, for a migration that is half done.
    public let progress: (done: Int, of: Int)?
    /// Applied out of an earlier tool, by `mark` or by `baseline`.
    public var origin: String? {
      entry.flatMap { $0.marked ?? ($0.isLegacy ? "earlier tool" : nil) }
    }
  }

  /// Pre-images that a migration left.
  public struct Undo: Sendable {
    public let migration: String
    public let collection: String
    public let bytes: Int64
    public let chunks: Int64
    /// When the migration began.
    public let since: DateTime?
  }

  public let database: String
  public let rows: [Row]
  /// Everything in which files and ledger differ.
  public let conflicts: [MigrationError]
  /// Files that cannot be read.
  public let problems: [MigrationError]
  /// Who works on this database just now.
  public let holder: LeaseHolder?
  public let kept: [KeptCollections.Kept]
  public let undo: [Undo]
  public let now: DateTime

  /// True when `up` has something to do.
  public var hasPending: Bool {
    rows.contains { [.pending, .failed, .interrupted].contains($0.state) }
  }
}

extension Migrator {
  /// Files, ledger, lock, kept collections and undo data; only reads.
  public func status() throws -> StatusReport {
    try pool.withClient { client in
      let database = client.database(self.database)
      let ledger = try Ledger(database, names: names).load()
      let now = try client.serverTime()
      let holder = try Lease.holder(
        client: client, database: self.database, collection: names.lock, id: Self.lockID)
      let live = holder.map { !$0.isExpired } ?? false
      let planner = Planner(
        migrations: migrations, ledger: ledger,
        state: ServerState(
          database: self.database, release: Release(major: 0), topology: .replicaSet, now: now),
        seed: "")
      let known = Set(migrations.map(\.name))
      var rows = migrations.map { row($0, ledger[$0.name], planner, live: live) }
      rows += ledger.values.filter { !known.contains($0.name) }.sorted { $0.name < $1.name }.map {
        StatusReport.Row(
          name: $0.name, description: $0.description, state: .missing, entry: $0, progress: nil)
      }
      rows.sort { Self.order($0.name, $1.name) }
      return StatusReport(
        database: self.database, rows: rows,
        conflicts: planner.historyConflicts(allowOutOfOrder: false), problems: problems,
        holder: live ? holder : nil, kept: try KeptCollections(database, names: names).all(),
        undo: try undoData(database, ledger), now: now)
    }
  }

  static func order(_ a: String, _ b: String) -> Bool {
    if let x = MigrationID(a), let y = MigrationID(b) { return x < y }
    return a < b
  }

  private func row(
    _ migration: Migration, _ entry: LedgerEntry?, _ planner: Planner, live: Bool
  ) -> StatusReport.Row {
    var state = StatusReport.State.pending
    var progress: (Int, Int)?
    if let entry {
      switch entry.status {
      case .success: state = planner.edited(entry, migration) == nil ? .applied : .edited
      case .running: state = live ? .running : .interrupted
      case .failed: state = .failed
      case .reverting: state = .reverting
      }
      if !entry.isApplied, !entry.steps.isEmpty {
        progress = (entry.steps.filter { $0.state == .done }.count, entry.steps.count)
      }
    }
    return StatusReport.Row(
      name: migration.name, description: migration.description, state: state, entry: entry,
      progress: progress)
  }

  private func undoData(_ database: Database, _ ledger: [String: LedgerEntry]) throws
    -> [StatusReport.Undo]
  {
    let collections = try database.listCollections(
      filter: ["name": ["$regex": .string("^" + Self.quoted(names.undoPrefix))]])
    let owners = Dictionary(
      ledger.values.map { (names.undo(of: $0.name), $0) }, uniquingKeysWith: { a, _ in a })
    return try collections.map { info in
      let stats = try database.run(["collStats": .string(info.name)])
      let owner = owners[info.name]
      return StatusReport.Undo(
        migration: owner?.name ?? String(info.name.dropFirst(names.undoPrefix.count)),
        collection: info.name, bytes: stats["size"]?.integerValue ?? 0,
        chunks: stats["count"]?.integerValue ?? 0, since: owner?.startedAt)
    }
  }

  private static func quoted(_ text: String) -> String {
    text.map { ".$^*+?()[]{}|\\".contains($0) ? "\\\($0)" : String($0) }.joined()
  }
}
