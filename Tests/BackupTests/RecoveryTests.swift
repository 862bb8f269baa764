import BSON
import Dump
import Fingerprint
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

@Suite struct RecoveryTests {
  @Test("a database comes back as it was at each of several moments, and not at another")
  func moments() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      try shop.capture()
      var states: [(Timestamp, CollectionTally)] = []
      for round in 0..<4 {
        try shop.server.withDatabase { database in
          let n = Int32(1000 + round)
          _ = try database.insert("orders", [["_id": .int32(n), "n": .int32(n)]])
          _ = try database.update(
            "orders",
            [
              [
                "q": ["n": ["$lt": .int32(Int32(10 * (round + 1)))]], "u": ["$inc": ["x": 1]],
                "multi": true,
              ]
            ])
          _ = try database.delete("orders", [["q": ["n": .int32(Int32(200 + round))], "limit": 1]])
          if round == 2 {
            _ = try database.run([
              "createIndexes": "orders", "indexes": [["key": ["x": 1], "name": "x_1"]],
            ])
            _ = try database.insert("extra", [["_id": 1]])
          }
        }
        states.append((try shop.now(), try shop.tally("orders")))
        if round == 1 { try shop.capture() }
      }
      try shop.server.withDatabase { _ = try $0.delete("orders", [["q": [:], "limit": 0]]) }
      try shop.capture()
      #expect(try SliceCatalog(shop.store).chains().first?.runs.count == 1)
      for (time, tally) in states.reversed() {
        let report = try shop.restore(nil) { options in
          options.time = .entry(time)
          options.safetyBackup = false
        }
        #expect(report.backup == made.id)
        let compared = try #require(report.compared.first { $0.namespace.collection == "orders" })
        #expect(compared.extent == .beforeReplay)
        #expect(compared.documents == 500)
        #expect(try shop.tally("orders") == tally, "at \(OplogTime.text(time))")
        // The negative control: no other moment looks like it.
        #expect(states.filter { $0.1 == tally }.count == 1)
      }
      try shop.server.withDatabase { database in
        let names = try database.listIndexes("orders").map(\.name)
        #expect(names == ["_id_", "n_1", "at_1"])
      }
      #expect(throws: BackupError.self) {
        try shop.restore(nil) { $0.time = .moment(Moment.now() + 86_400) }
      }
      #expect(throws: BackupError.self) { try shop.restore(nil) { $0.time = .moment(1_000_000) } }
    }
  }

  @Test("a capture goes on where it stopped, and a missing slice is a gap")
  func gaps() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      for round in 0..<3 {
        try shop.server.withDatabase { _ = try $0.insert("users", [["round": .integer(round)]]) }
        try shop.capture()
      }
      let chain = try #require(try SliceCatalog(shop.store).chains().first)
      #expect(chain.gaps.isEmpty)
      #expect(chain.runs.count == 1)
      for (a, b) in zip(chain.slices, chain.slices.dropFirst()) { #expect(a.end == b.start) }
      let middle = chain.slices[chain.slices.count / 2]
      try shop.store.delete(middle.descriptionName)
      #expect(try SliceCatalog(shop.store).chain(chain.replicaSetID).gaps.count == 1)
    }
  }

  @Test(
    "collections, views and time-series that were made, renamed and dropped after the base come back, beside and in place",
    arguments: [false, true])
  func definitions(_ inPlace: Bool) throws {
    try Shop.run { shop in
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        _ = try database.insert("late", [["_id": 1], ["_id": 2]])
        _ = try database.run([
          "create": "seen", "viewOn": "late", "pipeline": [["$match": ["_id": 1]]],
        ])
        if TestServer.hasTimeseries {
          _ = try database.run(["create": "series", "timeseries": ["timeField": "t"]])
          _ = try database.run([
            "createIndexes": "series", "indexes": [["key": ["t": -1], "name": "t_-1"]],
          ])
          _ = try database.insert("series", [["t": .date(DateTime(milliseconds: 5)), "v": 1]])
          _ = try database.insert(
            "metrics", [["t": .date(DateTime(milliseconds: 1_700_000_000_999)), "v": 99]])
        }
        _ = try database.insert("first", [["_id": 1]])
        try database.rename("first", to: "second")
        try database.client.withTransaction { session in
          _ = try database.insert("users", [["_id": 3]], session: session)
          _ = try database.insert("late", [["_id": 3]], session: session)
        }
        _ = try database.run(["collMod": "orders", "validationLevel": "moderate"])
      }
      let time = try shop.now()
      let wanted = try [
        "users", "late", "system.buckets.series", "system.buckets.metrics", "second",
      ]
      .map { try shop.tally($0) }
      try shop.server.withDatabase { database in
        for name in ["late", "seen", "series", "second", "users"] { try database.drop(name) }
        _ = try database.insert("first", [["_id": 7]])
        _ = try database.insert("late", [["_id": 8]])
        _ = try database.run(["collMod": "orders", "validationLevel": "strict"])
      }
      try shop.capture()
      let report = try shop.restore(nil) { options in
        options.time = .entry(time)
        options.inPlace = inPlace
      }
      #expect(report.safetyBackup != nil)
      let found = try [
        "users", "late", "system.buckets.series", "system.buckets.metrics", "second",
      ]
      .map { try shop.tally($0) }
      for (a, b) in zip(found, wanted) { #expect(a == b) }
      #expect(try !shop.collections().contains { $0.hasPrefix(Temporary.prefix) })
      try shop.server.withDatabase { database in
        #expect(try database.find("seen").all().count == 1)
        let info = try database.listCollections(filter: ["name": "orders"]).first
        #expect(info?.options["validationLevel"] == "moderate")
      }
    }
  }

  @Test(
    "what was made after the base is renamed too, beside and in place, inside a database and out of it",
    .enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"),
    arguments: [false, true], [false, true])
  func renamed(_ inPlace: Bool, _ elsewhere: Bool) throws {
    try Shop.run { shop in
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        _ = try database.insert("late", [["_id": 1], ["_id": 2]])
        _ = try database.run([
          "create": "seen", "viewOn": "late", "pipeline": [["$match": ["_id": 1]]],
        ])
        _ = try database.run([
          "create": "series", "timeseries": ["timeField": "t", "metaField": "m"],
        ])
        _ = try database.run([
          "createIndexes": "series",
          "indexes": [
            ["key": ["m.x": 1, "t": -1], "name": "m_1_t_-1"], ["key": ["v": 1], "name": "v_1"],
          ],
        ])
        _ = try database.insert("series", [["t": .date(DateTime(milliseconds: 5)), "v": 1]])
      }
      let time = try shop.now()
      let series = try shop.tally("system.buckets.series")
      let late = try shop.tally("late")
      try shop.server.withDatabase { database in
        _ = try database.insert("series", [["t": .date(DateTime(milliseconds: 9)), "v": 2]])
        _ = try database.insert("late", [["_id": 3]])
      }
      try shop.capture()
      let live = try shop.collections()
      let database = elsewhere ? shop.name + "_copy" : shop.name
      defer {
        _ = try? shop.server.pool.withClient { try $0.run(["dropDatabase": 1], on: database) }
      }
      let report = try shop.restore(nil) { options in
        options.time = .entry(time)
        options.inPlace = inPlace
        options.renames = [
          try NamespaceRename(from: shop.name + ".*", to: database + ".old_*"),
          try NamespaceRename(from: shop.name + ".series", to: database + ".readings"),
        ]
      }
      #expect(!report.endsTimeline)
      #expect(try shop.tally("system.buckets.readings", database: database) == series)
      #expect(try shop.tally("old_late", database: database) == late)
      #expect(
        report.compared.filter { $0.reason == "made or renamed after the backup" }.map(
          \.namespace.collection
        )
        .sorted() == ["old_late", "old_seen", "readings"])
      try shop.server.pool.withClient { client in
        let copy = client.database(database)
        let names = try Set(copy.listCollections().map(\.name))
        #expect(!names.contains { $0.hasPrefix(Temporary.prefix) })
        #expect(names.contains("old_seen"))
        if elsewhere { #expect(!names.contains("series") && !names.contains("late")) }
        let indexes = try copy.listIndexes("readings")
        let index = indexes.first { $0.name == "m_1_t_-1" }
        #expect(index?.key == ["m.x": 1, "t": -1])
        #expect(indexes.first { $0.name == "v_1" }?.key == ["v": 1])
      }
      // The live ones are as they were.
      #expect(try live.isSubset(of: shop.collections()))
      #expect(try shop.tally("late").count == 3)
    }
  }

  @Test("the moment before a migration is found by the mark of its database")
  func marks() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      let users = try shop.tally("users")
      try shop.server.pool.withClient { client in
        func mark(_ database: String) throws {
          let data: Document = [
            "martlet": ["migration": "002_b", "database": .string(database), "event": "before"]
          ]
          _ = try client.run(["appendOplogNote": 1, "data": .document(data)], on: "admin")
        }
        try mark(shop.name)
        try client.database(shop.name).drop("users")
        try mark(shop.name + "x")
      }
      try shop.capture()
      func find(_ name: String) throws -> Timestamp {
        try MigrationMark.find(
          name, in: shop.store, pool: shop.server.pool, ledger: nil, databases: [shop.name]
        ).time
      }
      let mark = try find("002_b")
      _ = try shop.restore(nil) { options in
        options.before = mark
        options.only = [try NamespacePattern(shop.name + ".users")]
      }
      #expect(try shop.tally("users") == users)
      #expect(throws: BackupError.self) { try find("003_c") }
    }
  }
}
