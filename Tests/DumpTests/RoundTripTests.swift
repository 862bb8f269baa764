import BSON
import Fingerprint
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

@Suite struct RoundTripTests {
  @Test(
    "mongodump's dumps are loaded, and the database is the one that was dumped",
    arguments: ["golden.archive", "golden.archive.gz", "dir", "dir-gz", "golden-users.archive.gz"])
  func golden(_ name: String) throws {
    try TestServer.withCopy { server, _ in
      let path = Fixtures.golden + "/" + name
      let source: LoadSource =
        name.hasPrefix("dir")
        ? .directory(path: path, database: nil) : .archive(path: path)
      let summary = try server.loadCopy(source, from: "golden")
      #expect(summary.isComplete)
      #expect(try server.describe(server.copyName) == Fixtures.text("expected.json"))
    }
  }

  @Test("mongodump's oplog is replayed, and the database is what mongorestore makes of it")
  func goldenOplog() throws {
    try TestServer.withCopy { server, _ in
      let summary = try server.loadCopy(
        .archive(path: Fixtures.golden + "/all-oplog.archive.gz"), from: "golden"
      ) { $0.replaysOplog = true }
      #expect(summary.replayed > 0)
      #expect(try server.describe(server.copyName) == Fixtures.text("expected-after-oplog.json"))
    }
  }

  @Test(
    "one of everything comes back as it was, in every format",
    arguments: [1, 7], ["a.archive", "a.archive.gz", "dir", "dir.gz", "oplog", "stream"])
  func everything(_ seed: Int, _ format: String) throws {
    try TestServer.withCopy { server, scratch in
      try server.fillGolden(seed: seed)
      let before = try server.describe(server.databaseName)
      let path = scratch.file(format)
      let isFolder = format.hasPrefix("dir")
      let sink = MemorySink()
      let target: DumpTarget =
        format == "stream"
        ? .archiveStream(sink) : isFolder ? .directory(path: path) : .archive(path: path)
      let dumped = try server.dump(to: target) { options in
        if format.hasSuffix(".gz") { options.compressionLevel = 1 }
        if format == "oplog" { options.consistency = .oplog }
      }
      #expect(dumped.mode == (format == "oplog" ? .oplog : .none))
      #expect(dumped.notices.contains { $0.contains("capped") } == (format != "oplog"))
      let source: LoadSource =
        format == "stream"
        ? .archiveStream(MemorySource(sink.bytes))
        : isFolder ? .directory(path: path, database: nil) : .archive(path: path)
      let loaded = try server.loadCopy(source) { $0.replaysOplog = format == "oplog" }
      #expect(loaded.isComplete)
      #expect(try server.describe(server.copyName) == before)
      if format.hasPrefix("a.") { #expect(scratch.names == [format]) }
    }
  }

  @Test("a standalone's dump comes back as it was")
  func standalone() throws {
    try TestServer.withCopy(.standalone) { server, scratch in
      try server.fillGolden(seed: 3)
      let path = scratch.file("a.archive")
      #expect(try server.dump(to: .archive(path: path)).mode == .none)
      #expect(try server.loadCopy(.archive(path: path)).isComplete)
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
    }
  }

  @Test("an independent reader finds every checksum of ours right")
  func independentReader() throws {
    try TestServer.withCopy { server, scratch in
      try server.fillGolden(seed: 5)
      let path = scratch.file("a.archive")
      _ = try server.dump(to: .archive(path: path)) { $0.consistency = .oplog }
      let text = try server.python(Fixtures.golden + "/../check-archive.py", path)
      #expect(text.components(separatedBy: " MATCH").count == 23)
      #expect(!text.contains("MISMATCH") && !text.contains("ERR") && !text.contains("!!"))
    }
  }

  @Test("pymongo reads the files of a folder dump")
  func pymongo() throws {
    try TestServer.withCopy { server, scratch in
      try server.fillGolden(seed: 6)
      let summary = try server.dump(to: .directory(path: scratch.file("out")))
      let script = scratch.file("count.py")
      try """
      import bson, glob, sys
      print(sum(len(bson.decode_all(open(f, 'rb').read())) for f in glob.glob(sys.argv[1] + '/*/*.bson')))
      """.write(toFile: script, atomically: true, encoding: .utf8)
      let counted = try server.python(script, scratch.file("out"))
      #expect(counted == "\(summary.total.count)\n")
    }
  }

  @Test("ranges of _id leave out no type, neither MinKey nor MaxKey")
  func ranges() throws {
    try TestServer.withCopy { server, scratch in
      var documents: [Document] = [
        .minKey, .maxKey, nil, .double(.nan), 1.5, "a", "b", true, false, ["k": 1],
        .objectID(.generate(seconds: 1)), .binary(Binary(bytes: [1])),
        .timestamp(Timestamp(seconds: 1, increment: 1)),
        .date(DateTime(milliseconds: -1)), .symbol("s"), .int64(1 << 40),
      ].map { (id: Value) in ["_id": id, "pad": .string(String(repeating: "x", count: 900))] }
      documents += (0..<200).map { ["_id": .int32($0 + 10), "pad": "y"] }
      try server.withDatabase { _ = try $0.insert("mixed", documents) }
      for mode in [ConsistencyChoice.none, .snapshot] {
        let path = scratch.file("\(mode).archive")
        let summary = try server.dump(to: .archive(path: path)) {
          $0.rangeSize = 1000
          $0.consistency = mode
        }
        #expect(summary.total.count == 216)
        var expected = CollectionTally()
        try server.withDatabase { database in
          let cursor = try database.find("mixed")
          while try cursor.nextBatch({ batch in try batch.forEach({ expected.add(document: $0) }) })
            != nil
          {}
        }
        #expect(summary.total == expected)
        #expect(try Inspector().inspect(path: path).total == expected)
      }
    }
  }

  @Test("a document of 16 MB, one of 100 levels and zero timestamps come back byte for byte")
  func extremes() throws {
    try TestServer.withCopy { server, scratch in
      var deep: Value = 1
      for _ in 0..<99 { deep = .document(Document([("d", deep)])) }
      let blob = Binary(bytes: [UInt8](repeating: 9, count: (16 << 20) - 40))
      let zero = Timestamp(seconds: 0, increment: 0)
      try server.withDatabase { database in
        _ = try database.insert("big", [["_id": 1, "b": .binary(blob)]])
        _ = try database.insert("deep", [["_id": 1, "d": deep]])
        _ = try database.insert("zero", [["_id": 1, "t": 0, "after": 1]])
        _ = try database.update(
          "zero",
          [["q": ["_id": 1], "u": ["$set": ["t": .timestamp(zero)]]]])
      }
      let path = scratch.file("a.archive.gz")
      let dumped = try server.dump(to: .archive(path: path)) { $0.compressionLevel = 1 }
      #expect(dumped.mode == .snapshot)
      #expect(try server.loadCopy(.archive(path: path)).isComplete)
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
    }
  }

  @Test("users and roles of one database come back with it")
  func users() throws {
    try TestServer.withCopy { server, scratch in
      let name = server.databaseName
      try server.withDatabase { database in
        _ = try database.insert("c", [["_id": 1]])
        _ = try database.run([
          "createRole": "auditor", "roles": [],
          "privileges": [
            ["resource": ["db": .string(name), "collection": "c"], "actions": ["find"]]
          ],
        ])
        _ = try database.run([
          "createUser": "reporter", "pwd": "not-a-secret", "roles": ["auditor"],
        ])
      }
      let path = scratch.file("a.archive")
      _ = try server.dump(to: .archive(path: path)) { $0.includesUsersAndRoles = true }
      try server.withDatabase { database in
        _ = try database.run(["dropAllUsersFromDatabase": 1])
        _ = try database.run(["dropAllRolesFromDatabase": 1])
      }
      var options = LoadOptions()
      options.drop = true
      options.usersAndRoles = .database(name)
      _ = try Loader(pool: server.pool, options: options).run(from: .archive(path: path))
      try server.withDatabase { database in
        let users = try database.run(["usersInfo": 1])["users"]?.arrayValue
        #expect(users?.first?.documentValue?["user"] == "reporter")
        let roles = try database.run(["rolesInfo": 1])["roles"]?.arrayValue
        #expect(roles?.count == 1)
        _ = try database.run(["dropAllUsersFromDatabase": 1])
        _ = try database.run(["dropAllRolesFromDatabase": 1])
      }
    }
  }
}
