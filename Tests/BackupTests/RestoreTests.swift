import BSON
import Dump
import Fingerprint
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

@Suite struct RestoreTests {
  @Test("a restore brings everything back, keeps what it replaces, and leaves nothing behind")
  func everything() throws {
    try Shop.run { shop in
      let orders = try shop.tally("orders")
      let metrics = try shop.tally("system.buckets.metrics")
      let made = try shop.backup()
      let damaged = try shop.server.withDatabase { database in
        _ = try database.delete("orders", [["q": ["n": ["$gte": 100]], "limit": 0]])
        _ = try database.insert("orders", [["_id": 9999, "n": .int32(9999)]])
        try database.drop("cheap")
        _ = try database.insert("later", [["_id": 1]])
        _ = try database.update(
          "migrations.lock", [["q": ["_id": "lock"], "u": ["$set": ["state": "after"]]]])
        return try ReadBack(client: database.client, cancellation: Cancellation())
          .tally(Namespace(shop.name, "orders"))
      }
      let report = try shop.restore(made.id)
      #expect(try shop.tally("orders") == orders)
      #expect(try shop.tally("system.buckets.metrics") == metrics)
      #expect(try shop.collections().contains("cheap"))
      #expect(try shop.collections().contains("later"))
      #expect(try !shop.collections().contains { $0.hasPrefix(Temporary.prefix) })
      #expect(report.kept.isEmpty)
      try shop.server.withDatabase { database in
        #expect(try database.findOne("migrations.lock")?["state"]?.stringValue == "after")
        let indexes = try database.listIndexes("orders")
        #expect(indexes.map(\.name) == ["_id_", "n_1", "at_1"])
        #expect(indexes[2].spec["expireAfterSeconds"]?.integerValue == 3600)
        let info = try database.listCollections(filter: ["name": "orders"]).first
        #expect(info?.options.has("validator") == true)
        #expect(
          try database.client.database(Journal.database).findOne(
            Journal.collection, filter: ["databases": .string(shop.name)]) == nil)
      }
      // The safety backup holds what was there before.
      let safety = try #require(report.safetyBackup)
      let saved = try Catalog(shop.store).find(safety).manifest
      #expect(saved?.tags == ["safety"])
      #expect(
        saved?.collections.first { $0.namespace == shop.name + ".orders" }?.fingerprint
          == damaged.fingerprint.description)
    }
  }

  @Test("one collection can be restored under another name beside the live one")
  func renamed() throws {
    try Shop.run { shop in
      let orders = try shop.tally("orders")
      let made = try shop.backup()
      try shop.server.withDatabase { _ = try $0.delete("orders", [["q": [:], "limit": 0]]) }
      let report = try shop.restore(made.id) { options in
        options.only = [try NamespacePattern(shop.name + ".orders")]
        options.renames = [
          try NamespaceRename(from: shop.name + ".orders", to: shop.name + ".orders_old")
        ]
      }
      #expect(report.restored == [Namespace(shop.name, "orders_old")])
      #expect(try shop.tally("orders_old") == orders)
      #expect(try shop.tally("orders").count == 0)
    }
  }

  @Test("in place works too")
  func inPlace() throws {
    try Shop.run { shop in
      let orders = try shop.tally("orders")
      let made = try shop.backup()
      try shop.server.withDatabase { _ = try $0.delete("orders", [["q": [:], "limit": 0]]) }
      let report = try shop.restore(made.id) { $0.inPlace = true }
      #expect(try shop.tally("orders") == orders)
      #expect(report.safetyBackup != nil)
    }
  }

  @Test("a damaged backup changes nothing")
  func damaged() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let name = made.id + "/data.archive.gz"
      var bytes = try shop.store.read(name)
      bytes[bytes.count / 2] ^= 1
      try shop.store.put(name, bytes: bytes)
      try shop.server.withDatabase { _ = try $0.delete("users", [["q": [:], "limit": 0]]) }
      let error = #expect(throws: BackupError.self) { try shop.restore(made.id) }
      #expect(error?.code == .damaged)
      #expect(try shop.tally("users").count == 0)
      #expect(try !shop.collections().contains { $0.hasPrefix(Temporary.prefix) })
    }
  }

  @Test("a restore that died while loading is cleaned up, one that died swapping is completed")
  func recovery() throws {
    try Shop.run { shop in
      try shop.server.pool.withClient { client in
        let database = client.database(shop.name)
        let temporary = Temporary()
        let place = temporary.loading(Namespace(shop.name, "users"))
        _ = try database.insert(place.collection, [["_id": 7]])
        let journal = Journal(client: client)
        try journal.begin(temporary.token, backup: "x", databases: [shop.name])
        let alive = #expect(throws: BackupError.self) {
          try RestoreRecovery(client: client, options: shop.restoreOptions).run(databases: [
            shop.name
          ])
        }
        #expect(alive?.code == .locked)
        let swapper = Swapper(client: client, options: shop.restoreOptions)
        let swap = Journal.Swap(
          target: Namespace(shop.name, "users"), temporary: place, kept: nil,
          uuid: try swapper.uuid(place), expiries: [])
        try journal.swapping(temporary.token, [swap], .replace)
        var options = shop.restoreOptions
        options.takesOver = true
        // Others restore beside us: take over only what is ours.
        try RestoreRecovery(client: client, options: options).run(
          databases: [shop.name], only: temporary.token)
        #expect(try database.findOne("users")?["_id"] == 7)
        #expect(try swapper.uuid(place) == nil)
      }
    }
  }

  @Test("a plan says what would be replaced and what stays")
  func planned() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      try shop.server.withDatabase { _ = try $0.insert("later", [["_id": 1]]) }
      let plan = try RestoreRunner(
        shop.store, pool: shop.server.pool, options: shop.restoreOptions
      ).plan(made.id)
      let orders = plan.items.first { $0.source.collection == "orders" }
      #expect(orders?.way == .swap)
      #expect(orders?.liveCount == 500)
      let metrics = plan.items.first { $0.source.collection == "metrics" }
      #expect(metrics?.way == (TestServer.hasTimeseries ? .reload : nil))
      #expect(plan.untouched.contains(Namespace(shop.name, "later")))
      #expect(plan.left.contains(shop.name + ".migrations.lock"))
      #expect(plan.warnings.contains { $0.contains("expiry") })
    }
  }
}
