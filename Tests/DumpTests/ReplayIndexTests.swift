import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// Index builds and expiries that are not what a listing says when a dump comes by.
@Suite struct ReplayIndexTests {
  private func write(_ entries: [Document], _ scratch: Scratch) throws {
    try Data(entries.flatMap { Array($0.bytes) }).write(
      to: URL(fileURLWithPath: scratch.file("d/oplog.bson")))
  }

  /// Acts, and returns the entries of that.
  private func entries(_ server: TestServer, _ act: (Database) throws -> Void) throws -> [Document]
  {
    let start = try server.pool.withClient { client -> Timestamp in
      let reply = try client.run(["appendOplogNote": 1, "data": ["mark": 1]], on: "admin")
      return try #require(reply["operationTime"]?.timestampValue)
    }
    try server.withDatabase(act)
    return try server.pool.withClient { client in
      try client.database("local").find(
        "oplog.rs", filter: ["ts": ["$gt": .timestamp(start)], "op": ["$ne": "n"]],
        command: CommandOptions(readConcern: ["level": "majority"])
      ).all()
    }.filter { $0["ns"]?.stringValue?.hasPrefix(server.databaseName + ".") == true }
  }

  private func names(_ server: TestServer, _ collection: String) throws -> [String] {
    try server.withCopyDatabase { try $0.listIndexes(collection).map(\.name) }
  }

  @Test("an index that is being built is not in a dump; the replay has its commit, or its abort")
  func building() throws {
    let host = try PrivateServer()
    try TestServer.run(uri: host.uri) { server in
      let scratch = try Scratch()
      try server.withDatabase { database in
        _ = try database.insert("c", (0..<50).map { ["_id": .int32($0), "a": 1] })
        _ = try database.run([
          "createIndexes": "c", "indexes": [["key": ["done": 1], "name": "done"]],
        ])
      }
      func failpoint(_ mode: Value) throws {
        _ = try server.pool.withClient {
          try $0.run(
            ["configureFailPoint": "hangAfterStartingIndexBuild", "mode": mode], on: "admin")
        }
      }
      let log = try entries(server) { _ in
        try failpoint("alwaysOn")
        // One that will be, and one that cannot.
        let threads = [false, true].map { isUnique in
          WorkerThread {
            _ = try? server.withDatabase {
              try $0.run([
                "createIndexes": "c",
                "indexes": [
                  [
                    "key": ["a": 1, isUnique ? "u" : "p": 1],
                    "name": isUnique ? "unique" : "plain", "unique": .bool(isUnique),
                  ]
                ],
              ])
            }
          }
        }
        try Patience.wait(for: "both builds") {
          try server.withDatabase { try $0.listIndexes("c").count } == 4
        }
        let summary = try server.dump(to: .directory(path: scratch.file("d")))
        let specs = summary.collections.first { $0.type == "collection" }?.metadata?.indexes ?? []
        #expect(specs.compactMap { $0["name"]?.stringValue } == ["_id_", "done"])
        try failpoint("off")
        for thread in threads { thread?.join() }
      }
      let kinds = log.compactMap { $0["o"]?.documentValue?.keys.first }
      #expect(kinds.contains("commitIndexBuild") && kinds.contains("abortIndexBuild"))
      try write(log, scratch)
      _ = try server.done("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      #expect(try Set(names(server, "c")) == ["_id_", "done", "plain"])
      try server.withCopyDatabase { try $0.dropDatabase() }
    }
    withExtendedLifetime(host) {}
  }

  @Test(
    "an index that another tool's dump has from a build is there only when the build was committed",
    arguments: ["startIndexBuild", "abortIndexBuild", "commitIndexBuild"])
  func listed(_ command: String) throws {
    try TestServer.withCopy { server, scratch in
      let spec: Document = ["v": 2, "key": ["a": 1], "name": "a_1"]
      try server.withDatabase { database in
        _ = try database.insert("c", [["_id": 1]])
        _ = try database.run(["createIndexes": "c", "indexes": [.document(spec)]])
      }
      _ = try server.done("$M dump --uri $U --db $DB --no-consistent --out .", in: scratch)
      _ = try server.done("mkdir d; mv $DB d", in: scratch)
      try write(
        [
          [
            "ts": .timestamp(Timestamp(seconds: 5, increment: 1)), "op": "c",
            "ns": .string(server.databaseName + ".$cmd"),
            "o": [command: "c", "indexes": [.document(spec)]],
          ]
        ], scratch)
      _ = try server.done("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      let isThere = command == "commitIndexBuild"
      #expect(try names(server, "c") == ["_id_"] + (isThere ? ["a_1"] : []))
    }
  }

  @Test("what the oplog makes of collations and of unique indexes is built as it is")
  func specs() throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { database in
        _ = try database.insert("c", [["_id": 1, "a": 1], ["_id": 2, "a": 2]])
        _ = try database.run([
          "createIndexes": "c",
          "indexes": [["key": ["a": 1], "name": "a"], ["key": ["b": 1], "name": "b"]],
        ])
      }
      _ = try server.done("$M dump --uri $U --db $DB --no-consistent --out d", in: scratch)
      let log = try entries(server) { database in
        for change: Document in [
          ["name": "a", "prepareUnique": true], ["name": "a", "unique": true],
          ["name": "b", "prepareUnique": true], ["name": "b", "prepareUnique": false],
        ] {
          _ = try database.run(["collMod": "c", "index": .document(change)])
        }
        _ = try database.run(["create": "fr", "collation": ["locale": "fr"]])
        _ = try database.run([
          "createIndexes": "fr",
          "indexes": [
            ["key": ["a": 1], "name": "as_it"],
            ["key": ["b": 1], "name": "de", "collation": ["locale": "de"]],
            ["key": ["c": 1], "name": "simple", "collation": ["locale": "simple"]],
          ],
        ])
      }
      try write(log, scratch)
      _ = try server.done("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
    }
  }

  @Test("collections that expire by themselves do so only when everything is there")
  func expiry() throws {
    try TestServer.withCopy { server, scratch in
      func make(_ database: Database, _ suffix: String) throws {
        _ = try database.run([
          "create": .string("clustered" + suffix),
          "clusteredIndex": ["key": ["_id": 1], "unique": true], "expireAfterSeconds": 900_000_000,
        ])
        _ = try database.run([
          "create": .string("series" + suffix), "timeseries": ["timeField": "t"],
          "expireAfterSeconds": 800_000_000,
        ])
        _ = try database.insert(
          "series" + suffix, [["t": .date(DateTime(milliseconds: 1_790_000_000_000))]])
      }
      try server.withDatabase { database in
        for suffix in ["", "_off", "_changed"] { try make(database, suffix) }
      }
      _ = try server.done("$M dump --uri $U --db $DB --no-consistent --out d", in: scratch)
      let log = try entries(server) { database in
        try make(database, "_made")
        try make(database, "_gone")
        for kind in ["clustered", "series"] {
          _ = try database.run(["collMod": .string(kind + "_off"), "expireAfterSeconds": "off"])
          _ = try database.run([
            "collMod": .string(kind + "_changed"), "expireAfterSeconds": 700_000_000,
          ])
          try database.drop(kind + "_gone")
        }
        try database.rename("clustered", to: "clustered_renamed")
      }
      try write(log, scratch)
      func expiries() throws -> [String: Int64] {
        try server.withCopyDatabase { database in
          Dictionary(
            try database.listCollections().compactMap { info in
              guard info.type != .view, !info.name.hasPrefix("system.") else { return nil }
              return info.options["expireAfterSeconds"]?.integerValue.map { (info.name, $0) }
            }, uniquingKeysWith: { a, _ in a })
        }
      }
      // Withheld for whoever asks, who is told.
      let loaded = try server.loadCopy(
        .directory(path: scratch.file("d"), database: nil)
      ) { options in
        options.withholdsExpiry = true
        options.replaysOplog = true
        options.bypassesValidation = true
      }
      #expect(try expiries().isEmpty)
      let told = Dictionary(
        loaded.collections.compactMap { collection in
          collection.expireAfterSeconds?.integerValue.map { (collection.target.collection, $0) }
        }, uniquingKeysWith: { a, _ in a })
      let wanted: [String: Int64] = [
        "clustered_renamed": 900_000_000, "series": 800_000_000,
        "clustered_changed": 700_000_000, "series_changed": 700_000_000,
        "clustered_made": 900_000_000, "series_made": 800_000_000,
      ]
      #expect(told == wanted)
      // A rename of the overlap needs its name free.
      try server.withCopyDatabase { try $0.dropDatabase() }
      _ = try server.done("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      #expect(try expiries() == wanted)
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
    }
  }

  @Test("what has changed its kind in the overlap is in the end what it is now")
  func overlap() throws {
    try TestServer.withCopy { server, scratch in
      let points: [Document] = (0..<5).map {
        ["t": .date(DateTime(milliseconds: 1_790_000_000_000)), "m": .int32($0)]
      }
      let log = try entries(server) { database in
        _ = try database.insert("was_collection", [["_id": 1]])
        try database.drop("was_collection")
        _ = try database.run(["create": "was_collection", "viewOn": "x", "pipeline": []])
        _ = try database.run(["create": "was_view", "viewOn": "x", "pipeline": []])
        try database.drop("was_view")
        _ = try database.insert("was_view", [["_id": 1]])
        for name in ["gone", "again", "less"] {
          _ = try database.run([
            "create": .string(name), "timeseries": ["timeField": "t", "metaField": "m"],
          ])
          for _ in 0..<3 { _ = try database.insert(name, points) }
        }
        _ = try database.delete("less", [["q": ["m": 1], "limit": 0]])
        try database.drop("gone")
        try database.drop("again")
        _ = try database.insert("again", [["_id": 1]])
      }
      _ = try server.done("$M dump --uri $U --db $DB --no-consistent --out d", in: scratch)
      try write(log, scratch)
      _ = try server.done("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
    }
  }

  @Test("capped collections keep what the dump has of them, in its order")
  func capped() throws {
    try TestServer.withCopy { server, scratch in
      func make(_ database: Database, _ name: String) throws {
        _ = try database.run([
          "create": .string(name), "capped": true, "size": 100_000, "max": 10,
        ])
      }
      func insert(_ database: Database, _ name: String, _ range: Range<Int32>) throws {
        _ = try database.insert(name, range.map { ["_id": .int32($0), "n": 0] })
      }
      try server.withDatabase { database in
        try make(database, "old")
        try insert(database, "old", 0..<8)
      }
      let log = try entries(server) { database in
        for round: Int32 in 1...3 {
          try insert(database, "old", round * 100..<round * 100 + 6)
          // Also of documents that are evicted before the dump comes by.
          _ = try database.update(
            "old", [["q": [:], "u": ["$set": ["n": .int32(round)]], "multi": true]])
        }
        try make(database, "made")
        try insert(database, "made", 0..<13)
        try make(database, "again")
        try insert(database, "again", 0..<13)
        try database.drop("again")
        try make(database, "again")
        try insert(database, "again", 3..<13)
      }
      _ = try server.done("$M dump --uri $U --db $DB --no-consistent --out d", in: scratch)
      try write(log, scratch)
      _ = try server.done("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
      for name in ["old", "made", "again"] {
        let live = try server.withDatabase { try $0.find(name).all().map { $0["_id"] } }
        #expect(live.count == 10)
        #expect(try server.withCopyDatabase { try $0.find(name).all().map { $0["_id"] } } == live)
      }
    }
  }

  @Test("the first view after a dump, and the end of a database with its views, under other names")
  func viewsUnderOtherNames() throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { database in
        _ = try database.insert("c", [["_id": 1]])
        _ = try database.run(["create": "old", "viewOn": "c", "pipeline": []])
      }
      _ = try server.done("$M dump --uri $U --db $DB --no-consistent --out d", in: scratch)
      let log = try entries(server) { database in
        try database.dropDatabase()
        _ = try database.insert("c", [["_id": 2]])
        _ = try database.run(["create": "new", "viewOn": "c", "pipeline": []])
      }
      try write(log, scratch)
      // As a restore loads beside what is live.
      let loaded = try server.loadCopy(.directory(path: scratch.file("d"), database: nil)) {
        $0.selection.prefix = "p."
        $0.replaysOplog = true
      }
      let names = try server.withCopyDatabase { try $0.listCollections().map(\.name) }
      #expect(Set(names) == ["p.c", "p.new", "system.views"])
      #expect(loaded.collections.first { $0.target.collection == "p.old" }?.isGone == true)
    }
  }
}
