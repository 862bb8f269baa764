internal import BSON
internal import Dump
import Fingerprint
internal import Glibc
public import MongoDB

/// Restores a backup into a server of its own, compares everything, and throws the server away.
public struct Drill: Sendable {
  /// What it took.
  public struct Report: Sendable {
    public var backup: String
    public var serverVersion: String
    public var collections: Int
    public var documents: Int64
    public var indexes: Int
    /// From the start of reading to the end of the last index: the measured recovery time, without
    /// starting a server.
    public var recoveryMilliseconds: Int64
    /// Oplog entries that complete the backup.
    public var replayed: Int64
    /// What was compared with the manifest, and how far.
    public var compared: [Compared]
    /// What `check` had to say.
    public var findings: [String] = []
    /// How many checks it made.
    public var checks = 0
    public var notices: [String]
  }

  /// Looks at the restored data; returns how many checks were made, and what they found.
  public typealias Check =
    @Sendable (_ pool: ClientPool, _ manifest: Manifest) throws -> (made: Int, findings: [String])

  private let store: any Store
  private let age: Age
  private let program: String
  private let folder: String
  private let check: Check?
  private let cancellation: Cancellation
  private let notice: (@Sendable (String) -> Void)?

  /// - Parameters:
  ///   - program: the mongod; `MARTLET_MONGOD` or the one on PATH by default.
  ///   - folder: where there is room for the restored data.
  ///   - check: is given the server once everything in it has been compared.
  public init(
    _ store: any Store, age: Age = Age(),
    program: String = ProcessEnvironment["MARTLET_MONGOD"] ?? "mongod",
    folder: String = ProcessEnvironment["TMPDIR"] ?? "/tmp",
    check: Check? = nil, cancellation: Cancellation = Cancellation(),
    notice: (@Sendable (String) -> Void)? = nil
  ) {
    self.store = store
    self.age = age
    self.program = program
    self.folder = folder
    self.check = check
    self.cancellation = cancellation
    self.notice = notice
  }

  /// Drills one set; nil is the newest good one. Blocks.
  /// - Throws: ``BackupError`` `.mismatch` with the namespace when the restored data differs.
  public func run(_ id: String?) throws -> Report {
    let set = try id.map { try Catalog(store).find($0) } ?? Catalog(store).latest()
    guard let manifest = set.manifest, manifest.data != nil else {
      throw BackupError(.usage, "the backup holds no data to restore", path: set.id)
    }
    let server = try ThrowawayServer(
      program: program, parent: folder, cacheGigabytes: 0.5, cancellation: cancellation)
    defer { server.stop() }
    let pool = try server.pool()
    try pool.withClient { try server.check($0) }
    var options = RestoreOptions()
    // What is needed now does not wait for a drill.
    options.area = "drill"
    options.inPlace = true
    options.safetyBackup = false
    options.comparesExpiring = true
    options.age = age
    options.workFolder = server.folder
    options.cancellation = cancellation
    options.notice = notice
    let restored = try RestoreRunner(store, pool: pool, options: options).run(set.id)
    var report = Report(
      backup: manifest.id,
      serverVersion: try pool.withClient { try $0.hello().version.description },
      collections: restored.restored.count, documents: restored.documents,
      indexes: restored.compared.reduce(0) { $0 + $1.indexes },
      recoveryMilliseconds: restored.durationMilliseconds, replayed: restored.replayed,
      compared: restored.compared, notices: restored.notices)
    if let check { (report.checks, report.findings) = try check(pool, manifest) }
    return report
  }
}
