import BSON
import Fingerprint
import Foundation
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// The capture while servers come and go.
@Suite struct CaptureFaultTests {
  /// A capture in a thread of its own.
  private final class Running: Sendable {
    private let cancellation = Cancellation()
    private let state = Mutex<(end: Timestamp, failure: (any Error)?, isOver: Bool)>(
      (Timestamp(rawValue: 0), nil, false))
    let notices = Mutex<[String]>([])

    init(_ store: any Store, _ pool: ClientPool) {
      Thread { [self] in
        var options = OplogCapture.Options()
        options.slice = .milliseconds(500)
        options.cancellation = cancellation
        options.sliced = { slice in self.state.withLock { $0.end = slice.end } }
        options.notice = { text in self.notices.withLock { $0.append(text) } }
        var failure: (any Error)?
        do { try OplogCapture(store, pool: pool, options: options).run() } catch { failure = error }
        state.withLock {
          $0.failure = failure
          $0.isOver = true
        }
      }.start()
    }

    /// Until that time is in a slice, or the capture has failed.
    func reach(_ time: Timestamp) -> Bool {
      try? Patience.wait(for: "a slice") { state.withLock { $0.end >= time || $0.isOver } }
      return state.withLock { $0.end >= time }
    }

    func stop() throws {
      cancellation.cancel(.stopped)
      try Patience.wait(for: "the end of the capture") { state.withLock { $0.isOver } }
      if let failure = state.withLock({ $0.failure }) { throw failure }
    }
  }

  private func move(_ shop: Shop, _ numbers: Range<Int>) throws {
    for number in numbers {
      try shop.server.pool.withClient { client in
        try client.withTransaction { session in
          let database = client.database(shop.name)
          let change: Document = ["q": ["_id": 1], "u": ["$inc": ["n": 1]]]
          _ = try database.update("accounts", [change], session: session)
          _ = try database.insert("moves", [["_id": .integer(number)]], session: session)
        }
      }
    }
  }

  /// What is there now, and a time in the oplog that stands for it.
  private func picture(_ shop: Shop) throws -> (Timestamp, [CollectionTally]) {
    let time = try shop.server.pool.withClient { client in
      _ = try client.run(["appendOplogNote": 1, "data": ["test": 1]], on: "admin")
      return try #require(try client.hello().lastWriteTime)
    }
    return (time, try ["accounts", "moves"].map { try shop.tally($0) })
  }

  @Test(
    "a killed primary, an election and a restart leave one run without a gap, exact at each moment")
  func failover() throws {
    let set = try PrivateServer(members: 3)
    try TestServer.run(uri: set.uri) { server in
      let scratch = try ScratchFolder()
      let shop = Shop(
        server: server, scratch: scratch, store: FolderStore(path: scratch.path + "/store"))
      try server.withDatabase { database in
        _ = try database.insert("accounts", [["_id": 1, "n": 0]])
        _ = try database.insert("moves", [["_id": "first"]])
        // While a member is down an index build must not wait for it.
        _ = try database.run([
          "createIndexes": "accounts", "indexes": [["key": ["n": 1], "name": "n_1"]],
        ])
      }
      _ = try shop.backup { $0.ledger = nil }
      let capture = Running(shop.store, server.pool)
      var pictures = [try picture(shop)]
      try move(shop, 0..<20)
      pictures.append(try picture(shop))
      #expect(capture.reach(pictures[1].0))

      let me = try server.pool.withClient { try #require(try $0.hello().me) }
      let primary = try #require(set.hosts.firstIndex(of: me))
      try set.signal(SIGKILL, member: primary)
      try move(shop, 20..<60)
      pictures.append(try picture(shop))
      #expect(capture.reach(pictures[2].0), "\(capture.notices.withLock { $0 })")
      try capture.stop()
      #expect(try server.pool.withClient { try $0.hello().me } != me)

      // Nobody captures while writes go on, and the primary changes once more.
      try move(shop, 60..<70)
      pictures.append(try picture(shop))
      _ = try? server.pool.withClient {
        try $0.run(["replSetStepDown": 3, "force": true], on: "admin")
      }
      let again = Running(shop.store, server.pool)
      try move(shop, 70..<80)
      pictures.append(try picture(shop))
      #expect(again.reach(pictures[4].0), "\(again.notices.withLock { $0 })")
      try again.stop()
      let notices = capture.notices.withLock { $0 } + again.notices.withLock { $0 }
      #expect(!notices.contains { $0.contains("rolled over") }, "\(notices)")

      let chains = try SliceCatalog(shop.store).chains()
      #expect(chains.count == 1)
      #expect(chains.first?.gaps.isEmpty == true)
      #expect(chains.first?.runs.count == 1)
      try server.withDatabase { try $0.drop("moves") }
      for (time, tallies) in pictures.reversed() {
        _ = try shop.restore(nil) { options in
          options.time = .entry(time)
          options.safetyBackup = false
        }
        let found = try ["accounts", "moves"].map { try shop.tally($0) }
        #expect(found == tallies, "at \(OplogTime.text(time))")
        #expect(pictures.filter { $0.1 == tallies }.count == 1)
      }
    }
  }

  /// The first entry that the server still has.
  private func oldest(_ shop: Shop) throws -> Timestamp {
    try shop.server.pool.withClient { client in
      try #require(try ReplicaSet.oldestEntry(client))
    }
  }

  @Test("an oplog that rolled over while nobody captured is told, a gap, and no way across it")
  func rolledOver() throws {
    let set = try PrivateServer(oplog: 1, arguments: ["--syncdelay", "1"])
    try TestServer.run(uri: set.uri) { server in
      let scratch = try ScratchFolder()
      let shop = Shop(
        server: server, scratch: scratch, store: FolderStore(path: scratch.path + "/store"))
      try server.withDatabase { database in
        _ = try database.insert("accounts", [["_id": 1, "n": 0]])
        _ = try database.insert("moves", [["_id": "first"]])
      }
      _ = try shop.backup { $0.ledger = nil }
      let first = Running(shop.store, server.pool)
      try move(shop, 0..<5)
      let before = try picture(shop)
      #expect(first.reach(before.0))
      try first.stop()

      let filler = String(repeating: "x", count: 100_000)
      for round in 0..<600 where try oldest(shop) <= before.0 {
        try server.withDatabase { database in
          _ = try database.insert(
            "filler", (0..<20).map { ["_id": .integer(round * 20 + $0), "t": .string(filler)] })
        }
      }
      try #require(try oldest(shop) > before.0)
      let between = try picture(shop)
      let second = Running(shop.store, server.pool)
      try move(shop, 5..<10)
      let after = try picture(shop)
      #expect(second.reach(after.0))
      #expect(second.notices.withLock { $0 }.contains { $0.contains("rolled over") })
      let chain = try #require(try SliceCatalog(shop.store).chains().first)
      #expect(chain.runs.count == 2)
      #expect(chain.gaps.count == 1)
      for time in [between.0, after.0] {
        let error = #expect(throws: BackupError.self) {
          try shop.restore(nil) { $0.time = .entry(time) }
        }
        #expect(error?.code == .unreachableTime)
        #expect(error?.hint?.contains("what can be: ") == true)
      }

      // What it says to do: a new base, from which moments can be reached again.
      _ = try shop.backup { $0.ledger = nil }
      try move(shop, 10..<15)
      let last = try picture(shop)
      #expect(second.reach(last.0))
      try second.stop()
      for (time, tallies) in [before, last] {
        _ = try shop.restore(nil) { options in
          options.time = .entry(time)
          options.safetyBackup = false
        }
        let found = try ["accounts", "moves"].map { try shop.tally($0) }
        #expect(found == tallies, "at \(OplogTime.text(time))")
      }
    }
  }
}
