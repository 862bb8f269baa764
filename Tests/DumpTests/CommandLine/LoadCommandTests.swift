import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// `martlet load` as scripts call it.
@Suite struct LoadCommandTests {
  /// Ten documents, three indexes whose order no sorting gives, one of them of version 1.
  private func withDump(_ body: (TestServer, Scratch) throws -> Void) throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { database in
        _ = try database.run(["create": "c", "collation": ["locale": "fr"]])
        _ = try database.insert("c", (0..<10).map { ["_id": .int32($0), "n": .int32($0)] })
        _ = try database.run([
          "createIndexes": "c",
          "indexes": [
            ["key": ["z": 1], "name": "z"], ["key": ["a": 1], "name": "old", "v": 1],
            ["key": ["m": -1], "name": "m"],
          ],
        ])
      }
      _ = try server.done("$M dump --uri $U --db $DB --archive=x --quiet", in: scratch)
      try body(server, scratch)
    }
  }

  private func indexes(_ server: TestServer, _ name: String = "c") throws -> [IndexInfo] {
    try server.withCopyDatabase { try $0.listIndexes(name) }
  }

  @Test("a device that is to have the refused documents stays one, and a list that is cut is told")
  func listOfRefused() throws {
    try withDump { server, scratch in
      _ = try server.done("$M load --uri $U --archive=x $AS", in: scratch)
      // Every document is there already. Devices of the test's own: the machine's are not risked.
      let made = try server.sh("mknod null c 1 3 && mknod full c 1 7", in: scratch)
      guard made.exitCode == 0 else { return }
      for (device, code) in [("null", 3), ("full", 1)] as [(String, Int32)] {
        let result = try server.sh(
          "$M load --uri $U --archive=x $AS --json --errors \(device); a=$?; "
            + "test -c \(device) && exit $a", in: scratch)
        #expect(result.exitCode == code, "\(device): \(result.stderr)")
        #expect(result.stderr.contains("could not be written whole") == (device == "full"))
        // What was done is told all the same.
        #expect(result.stderr.contains("10 document(s) failed to restore"))
        let summary = try ExtendedJSON.parseDocument(result.stdout)
        #expect(summary["failed"]?.integerValue == 10)
        #expect(summary["notices"]?.arrayValue?.count == (device == "full" ? 1 : 0))
      }
    }
  }

  @Test("UUIDs are kept when asked for, and only together with --drop")
  func preserveUUID() throws {
    try withDump { server, scratch in
      let refused = try server.sh("$M load --uri $U --archive=x $AS --preserveUUID", in: scratch)
      #expect(refused.exitCode == 64 && refused.stderr.contains("dropped first"))
      func uuid(_ database: Database) throws -> Binary? { try database.listCollections()[0].uuid }
      let original = try #require(try server.withDatabase { try uuid($0) })
      _ = try server.done("$M load --uri $U --archive=x $AS --drop", in: scratch)
      #expect(try server.withCopyDatabase { try uuid($0) } != original)
      // Its original is in the way: two collections of one UUID cannot be.
      try server.withDatabase { try $0.drop("c") }
      _ = try server.done("$M load --uri $U --archive=x $AS --drop --preserveUUID", in: scratch)
      #expect(try server.withCopyDatabase { try uuid($0) } == original)
      #expect(try indexes(server).map(\.name) == ["_id_", "z", "old", "m"])
    }
  }

  @Test("indexes keep their order; versions only when asked for; and they can be left out")
  func indexOptions() throws {
    try withDump { server, scratch in
      _ = try server.done("$M load --uri $U --archive=x $AS --keepIndexVersion", in: scratch)
      #expect(try indexes(server).map(\.name) == ["_id_", "z", "old", "m"])
      #expect(try indexes(server).map { $0.spec["v"]?.integerValue } == [2, 2, 1, 2])
      _ = try server.done("$M load --uri $U --archive=x $AS --drop", in: scratch)
      #expect(try indexes(server).map(\.name) == ["_id_", "z", "old", "m"])
      #expect(try indexes(server).map { $0.spec["v"]?.integerValue } == [2, 2, 2, 2])
      _ = try server.done("$M load --uri $U --archive=x $AS --drop --noIndexRestore", in: scratch)
      #expect(try indexes(server).map(\.name) == ["_id_"])
    }
  }

  @Test("options can be left out, but not those of a time-series")
  func noOptions() throws {
    try withDump { server, scratch in
      let line = "$M load --uri $U --archive=x $AS --drop"
      _ = try server.done(line, in: scratch)
      func options() throws -> Document {
        try server.withCopyDatabase { try $0.listCollections()[0].options }
      }
      #expect(try options().has("collation"))
      _ = try server.done("\(line) --noOptionsRestore", in: scratch)
      #expect(try options().isEmpty)
      _ = try server.withDatabase {
        try $0.run(["create": "ts", "timeseries": ["timeField": "t"]])
      }
      _ = try server.done("$M dump --uri $U --db $DB --archive=y", in: scratch)
      let refused = try server.sh(
        "$M load --uri $U --archive=y $AS --drop --noOptionsRestore", in: scratch)
      #expect(refused.exitCode == 64 && refused.stderr.contains("without its options"))
    }
  }

  @Test(
    "indexes of old servers are converted; without that the rest is loaded and the exit code is 3")
  func legacyIndexes() throws {
    try TestServer.withCopy { server, scratch in
      let metadata = """
        {"options":{},"indexes":[{"v":1,"key":{"_id":1},"name":"_id_"},\
        {"v":1,"key":{"a":true},"name":"a"},{"v":1,"key":{"b":""},"name":"b"},\
        {"v":1,"key":{"c":{"$numberInt":"0"}},"name":"c","dropDups":true},\
        {"v":1,"key":{"d":{"$numberDouble":"-1e-12"}},"name":"d","invalid":1},\
        {"v":1,"key":{"e":{"$numberDecimal":"0"}},"name":"e"},\
        {"v":1,"key":{"a":1},"name":"again"}]}
        """
      let folder = scratch.file(server.copyName)
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      for name in ["one", "two", "zero"] {
        let bytes = (0..<20).flatMap { (n: Int32) -> [UInt8] in
          let document: Document = ["_id": .int32(n)]
          return Array(document.bytes)
        }
        try Data(bytes).write(to: URL(fileURLWithPath: "\(folder)/\(name).bson"))
        let text = name == "one" ? metadata : #"{"options":{},"indexes":[]}"#
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(name).metadata.json"))
      }
      let refused = try server.sh("$M load --uri $U .", in: scratch)
      #expect(refused.exitCode == 3, "\(refused.stderr)")
      #expect(refused.stderr.contains("\(server.copyName).one"))
      #expect(refused.stderr.contains("--convertLegacyIndexes"))
      for name in ["one", "two", "zero"] {
        let there = try server.withCopyDatabase { try $0.find(name).all() }
        #expect(there.count == 20)
      }
      _ = try server.done("$M load --uri $U . --drop --convertLegacyIndexes", in: scratch)
      #expect(try indexes(server, "one").map(\.name) == ["_id_", "a", "b", "c", "d", "e"])
      let directions = try indexes(server, "one").map { $0.key.first { _ in true }?.value }
      #expect(directions.map { $0?.doubleValue } == [1, 1, 1, 1, -1, 1])
    }
  }

  /// A stream of documents whose sixth is its first again.
  private func twice(_ scratch: Scratch) throws {
    let ids: [Int32] = [0, 1, 2, 3, 4, 0, 5, 6, 7]
    let bytes = ids.flatMap { id -> [UInt8] in
      let document: Document = ["_id": .int32(id)]
      return Array(document.bytes)
    }
    try Data(bytes).write(to: URL(fileURLWithPath: scratch.file("twice.bson")))
  }

  @Test("a refused document is listed and makes exit 3; in order nothing is loaded behind it")
  func refused() throws {
    try TestServer.withCopy { server, scratch in
      try twice(scratch)
      let line = "$M load --uri $U --db $COPY -c c --drop --errors failed.jsonl"
      func loaded() throws -> [Int64?] {
        try server.withCopyDatabase {
          try $0.find("c", options: ["sort": ["_id": 1]]).all().map { $0["_id"]?.integerValue }
        }
      }
      let plain = try server.sh("\(line) twice.bson", in: scratch)
      #expect(plain.exitCode == 3)
      #expect(plain.stderr.contains("8 document(s) restored successfully. 1 document(s) failed"))
      #expect(try loaded() == [0, 1, 2, 3, 4, 5, 6, 7])
      let listed = try ExtendedJSON.parseDocument(
        String(decoding: FilePath.read(scratch.file("failed.jsonl")), as: UTF8.self))
      #expect(listed["_id"]?.integerValue == 0 && listed["code"]?.integerValue == 11000)
      let ordered = try server.sh("\(line) --maintainInsertionOrder twice.bson", in: scratch)
      #expect(ordered.exitCode == 3)
      #expect(try loaded() == [0, 1, 2, 3, 4])
      // One document a command, or the rest of the command would have been inserted all the same.
      let stopped = try server.sh(
        "\(line) --stopOnError --batchSize=1 --numInsertionWorkersPerCollection=1 -j 1 twice.bson",
        in: scratch)
      #expect(stopped.exitCode == 3 && stopped.stderr.contains("stop at the first one"))
      #expect(try loaded() == [0, 1, 2, 3, 4])
    }
  }

  @Test("several threads insert all of it, once")
  func workers() throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { database in
        for part in 0..<3 {
          _ = try database.insert(
            "c", (0..<2000).map { ["_id": .int32(Int32(part) * 2000 + $0), "n": .int32($0)] })
        }
      }
      _ = try server.done(
        "$M dump --uri $U --db $DB --archive=x --summary s.json; "
          + "$M load --uri $U --archive=x $AS --batchSize 50 --numInsertionWorkersPerCollection=4",
        in: scratch)
      let again = try server.done(
        "$M dump --uri $U --db $COPY --archive=y --summary /dev/stdout", in: scratch)
      let first = try ExtendedJSON.parseDocument(
        String(decoding: FilePath.read(scratch.file("s.json")), as: UTF8.self))
      let second = try ExtendedJSON.parseDocument(again.stdout)
      func fingerprint(_ summary: Document) -> Value? {
        summary["collections"]?.arrayValue?.first?.documentValue?["fingerprint"]
      }
      #expect(fingerprint(first) != nil && fingerprint(first) == fingerprint(second))
    }
  }

  @Test("writes are confirmed as the flag or the connection string says")
  func writeConcern() throws {
    try withDump { server, scratch in
      let line = "$M load --archive=x $AS --drop --uri"
      for concern in ["1", "majority", #"'{"w":1,"j":true}'"#, #"'{"j":true}'"#] {
        _ = try server.done("\(line) $U --writeConcern=\(concern)", in: scratch)
      }
      for options in ["$U --writeConcern 3", #"$U --writeConcern '{"w":3}'"#, "\"$U&w=3\""] {
        let result = try server.sh("\(line) \(options)", in: scratch)
        #expect(result.exitCode == 1, "\(options)")
        #expect(result.stderr.contains("not confirmed as asked"), "\(options): \(result.stderr)")
      }
      _ = try server.done("\(line) \"$U&w=3\" --writeConcern=1", in: scratch)
    }
  }

  @Test("what mongorestore refuses is refused before anything is written")
  func refusals() throws {
    try withDump { server, scratch in
      for options in [
        "--archive=x --oplogReplay", "--archive=x --oplogLimit 1:1",
        "--archive=x --oplogReplay --oplogLimit 1:2:3", "--archive=x --oplogReplay --oplogLimit a",
        "--archive=x --nsFrom a", "--archive=x --restoreDbUsersAndRoles",
        "--archive=x --db admin --restoreDbUsersAndRoles", "--archive=x --nsInclude '$a'",
        "--archive=x --dir .", "--archive=x -j 0", "-",
        "--archive=x --db $DB --restoreDbUsersAndRoles",
      ] {
        let result = try server.sh("$M load --uri $U \(options) <x", in: scratch)
        #expect(result.exitCode == 64, "\(options): \(result.exitCode) \(result.stderr)")
      }
      let missing = try server.sh("$M load --uri $U nowhere", in: scratch)
      #expect(missing.exitCode == 1 && missing.stderr.contains("there is no nowhere"))
    }
  }

  @Test("users and roles of a database come back through the command line")
  func users() throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { database in
        _ = try database.insert("c", [["_id": 1]])
        _ = try database.run([
          "createRole": "reader", "roles": [],
          "privileges": [
            [
              "resource": ["db": .string(server.databaseName), "collection": ""],
              "actions": ["find"],
            ]
          ],
        ])
        _ = try database.run(["createUser": "ann", "pwd": "secret", "roles": ["reader"]])
      }
      func names() throws -> [String?] {
        try server.withDatabase { database in
          try ["usersInfo", "rolesInfo"].flatMap { command -> [String?] in
            let reply = try database.run([command: 1])
            let list = reply["users"]?.arrayValue ?? reply["roles"]?.arrayValue ?? []
            let field = command == "usersInfo" ? "user" : "role"
            return list.map { $0.documentValue?[field]?.stringValue }
          }
        }
      }
      _ = try server.done(
        "$M dump --uri $U --db $DB --dumpDbUsersAndRoles --out d; "
          + "$M dump --uri $U --db $DB --archive=without", in: scratch)
      try server.withDatabase {
        _ = try $0.run(["dropAllUsersFromDatabase": 1])
        _ = try $0.run(["dropAllRolesFromDatabase": 1])
      }
      _ = try server.done("$M load --uri $U --db $DB --drop d/$DB", in: scratch)
      #expect(try names().isEmpty)
      _ = try server.done(
        "$M load --uri $U --db=$DB --restoreDbUsersAndRoles --drop d/$DB", in: scratch)
      #expect(try names() == ["ann", "reader"])
      try server.withDatabase {
        _ = try $0.run(["dropAllUsersFromDatabase": 1])
        _ = try $0.run(["dropAllRolesFromDatabase": 1])
      }
      let none = try server.sh(
        "$M load --uri $U --db $DB --restoreDbUsersAndRoles --archive=without", in: scratch)
      #expect(none.exitCode == 64 && none.stderr.contains("no users in the dump"))
      // Nothing but users.
      try server.withDatabase {
        try $0.drop("c")
        _ = try $0.run(["createUser": "bob", "pwd": "secret", "roles": []])
      }
      _ = try server.done(
        "$M dump --uri $U --db $DB --dumpDbUsersAndRoles --archive=users", in: scratch)
      try server.withDatabase { _ = try $0.run(["dropAllUsersFromDatabase": 1]) }
      let only = try server.done(
        "$M load --uri $U --db $DB --restoreDbUsersAndRoles --archive=users", in: scratch)
      #expect(try names() == ["bob"])
      #expect(!only.stderr.contains("nothing in the dump was chosen"))
    }
  }
}
