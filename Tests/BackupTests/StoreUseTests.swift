import BSON
import Dump
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Backup

/// Several at work on one store.
@Suite struct StoreUseTests {
  @Test("a restore makes its safety backup although a backup is being made, and removes none of it")
  func safetyBesideBackup() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let lock = try StoreLock.acquire(shop.store, purpose: "backup run")
      defer { lock.release() }
      let half = "20990128T100000Z-database"
      try shop.store.put(half + "/data.archive.gz", bytes: [1])
      try shop.server.withDatabase { try $0.drop("users") }
      let report = try shop.restore(made.id)
      let safety = try #require(report.safetyBackup)
      #expect(safety.hasSuffix("-safety"))
      try Verifier(shop.store).verify(safety, depth: .documents)
      #expect(try shop.store.read(half + "/data.archive.gz") == [1])
      #expect(try StoreUse.claims(shop.store).isEmpty)
    }
  }

  @Test("a drill and a restore do not wait for each other")
  func drillBesideRestore() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let drilling = try StoreLock.acquire(shop.store, area: "drill", purpose: "drill")
      _ = try shop.restore(made.id) { $0.safetyBackup = false }
      drilling.release()
      let restoring = try StoreLock.acquire(shop.store, area: "restore", purpose: "restore")
      defer { restoring.release() }
      let refused = #expect(throws: BackupError.self) { try shop.restore(made.id) }
      #expect(refused?.code == .locked)
      let program = try TestServer.environment("MARTLET_MONGOD")
      let report = try Drill(shop.store, program: program, folder: shop.scratch.path).run(made.id)
      #expect(report.collections > 0)
    }
  }

  @Test("pruning leaves alone what somebody reads or makes, and removes it afterwards")
  func pruneBesideUse() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    let ids = (10...13).map { "202601\($0)T100000Z-full" }
    for id in ids { _ = try SmallSet.make(in: store, id: id, archive: SmallSet.archive) }
    let half = "20260114T100000Z-database-safety"
    let use = try StoreUse(store, sets: [ids[0], half], purpose: "restore")
    try Catalog(store).begin(half, "safety backup")
    try store.put(half + "/data.archive.gz", bytes: [1])
    let pruner = Pruner(store, policy: RetentionPolicy(last: 1))
    let plan = try pruner.run()
    #expect(plan.verdicts.last?.reasons.first?.hasPrefix("in use: restore of ") == true)
    #expect(try Catalog(store).sets().map(\.id) == [ids[3], ids[0]])
    #expect(try store.read(half + "/data.archive.gz") == [1])
    use.end()
    _ = try pruner.run()
    #expect(try Catalog(store).sets().map(\.id) == [ids[3]])
    #expect(try store.folders().contains(half) == false)
  }

  @Test("what a restore that died has used is kept for a day, so that it can be completed")
  func deadUse() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    let child = try RunningProgram(["true"], input: false, output: false)
    _ = child.wait()
    for (purpose, hours) in [("restore", 1), ("restore", 25), ("drill", 1)] as [(String, Int64)] {
      var holder = LockHolder.current(purpose)
      holder.pid = child.pid
      holder.processStart = 1
      holder.heartbeat -= hours * 3600
      var document = holder.document
      document.append("sets", .array([.string("\(purpose)\(hours)")]))
      try store.put(
        "locks/uses/\(purpose)\(hours).json", bytes: Array(document.extendedJSON(.relaxed).utf8))
    }
    #expect(try StoreUse.claims(store).map(\.sets) == [["restore1"]])
    #expect(try store.list("locks/uses", recursively: true).count == 1)
  }

  @Test("pruning leaves alone the slices that a recovery needs")
  func slicesInUse() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    for (first, last) in [(1, 5), (5, 9), (9, 12)] {
      try SmallChain.slice(in: store, first...last, begins: first == 1)
    }
    var manifest = try SmallSet.make(in: store, archive: SmallSet.archive)
    manifest.server = Manifest.Server()
    manifest.server?.replicaSetID = SmallChain.id
    var consistency = Manifest.Consistency()
    consistency.mode = "snapshot"
    consistency.time = SmallChain.time(10)
    manifest.consistency = consistency
    try store.put(manifest.id + "/manifest.json", bytes: SealedText.seal(manifest.document))
    let use = try StoreUse(
      store, sets: [manifest.id], oplogFrom: SmallChain.time(6), purpose: "restore")
    let pruner = Pruner(store, policy: RetentionPolicy(last: 1))
    #expect(try pruner.run().slices.map(\.start) == [SmallChain.time(1)])
    use.end()
    // As a pruning leaves it that dies between the two files of a slice.
    let dead = try SmallChain.slice(in: store, 2...3)
    try store.put(dead.damageName, bytes: [1])
    let written = try SmallChain.slice(in: store, 12...13)
    for slice in [dead, written] { try store.delete(slice.descriptionName) }
    #expect(try pruner.run().slices.map(\.start) == [SmallChain.time(5)])
    let left = try store.list("oplog", recursively: true).map(\.name)
    #expect(left.filter { $0.contains(".bson") }.count == 2)
    #expect(left.contains(written.dataName) && !left.contains(dead.damageName))
  }

  @Test("a holder in another pid namespace is alive though its number is nobody's here")
  func namespaces() throws {
    // Only root, or who may make user namespaces, can try this.
    let inside = ["unshare", "--fork", "--pid", "--mount-proc"]
    guard try RunningProgram.output(of: inside + ["true"]).ending == .exited(0) else { return }
    let scratch = try ScratchFolder()
    let pipe = scratch.path + "/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    let text = """
      backup:
        store: ./backups
        keep: {last: 1}
        commands: [{name: x, dump: "cat \(pipe)"}]
      """
    try scratch.write(Array(text.utf8), "martlet.yaml")
    let binary = try TestServer.environment("MARTLET_BINARY")
    let running = try ChildProcess(
      "/usr/bin/env", inside + [binary, "backup", "run", "--kind", "files"],
      directory: scratch.path)
    // Opens once the command reads: by then the lock is held and the set begun.
    let writer = try #require(FileHandle(forWritingAtPath: pipe))
    for words in [["backup", "prune"], ["backup", "run", "--kind", "files"]] {
      let other = try MartletBinary.run(words, directory: scratch.path)
      try #require(other.exitCode == 11, "\(other.stderr)")
    }
    try writer.write(contentsOf: Data("whole".utf8))
    try writer.close()
    let result = running.wait()
    #expect(result.exitCode == 0, "\(result.stderr)")
    let store = FolderStore(path: scratch.path + "/backups")
    let made = try Catalog(store).latest(.command)
    try Verifier(store).verify(made.id, depth: .documents)
  }

  @Test("what a run that died was writing is removed after a day, and not before")
  func deserted() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    try store.put("locks/store/x.json", bytes: [1])
    for name in ["old", "new"] { try scratch.write([1], "locks/store/.partial-\(name)") }
    let path = scratch.path + "/locks/store/.partial-old"
    var times = [timeval(tv_sec: 1_769_594_400, tv_usec: 0), timeval(tv_sec: 1, tv_usec: 0)]
    times[1] = times[0]
    #expect(utimes(path, times) == 0)
    #expect(try store.list("locks/store", recursively: true).count == 1)
    #expect(access(path, F_OK) != 0)
    #expect(access(scratch.path + "/locks/store/.partial-new", F_OK) == 0)
  }

  @Test("a backup is restored from a store that can only be read, without a safety backup")
  func readOnly() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let store = ReadOnlyStore(inner: shop.store)
      #expect(store.isReadOnly() && !shop.store.isReadOnly())
      try shop.server.withDatabase { try $0.drop("users") }
      var options = RestoreOptions()
      options.workFolder = shop.scratch.path
      let runner = RestoreRunner(store, pool: shop.server.pool, options: options)
      #expect(try runner.plan(made.id).backup.id == made.id)
      // What would be replaced cannot be saved: nothing is.
      let before = try shop.server.withDatabase { try $0.listCollections().map(\.name).sorted() }
      let refused = #expect(throws: BackupError.self) { try runner.run(made.id) }
      #expect(refused?.isReadOnly == true)
      #expect(
        try shop.server.withDatabase { try $0.listCollections().map(\.name).sorted() } == before)
      options.safetyBackup = false
      _ = try RestoreRunner(store, pool: shop.server.pool, options: options).run(made.id)
      #expect(try shop.server.withDatabase { try $0.count("users") } > 0)
      let locked = #expect(throws: BackupError.self) {
        try StoreLock.acquire(store, purpose: "backup run")
      }
      #expect(locked?.isReadOnly == true)
    }
  }
}

/// As a file system that is mounted read-only.
private struct ReadOnlyStore: Store {
  let inner: any Store
  var location: String { inner.location }

  private var refusal: BackupError {
    var error = BackupError(.store, "create: Read-only file system", path: location)
    error.isReadOnly = true
    return error
  }

  func put(_ name: String, size: Int64?) throws(BackupError) -> any StoreWriter { throw refusal }
  func get(_ name: String, range: Range<Int64>?) throws(BackupError) -> any ByteSource {
    try inner.get(name, range: range)
  }
  func list(_ folder: String, recursively: Bool) throws(BackupError) -> [StoreEntry] {
    try inner.list(folder, recursively: recursively)
  }
  func delete(_ name: String) throws(BackupError) { throw refusal }
  func removeEmptyFolder(_ folder: String) {}
  func freeSpace() -> Int64? { nil }
}
