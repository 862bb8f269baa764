import BSON
import Dump
import Fingerprint
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// Nobody is asked to stop: every write that a server has acknowledged is somewhere afterwards.
@Suite struct ConcurrentWriterTests {
  /// Writers that count what was acknowledged.
  private final class Writers: Sendable {
    private let state = Mutex<(acknowledged: [String: Set<String>], running: Int, isOver: Bool)>(
      ([:], 0, false))
    private let pool: ClientPool
    private let database: String

    init(_ pool: ClientPool, _ database: String) {
      self.pool = pool
      self.database = database
    }

    func start(_ collection: String, series: Bool = false, _ threads: Range<Int>) {
      state.withLock { $0.running += threads.count }
      for thread in threads {
        Thread { [self] in
          var number = 0
          while !state.withLock({ $0.isOver }) {
            let id = "w\(thread)-\(number)"
            number += 1
            let now = Int64(Date().timeIntervalSince1970 * 1000)
            let document: Document =
              series
              ? ["t": .date(DateTime(milliseconds: now)), "w": .string(id)] : ["_id": .string(id)]
            do {
              _ = try pool.withClient {
                try $0.database(database).insert(collection, [document])
              }
              state.withLock { _ = $0.acknowledged[collection, default: []].insert(id) }
            } catch {}
          }
          state.withLock { $0.running -= 1 }
        }.start()
      }
    }

    func count(_ collection: String) -> Int {
      state.withLock { $0.acknowledged[collection]?.count ?? 0 }
    }

    /// Lets them go on for so many writes, or a while.
    func wait(for more: Int, _ collection: String) {
      let goal = count(collection) + more
      for _ in 0..<500 where count(collection) < goal { usleep(10_000) }
    }

    func stop() -> [String: Set<String>] {
      state.withLock { $0.isOver = true }
      try? Patience.wait(for: "the end of the writers") { state.withLock { $0.running == 0 } }
      return state.withLock { $0.acknowledged }
    }
  }

  enum Right: CaseIterable { case exchange, collecting, nothingLive, inPlace, inPlaceToTime }

  @Test(
    "each write that was acknowledged during a restore is live, kept, or in the safety backup",
    arguments: Right.allCases)
  func nothingLost(_ right: Right) throws {
    guard right == .collecting else {
      return try Shop.run { try run($0, $0.server.pool, right) }
    }
    let server = try PrivateServer(auth: true)
    try TestServer.run(uri: server.uri) { test in
      let scratch = try ScratchFolder()
      let shop = Shop(
        server: test, scratch: scratch, store: FolderStore(path: scratch.path + "/store"))
      try shop.fill()
      let roles: [Value] = ["backup", "restore", "readWriteAnyDatabase", "dbAdminAnyDatabase"]
      _ = try test.pool.withClient {
        try $0.run(
          ["createUser": "operator", "pwd": "not-a-secret", "roles": .array(roles)], on: "admin")
      }
      let pool = try ClientPool(
        try ConnectionSettings(uri: server.uri, username: "operator", password: "not-a-secret"))
      try run(shop, pool, right)
    }
  }

  private func run(_ shop: Shop, _ pool: ClientPool, _ right: Right) throws {
    let name = shop.name
    try shop.server.withDatabase { _ = try $0.insert("fresh", [["_id": "of the backup"]]) }
    var backup = shop.backupOptions
    backup.database = name
    let made = try BackupRunner(shop.store, pool: pool, options: backup).run()
    let time = try shop.server.withDatabase { database in
      _ = try database.insert("remade", [["_id": "before"]])
      return try #require(try database.client.hello().lastWriteTime)
    }
    if right == .inPlaceToTime { try capture(shop, to: time) }
    try shop.server.withDatabase { try $0.drop("fresh") }

    let writers = Writers(shop.server.pool, name)
    writers.start("users", 0..<2)
    writers.start("metrics", series: true, 2..<3)
    writers.start("remade", 4..<5)
    writers.wait(for: 20, "users")
    var options = shop.restoreOptions
    options.inPlace = right == .inPlace || right == .inPlaceToTime
    if right == .nothingLive { options.only = [try NamespacePattern(name + ".fresh")] }
    if right == .inPlaceToTime { options.time = .entry(time) }
    options.safety = backup
    options.notice = { text in
      // It has no name when the restore is planned.
      if text.hasPrefix("loading") { writers.start("fresh", 3..<4) }
      // Long enough that something happens between the safety backup and the swap or the drop.
      if text.hasPrefix("swapping") || text.hasPrefix("loading") { writers.wait(for: 30, "users") }
    }
    var refused: (any Error)?
    var report = RestoreReport(backup: made.id)
    do {
      report = try RestoreRunner(shop.store, pool: pool, options: options).run(made.id)
    } catch { refused = error }
    writers.wait(for: 20, "users")
    let acknowledged = writers.stop()
    if let refused {
      // In place a writer's document may take an _id that is to be loaded: told, and nothing is lost.
      #expect(right == .inPlace || right == .inPlaceToTime, "\(refused)")
    }
    let safety = try #require(
      try Catalog(shop.store).sets().first { $0.manifest?.safetyFor != nil })

    // What the safety backup holds, with the late writes.
    options = shop.restoreOptions
    options.renames = [try NamespaceRename(from: name + ".*", to: name + ".saved_*")]
    _ = try RestoreRunner(shop.store, pool: shop.server.pool, options: options).run(safety.id)

    try shop.server.withDatabase { database in
      let names = try database.listCollections().map(\.name)
      for (collection, wanted) in acknowledged {
        let field = collection == "metrics" ? "w" : "_id"
        // All kept ones are looked at: their names are hashes.
        let kept = names.filter { $0.hasPrefix(Temporary.prefix) }
        if refused == nil {
          let told = Set(report.kept.map(\.collection))
          #expect(told.isSuperset(of: kept), "\(kept)")
        }
        let places = [collection, "saved_" + collection].filter(names.contains) + kept
        var found: Set<String> = []
        for place in places {
          let ids = try database.find(place).all().compactMap { $0[field]?.stringValue }
          found.formUnion(ids)
        }
        let lost = wanted.subtracting(found)
        #expect(lost.isEmpty, "\(collection): \(lost.count) of \(wanted.count) lost, \(right)")
      }
      #expect(acknowledged["users"]?.isEmpty == false)
      #expect(acknowledged["fresh"]?.isEmpty == false)
    }
  }

  private func capture(_ shop: Shop, to time: Timestamp) throws {
    let seen = Mutex(Timestamp(rawValue: 0))
    var options = OplogCapture.Options()
    options.slice = .zero
    options.sliced = { slice in seen.withLock { $0 = slice.end } }
    options.until = { seen.withLock { $0 } >= time }
    try OplogCapture(shop.store, pool: shop.server.pool, options: options).run()
  }
}
