import BSON
import Dump
import Fingerprint
import Foundation
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// The moments around a swap, made to happen by what the servers and the application do.
@Suite struct SwapTests {
  /// Does something as soon as the restore says that it begins to swap.
  private func whenSwapping(_ options: inout RestoreOptions, _ body: @escaping @Sendable () -> Void)
  {
    options.notice = { text in if text.hasPrefix("swapping") { body() } }
  }

  @Test("a majority that answers late does not make a swap happen twice")
  func lateMajority() throws {
    let server = try PrivateServer(members: 3)
    let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/store")
    let secondaries = try pool.withClient { client -> [Int] in
      // The primary stays one while it sees nobody.
      var config = try #require(
        try client.run(["replSetGetConfig": 1], on: "admin")["config"]?.documentValue)
      var settings = config["settings"]?.documentValue ?? [:]
      settings["electionTimeoutMillis"] = 60_000
      config["settings"] = .document(settings)
      config["version"] = .integer((config["version"]?.integerValue ?? 0) + 1)
      _ = try client.run(["replSetReconfig": .document(config)], on: "admin")
      let me = try client.run(["hello": 1], on: "admin")["me"]?.stringValue
      _ = try client.database("shop").insert("users", [["_id": 1], ["_id": 2]])
      _ = try client.database("shop").insert("orders", [["_id": 1]])
      return server.hosts.indices.filter { server.hosts[$0] != me }
    }
    #expect(secondaries.count == 2)
    var backup = BackupOptions()
    backup.kind = .database
    backup.database = "shop"
    let made = try BackupRunner(store, pool: pool, options: backup).run()
    try pool.withClient { client in
      _ = try client.database("shop").insert("users", [["_id": 3]])
      _ = try client.database("shop").drop("orders")
    }

    var options = RestoreOptions()
    options.workFolder = scratch.path
    whenSwapping(&options) {
      for member in secondaries { try? server.signal(SIGSTOP, member: member) }
      // Longer than a swap waits for its confirmation, and than the pause before it is tried again.
      Thread.detachNewThread {
        Thread.sleep(forTimeInterval: 2)
        for member in secondaries { try? server.signal(SIGCONT, member: member) }
      }
    }
    let report = try RestoreRunner(store, pool: pool, options: options).run(made.id)
    #expect(report.kept.isEmpty)
    let names = try pool.withClient { try $0.database("shop").listCollections().map(\.name) }
    #expect(names.sorted() == ["orders", "users"])
    let users = try pool.withClient {
      try $0.database("shop").find("users", options: ["sort": ["_id": 1]]).all()
    }
    #expect(users == [["_id": 1], ["_id": 2]])
    let journal = try pool.withClient { try Journal(client: $0).open() }
    #expect(journal.isEmpty)
  }

  @Test(
    "what is written to a time-series, and to anything with --in-place, up to its end is in the safety backup",
    arguments: [false, true])
  func lateInPlace(_ inPlace: Bool) throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let metrics = try shop.tally("system.buckets.metrics")
      let pool = shop.server.pool
      let name = shop.name
      let points = Mutex(0)
      let report = try shop.restore(made.id) { options in
        options.inPlace = inPlace
        options.notice = { text in
          // After the safety backup, and just before it is dropped.
          guard text.hasPrefix("swapping") || text.hasSuffix("in place") else { return }
          let number = points.withLock { number in
            number += 1
            return number
          }
          try? pool.withClient { client in
            let database = client.database(name)
            let time = DateTime(milliseconds: 1_700_000_100_000 + Int64(number))
            _ = try database.insert("metrics", [["t": .date(time), "late": .integer(number)]])
            if inPlace { _ = try database.insert("users", [["late": .integer(number)]]) }
          }
        }
      }
      let late = points.withLock { $0 }
      #expect(late == (inPlace ? 1 : 2))
      #expect(try shop.tally("system.buckets.metrics") == metrics)
      #expect(report.lateWrites > 0)
      let safety = try #require(report.safetyBackup)
      _ = try shop.restore(safety)
      let found = try shop.server.withDatabase { database in
        try ["metrics", "users"].map {
          try database.find($0, filter: ["late": ["$exists": true]]).all().count
        }
      }
      #expect(found == [late, inPlace ? late : 0])
    }
  }

  @Test("a restore that ended while it loaded in place is loaded again by the next one")
  func interruptedInPlace() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let metrics = try shop.tally("system.buckets.metrics")
      let cancellation = Cancellation()
      let error = #expect(throws: (any Error).self) {
        try shop.restore(made.id) { options in
          options.cancellation = cancellation
          options.notice = { if $0.hasSuffix("in place") { cancellation.cancel(.stopped) } }
        }
      }
      #expect(error != nil)
      #expect(try !shop.collections().contains("metrics"))
      // What the application has written meanwhile.
      try shop.server.withDatabase {
        _ = try $0.insert("metrics", [["_id": 1, "meanwhile": true]])
      }
      let notices = Mutex<[String]>([])
      _ = try shop.restore(made.id) { options in
        options.only = [try NamespacePattern(shop.name + ".users")]
        options.notice = { text in notices.withLock { $0.append(text) } }
      }
      #expect(notices.withLock { $0.contains { $0.hasPrefix("loading again") } })
      #expect(try shop.tally("system.buckets.metrics") == metrics)
      let left = try shop.server.pool.withClient {
        try Journal(client: $0).open().filter { $0["backup"]?.stringValue == made.id }
      }
      #expect(left.isEmpty)
      let saved = try Catalog(shop.store).sets().contains { set in
        set.manifest?.collections.contains {
          $0.namespace == shop.name + ".metrics" && $0.type.isEmpty == false && $0.count == 1
        } == true
      }
      #expect(saved)
    }
  }
}
