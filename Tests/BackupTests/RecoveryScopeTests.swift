import BSON
import Dump
import Fingerprint
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

@Suite struct RecoveryScopeTests {
  private final class NoticeList: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
  }

  private func windows(_ shop: Shop) throws -> [RestorableWindow] {
    RestorableWindows.all(
      try Catalog(shop.store).sets(), try SliceCatalog(shop.store).chains())
  }

  @Test("slices of another database lead nowhere, also when all are captured again afterwards")
  func filtered() throws {
    try Shop.run { shop in
      let base = try shop.backup()
      try shop.capture(only: ["elsewhere"])
      let window = try #require(try windows(shop).first)
      #expect(window.start == window.end)
      #expect(window.databases == [shop.name])
      let notices = NoticeList()
      try shop.capture(notice: { notices.add($0) })
      #expect(
        notices.all.contains { $0.contains("slices held elsewhere so far, and all databases") })
      let time = try #require(try SliceCatalog(shop.store).chains().first?.runs.last?.end)
      for id in [nil, base.id] {
        let error = #expect(throws: BackupError.self) {
          _ = try shop.restore(id) { $0.time = .entry(time) }
        }
        #expect(error?.code == .unreachableTime, "\(String(describing: error))")
      }
      let fresh = try shop.backup()
      try shop.capture()
      let end = try #require(try SliceCatalog(shop.store).chains().first?.runs.last?.end)
      #expect(try shop.restore(nil) { $0.time = .entry(end) }.backup == fresh.id)
    }
  }

  @Test("a capture of one database leads further for that one")
  func narrowed() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      try shop.capture()
      try shop.server.withDatabase { _ = try $0.insert("orders", [["_id": 9001, "n": 9001]]) }
      try shop.capture(only: [shop.name])
      let end = try #require(try SliceCatalog(shop.store).chains().first?.slices.last?.end)
      let window = try #require(try windows(shop).first)
      #expect(window.end == end)
      try shop.server.withDatabase { _ = try $0.delete("orders", [["q": [:], "limit": 0]]) }
      _ = try shop.restore(nil) { $0.time = .entry(end) }
      #expect(try shop.server.withDatabase { try $0.count("orders") } == 501)
      // To whoever wants all of the server those slices are a hole.
      let chain = try #require(try SliceCatalog(shop.store).chains().first)
      #expect(try #require(chain.limited(to: nil).runs.last?.end) < end)
      #expect(chain.limited(to: [shop.name, "elsewhere"]).slices == chain.limited(to: nil).slices)
    }
  }

  @Test("the base is one of the database that is asked for; which is not guessed")
  func databases() throws {
    try Shop.run { shop in
      let other = shop.name + "_b"
      defer { try? shop.server.pool.withClient { _ = try $0.run(["dropDatabase": 1], on: other) } }
      try shop.server.pool.withClient { client in
        _ = try client.database(other).insert("bills", [["_id": 1]])
      }
      let first = try shop.backup()
      let second = try shop.backup { $0.database = other }
      try shop.capture()
      let end = try #require(try SliceCatalog(shop.store).chains().first?.runs.last?.end)
      let error = #expect(throws: BackupError.self) {
        _ = try shop.restore(nil) { $0.time = .entry(end) }
      }
      #expect(error?.code == .usage)
      #expect(error?.hint?.contains(other) == true)
      for (name, id) in [(shop.name, first.id), (other, second.id)] {
        #expect(try Catalog(shop.store).latest(databases: [name]).id == id)
        let report = try shop.restore(nil) {
          $0.time = .entry(end)
          $0.databases = [name]
          $0.safetyBackup = false
        }
        #expect(report.backup == id)
      }
      let none = #expect(throws: BackupError.self) {
        _ = try Catalog(shop.store).latest(databases: ["elsewhere"])
      }
      #expect(none?.code == .notFound)
    }
  }

  @Test("a ledger's mark of a migration is believed only where the oplog is that server's")
  func marks() throws {
    try Shop.run { shop in
      let own = try shop.server.pool.withClient { try #require(try ReplicaSet.id($0)) }
      _ = try shop.backup()
      try shop.capture()
      let here = Timestamp(seconds: 7, increment: 1)
      let found = try MigrationMark.find(
        "003_a", in: shop.store, pool: shop.server.pool, ledger: here)
      #expect(found == MigrationMark(replicaSetID: own, time: here))

      let elsewhere = try PrivateServer()
      let pool = try ClientPool(ConnectionSettings(uri: elsewhere.uri))
      #expect(throws: BackupError.self) {
        _ = try MigrationMark.find(
          "003_a", in: shop.store, pool: pool, ledger: here, databases: [shop.name])
      }
      try shop.server.pool.withClient { client in
        let mark: Document = [
          "martlet": ["migration": "003_a", "database": .string(shop.name), "event": "before"]
        ]
        _ = try client.run(["appendOplogNote": 1, "data": .document(mark)], on: "admin")
      }
      try shop.capture()
      let captured = try MigrationMark.find(
        "003_a", in: shop.store, pool: pool, ledger: here, databases: [shop.name])
      #expect(captured.replicaSetID == own)
      #expect(captured.time > here)
    }
  }

  @Test("a moment comes back on another server more than once")
  func elsewhereTwice() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      try shop.server.withDatabase { _ = try $0.insert("users", [["_id": 3]]) }
      let time = try shop.now()
      let wanted = try shop.tally("users")
      try shop.capture()
      let other = try PrivateServer()
      let pool = try ClientPool(try ConnectionSettings(uri: other.uri))
      for round in 0..<3 {
        var options = shop.restoreOptions
        options.time = .entry(time)
        let report = try RestoreRunner(shop.store, pool: pool, options: options).run(nil)
        #expect(report.backup == made.id)
        #expect((report.safetyBackup == nil) == (round == 0))
        let tally = try pool.withClient { client in
          _ = try client.database(shop.name).insert("users", [["round": .integer(round)]])
          return try ReadBack(client: client, cancellation: Cancellation())
            .tally(Namespace(shop.name, "users"))
        }
        #expect(tally.count == wanted.count + 1)
      }
      var options = shop.restoreOptions
      options.renames = [try NamespaceRename(from: shop.name + ".*", to: "admin.*")]
      let error = #expect(throws: BackupError.self) {
        try RestoreRunner(shop.store, pool: pool, options: options).run(made.id)
      }
      #expect(error?.code == .usage)
    }
  }
}
