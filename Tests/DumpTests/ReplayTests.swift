import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// What happens to a database, replayed on a copy of what it was.
@Suite struct ReplayTests {
  /// Dumps, acts, and writes the oplog of the acts, as a backup that follows the oplog would have it.
  private func record(
    _ server: TestServer, _ scratch: Scratch, _ act: (Database) throws -> Void
  ) throws -> [Document] {
    _ = try server.done("$M dump --uri $U --db $DB --no-consistent --out d", in: scratch)
    let start = try server.pool.withClient { client -> Timestamp in
      // An entry of its own, so that nothing before it is taken.
      let reply = try client.run(["appendOplogNote": 1, "data": ["mark": 1]], on: "admin")
      return try #require(reply["operationTime"]?.timestampValue)
    }
    try server.withDatabase(act)
    let name = server.databaseName
    let entries = try server.pool.withClient { client in
      try client.database("local").find(
        "oplog.rs", filter: ["ts": ["$gt": .timestamp(start)], "op": ["$ne": "n"]],
        command: CommandOptions(readConcern: ["level": "majority"])
      ).all()
    }.filter { entry in
      guard let namespace = entry["ns"]?.stringValue else { return false }
      if namespace != "admin.$cmd" { return namespace.hasPrefix(name + ".") }
      let inner = entry["o"]?.documentValue?["applyOps"]?.arrayValue ?? []
      return inner.contains {
        $0.documentValue?["ns"]?.stringValue?.hasPrefix(name + ".") ?? false
      }
    }
    let bytes = entries.flatMap { Array($0.bytes) }
    try Data(bytes).write(to: URL(fileURLWithPath: scratch.file("d/oplog.bson")))
    return entries
  }

  private func fill(_ server: TestServer) throws {
    try server.withDatabase { database in
      for name in ["a", "b", "c", "d"] {
        _ = try database.insert(
          name, (0..<20).map { ["_id": .int32($0), "from": .string(name), "n": .int32($0)] })
        _ = try database.run([
          "createIndexes": .string(name),
          "indexes": [
            ["key": ["n": 1], "name": .string("n_" + name)],
            ["key": ["from": 1], "name": .string("from_" + name), "expireAfterSeconds": 900_000],
          ],
        ])
      }
      _ = try database.run([
        "create": "ts", "timeseries": ["timeField": "t", "metaField": "m"],
      ])
      _ = try database.insert("ts", [["t": .date(DateTime(milliseconds: 1)), "m": 1, "v": 1]])
      _ = try database.run(["create": "ring", "capped": true, "size": 1_000_000])
      _ = try database.insert("ring", [["_id": 5], ["_id": 4]])
      _ = try database.run(["create": "v", "viewOn": "a", "pipeline": []])
    }
  }

  @Test("renames, drops, new ones of old names, collMod, indexes, views, time-series, capped")
  func schema() throws {
    try TestServer.withCopy { server, scratch in
      try fill(server)
      _ = try record(server, scratch) { database in
        try database.rename("a", to: "z")
        _ = try database.insert("z", [["_id": 100, "n": 1]])
        _ = try database.run(["dropIndexes": "z", "index": "from_a"])
        _ = try database.run(
          [
            "renameCollection": .string(database.name + ".b"), "to": .string(database.name + ".c"),
            "dropTarget": true,
          ] as Document, admin: true)
        _ = try database.update("c", [["q": ["_id": 3], "u": ["$set": ["n": -1]]]])
        try database.drop("d")
        _ = try database.run(["create": "d", "collation": ["locale": "fr"]])
        _ = try database.insert("d", [["_id": 1, "second": true]])
        _ = try database.run([
          "createIndexes": "d",
          "indexes": [["key": ["second": 1], "name": "second", "sparse": true]],
        ])
        _ = try database.run([
          "collMod": "c", "validator": ["n": ["$exists": true]], "validationLevel": "moderate",
          "index": ["name": "from_b", "expireAfterSeconds": 1_800_000],
        ])
        _ = try database.insert(
          "ts", (2..<9).map { ["t": .date(DateTime(milliseconds: $0)), "m": 1, "v": .int64($0)] })
        _ = try database.run([
          "createIndexes": "ts",
          "indexes": [
            ["key": ["m.x": 1, "t": -1], "name": "filled"], ["key": ["t": 1], "name": "gone"],
          ],
        ])
        _ = try database.run(["dropIndexes": "ts", "index": "gone"])
        _ = try database.run(["create": "late", "timeseries": ["timeField": "at"]])
        _ = try database.run([
          "createIndexes": "late", "indexes": [["key": ["at": 1], "name": "empty"]],
        ])
        _ = try database.insert("ring", [["_id": 3], ["_id": 9], ["_id": 1]])
        _ = try database.run(["collMod": "v", "viewOn": "z", "pipeline": [["$limit": 1]]])
        _ = try database.run(["create": "w", "viewOn": "z", "pipeline": []])
        try database.drop("w")
      }
      _ = try server.done("$M load --uri $U d $AS --drop", in: scratch)
      #expect(try server.describe(server.copyName) != server.describe(server.databaseName))
      _ = try server.done("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
      let order = try server.withCopyDatabase { try $0.find("ring").all().map { $0["_id"] } }
      #expect(order == [5, 4, 3, 9, 1])
    }
  }

  @Test("of the server's own documents only the feature version makes a replay impossible")
  func ownDocuments() throws {
    func event(_ operation: String, _ fields: Document) throws -> SchemaEvent? {
      var entry: Document = [
        "ts": .timestamp(Timestamp(seconds: 1, increment: 1)), "op": .string(operation),
        "ns": "admin.system.version",
      ]
      entry.append(contentsOf: fields)
      return SchemaEvent(try OplogEntry(entry))
    }
    let version = "featureCompatibilityVersion"
    let changed = try event("u", ["o": ["$v": 1], "o2": ["_id": .string(version)]])
    #expect(changed?.kind == .unreplayable)
    // Written with a server's first user.
    #expect(try event("i", ["o": ["_id": "authSchema", "currentVersion": 5]]) == nil)
  }

  @Test("a transaction of several entries, larger than what stays in memory, is applied as a whole")
  func largeTransaction() throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { _ = try $0.insert("c", [["_id": -1]]) }
      let large = Value.string(String(repeating: "x", count: 1 << 20))
      let entries = try record(server, scratch) { database in
        try database.client.withTransaction { session in
          for n in 0..<20 {
            _ = try database.insert("c", [["_id": .int32(Int32(n)), "x": large]], session: session)
          }
          _ = try database.delete("c", [["q": ["_id": -1], "limit": 1]], session: session)
        }
      }
      #expect(entries.count >= 2)
      #expect(entries[0]["o"]?.documentValue?["partialTxn"] == true)
      let load = "$M load --uri $U d $AS --drop --oplogReplay"
      _ = try server.done(load, in: scratch)
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
      // Without its last entry it never ended: nothing of it is applied.
      let last = try #require(entries.last?["ts"]?.timestampValue)
      _ = try server.done("\(load) --oplogLimit \(last.seconds):\(last.increment)", in: scratch)
      let ids = try server.withCopyDatabase { try $0.find("c").all().map { $0["_id"] } }
      #expect(ids == [-1])
    }
  }

  @Test("a replay ends before the limit, in whatever file the oplog is")
  func limit() throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { _ = try $0.insert("c", [["_id": 0]]) }
      let entries = try record(server, scratch) { database in
        for n in 1...3 { _ = try database.insert("c", [["_id": .int32(Int32(n))]]) }
      }
      #expect(entries.count == 3)
      let third = try #require(entries[2]["ts"]?.timestampValue)
      let load = "$M load --uri $U d $AS --drop --oplogReplay"
      func count(_ options: String) throws -> Int {
        _ = try server.done("\(load) \(options)", in: scratch)
        return try server.withCopyDatabase { try $0.find("c").all().count }
      }
      #expect(try count("") == 4)
      #expect(try count("--oplogLimit \(third.seconds):\(third.increment)") == 3)
      #expect(try count("--oplogLimit=\(third.seconds):\(third.increment + 1)") == 4)
      #expect(try count("--oplogLimit 0:0") == 4)
      #expect(try count("--oplogLimit 1") == 1)
      _ = try server.done("gzip -c d/oplog.bson >other; rm d/oplog.bson", in: scratch)
      #expect(try count("--oplogFile other") == 4)
      #expect(try count("--oplogFile=other --oplogLimit \(third.seconds):\(third.increment)") == 3)
    }
  }

  @Test("a rename into or out of what is selected is refused", arguments: [true, false])
  func halfRename(_ goesOut: Bool) throws {
    try TestServer.withCopy { server, scratch in
      try fill(server)
      _ = try record(server, scratch) { database in
        try database.rename(goesOut ? "a" : "hidden", to: goesOut ? "hidden" : "a2")
      } prepare: { database in
        if !goesOut { try database.rename("a", to: "hidden") }
      }
      let result = try server.sh(
        "$M load --uri $U d $AS --nsExclude $DB.hidden --drop --oplogReplay", in: scratch)
      #expect(result.exitCode == 1, "\(result.stderr)")
      #expect(result.stderr.contains("into or out of what is selected"))
      #expect(result.stderr.contains("HINT: select both names"))
    }
  }

  private func record(
    _ server: TestServer, _ scratch: Scratch, _ act: (Database) throws -> Void,
    prepare: (Database) throws -> Void
  ) throws -> [Document] {
    try server.withDatabase(prepare)
    return try record(server, scratch, act)
  }
}

extension Database {
  fileprivate func run(_ command: Document, admin: Bool) throws -> Document {
    try client.run(command, on: "admin")
  }
}
