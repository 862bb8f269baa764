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
    public var notices: [String]
  }

  private let store: any Store
  private let age: Age
  private let program: String
  private let folder: String
  private let cancellation: Cancellation
  private let notice: (@Sendable (String) -> Void)?

  /// - Parameters:
  ///   - program: the mongod; `MARTLET_MONGOD` or the one on PATH by default.
  ///   - folder: where there is room for the restored data.
  public init(
    _ store: any Store, age: Age = Age(),
    program: String = ProcessEnvironment["MARTLET_MONGOD"] ?? "mongod",
    folder: String = ProcessEnvironment["TMPDIR"] ?? "/tmp",
    cancellation: Cancellation = Cancellation(), notice: (@Sendable (String) -> Void)? = nil
  ) {
    self.store = store
    self.age = age
    self.program = program
    self.folder = folder
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
    let server = try ThrowawayServer(program: program, folder: folder)
    defer { server.stop() }
    let pool = try server.pool(cancellation)
    var options = RestoreOptions()
    options.inPlace = true
    options.safetyBackup = false
    options.age = age
    options.workFolder = server.folder
    options.cancellation = cancellation
    options.notice = notice
    let restored = try RestoreRunner(store, pool: pool, options: options).run(set.id)
    return try compare(manifest, restored, pool)
  }

  private func compare(_ manifest: Manifest, _ restored: RestoreReport, _ pool: ClientPool) throws
    -> Report
  {
    var report = Report(
      backup: manifest.id, serverVersion: "", collections: restored.restored.count,
      documents: restored.documents, indexes: 0,
      recoveryMilliseconds: restored.durationMilliseconds, notices: restored.notices)
    let isFuzzy = manifest.consistency?.mode == "oplog"
    if isFuzzy {
      report.notices.append(
        "the backup is completed by its oplog: documents are counted, fingerprints are not comparable"
      )
    }
    let wanted = Dictionary(
      manifest.collections.map { ($0.namespace, $0) }, uniquingKeysWith: { a, _ in a })
    try pool.withClient { client in
      report.serverVersion = try client.hello().version.description
      let reader = ReadBack(client: client, cancellation: cancellation)
      for namespace in restored.restored {
        guard let collection = wanted[namespace.description], collection.type != "view" else {
          continue
        }
        report.indexes += collection.indexes.count
        let isSeries = collection.type == "timeseries"
        if !isFuzzy { try reader.compare(namespace, with: collection, indexes: !isSeries) }
      }
    }
    return report
  }
}

/// A mongod with a folder of its own under a temporary folder.
final class ThrowawayServer {
  let folder: String
  private let program: RunningProgram
  private let port: Int

  /// - Throws: ``BackupError`` `.notReady` when there is no mongod.
  init(program name: String, folder parent: String) throws(BackupError) {
    var template = Array((parent + "/martlet-drill.XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { throw Disk.failure("mkdir", parent) }
    folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    port = Int.random(in: 20_000...50_000)
    do throws(BackupError) {
      program = try RunningProgram(
        [
          name, "--dbpath", folder, "--port", String(port), "--bind_ip", "127.0.0.1",
          "--unixSocketPrefix", folder, "--logpath", folder + "/mongod.log",
          // Nothing may expire before it has been compared.
          "--setParameter", "ttlMonitorEnabled=false", "--setParameter",
          "diagnosticDataCollectionEnabled=false", "--wiredTigerCacheSizeGB", "0.5",
        ], input: false, output: false)
    } catch {
      rmdir(folder)
      throw BackupError(
        .notReady, "a drill needs a mongod to restore into: \(error.message)",
        hint: "put mongod on PATH, or name it in MARTLET_MONGOD")
    }
  }

  /// Waits until it answers.
  func pool(_ cancellation: Cancellation) throws -> ClientPool {
    let settings = try ConnectionSettings(
      uri: "mongodb://127.0.0.1:\(port)", serverSelectionTimeout: .seconds(1))
    let pool = try ClientPool(settings)
    let end = Moment.ticks() + 60_000
    while true {
      try cancellation.check()
      if (try? pool.withClient { try $0.hello() }) != nil { return pool }
      guard Moment.ticks() < end, kill(program.pid, 0) == 0, !hasEnded else { throw failed() }
      Pause.milliseconds(200)
    }
  }

  /// It is our child: it stays as a zombie until it is waited for.
  private var hasEnded: Bool {
    var info = siginfo_t()
    return waitid(P_PID, id_t(program.pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0
      || info.si_signo != 0
  }

  private func failed() -> BackupError {
    BackupError(.notReady, "the throwaway mongod does not come up", path: folder + "/mongod.log")
  }

  /// Kills it and removes everything.
  func stop() {
    program.kill()
    _ = try? RunningProgram.output(of: ["rm", "-rf", "--", folder])
  }
}
