import BSON
import Fingerprint
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Dump

/// Money moves between two collections while they are dumped; the total never changes.
@Suite struct ConsistencyTests {
  private static let total: Int64 = 100 * 1000

  /// `first` is larger, so it is read first.
  private func fill(_ server: TestServer) throws {
    try server.withDatabase { database in
      let pad = Value.string(String(repeating: "x", count: 200))
      _ = try database.insert(
        "first", (0..<100).map { ["_id": .int32($0), "n": 1000, "pad": pad] })
      _ = try database.insert("second", [["_id": 0, "n": 0]])
    }
  }

  /// In one transaction.
  private static func move(_ server: TestServer) throws {
    try server.pool.withClient { client in
      let database = client.database(server.databaseName)
      try client.withTransaction { session in
        _ = try database.update(
          "first", [["q": ["_id": 1], "u": ["$inc": ["n": -10]]]], session: session)
        _ = try database.update(
          "second", [["q": ["_id": 0], "u": ["$inc": ["n": 10]]]], session: session)
      }
    }
  }

  /// Dumps, and runs `act` when the first collection has been read.
  private func dump(
    _ server: TestServer, _ path: String, _ mode: ConsistencyChoice,
    pool: ClientPool? = nil, act: @escaping @Sendable () throws -> Void
  ) throws -> DumpSummary {
    try server.dump(to: path, pool: pool, { $0.consistency = mode }, meanwhile: act)
  }

  private func sum(_ path: String) throws -> Int64 {
    let total = Mutex<Int64>(0)
    var inspector = Inspector()
    inspector.document = { namespace, bytes in
      guard namespace != .oplog else { return }
      let n = try Document(bytes: [UInt8](bytes))["n"]?.integerValue ?? 0
      total.withLock { $0 += n }
    }
    _ = try inspector.inspect(path: path)
    return total.withLock { $0 }
  }

  private func loadedSum(_ server: TestServer) throws -> Int64 {
    try server.pool.withClient { client in
      var total: Int64 = 0
      for name in ["first", "second"] {
        for document in try client.database(server.copyName).find(name).all() {
          total += document["n"]?.integerValue ?? 0
        }
      }
      return total
    }
  }

  @Test("a snapshot has the total of one moment")
  func snapshot() throws {
    try TestServer.withCopy { server, scratch in
      try fill(server)
      let path = scratch.file("a")
      let summary = try dump(server, path, .automatic) { try Self.move(server) }
      #expect(summary.mode == .snapshot)
      #expect(summary.clusterTime != nil)
      #expect(try sum(path) == Self.total)
    }
  }

  @Test("a plain dump has a total that never was: the negative control")
  func plain() throws {
    try TestServer.withCopy { server, scratch in
      try fill(server)
      let path = scratch.file("a")
      let summary = try dump(server, path, .none) { try Self.move(server) }
      #expect(summary.mode == .none)
      #expect(try sum(path) == Self.total + 10)
    }
  }

  @Test("a dump with the oplog has the right total once it is replayed")
  func oplog() throws {
    try TestServer.withCopy { server, scratch in
      try fill(server)
      let path = scratch.file("a")
      let summary = try dump(server, path, .oplog) { try Self.move(server) }
      #expect(summary.mode == .oplog)
      #expect(try sum(path) == Self.total + 10)
      _ = try server.loadCopy(.archive(path: path))
      #expect(try loadedSum(server) == Self.total + 10)
      let replayed = try server.loadCopy(.archive(path: path)) { $0.replaysOplog = true }
      #expect(replayed.replayed >= 2)
      #expect(try loadedSum(server) == Self.total)
    }
  }

  @Test("a snapshot that the server forgets is completed with the oplog, and says so")
  func historyRunsOut() throws {
    let host = try PrivateServer()
    try TestServer.withCopy(uri: host.uri) { server, scratch in
      try fill(server)
      let path = scratch.file("a")
      let settings = try ConnectionSettings(uri: server.uri, appName: server.databaseName)
      let pool = try ClientPool(settings)
      let summary = try dump(server, path, .automatic, pool: pool) {
        try Self.move(server)
        try server.failNext("find", ["errorCode": 239])
      }
      #expect(summary.mode == .oplog)
      #expect(summary.notices.contains { $0.contains("history") })
      #expect(try sum(path) == Self.total + 10)
      let loaded = try server.loadCopy(.archive(path: path)) { $0.replaysOplog = true }
      #expect(loaded.isComplete)
      #expect(try loadedSum(server) == Self.total)
    }
  }

  @Test("the command line says that a forgotten snapshot became an oplog dump, compressed or not")
  func historyRunsOutInCommand() throws {
    // The failpoint is one of the whole server, and others use it too.
    let host = try PrivateServer()
    for target in ["--archive=a --gzip", "--archive=a", "--out a --gzip"] {
      try TestServer.run(uri: host.uri) { server in
        let scratch = try Scratch()
        try fill(server)
        let entered = try server.pool.withClient { client in
          try client.run(
            [
              "configureFailPoint": "failCommand", "mode": ["skip": 1],
              "data": [
                "failCommands": ["find"], "errorCode": 239, "appName": "forgetful",
                // What is read by UUID has no name here: `first`, which is skipped, and `second`.
                "namespace": .string(server.databaseName), "blockConnection": true,
                "blockTimeMS": 1000,
              ],
            ], on: "admin")["count"]?.integerValue ?? 0
        }
        let dump = try ChildProcess(
          "/bin/sh",
          [
            "-c",
            "exec $M dump --uri \"$U&appName=forgetful\" --db $DB -j 1 --json --summary s \(target)",
          ],
          environment: [
            "M": TestServer.environment("MARTLET_BINARY"), "U": server.uri,
            "DB": server.databaseName,
          ], directory: scratch.path)
        _ = try server.pool.withClient { client in
          try client.run(
            [
              "waitForFailPoint": "failCommand", "timesEntered": .int64(entered + 1),
              "maxTimeMS": 60_000,
            ], on: "admin")
        }
        // `first` is read, `second` is not.
        try Self.move(server)
        // Waits until nobody is held, and fails the one that was.
        _ = try server.pool.withClient { client in
          try client.run(["configureFailPoint": "failCommand", "mode": "off"], on: "admin")
        }
        let result = dump.wait()
        #expect(result.exitCode == 0, "\(result.stderr)")
        #expect(result.stderr.contains("history") && result.stderr.contains("consistency: oplog"))
        let written = try String(contentsOfFile: scratch.file("s"), encoding: .utf8)
        for text in [written, result.stdout] {
          let summary = try ExtendedJSON.parseDocument(text)
          #expect(summary["consistency"] == "oplog" && !summary.has("clusterTime"))
          #expect(summary.has("oplogStart") && summary.has("oplogEnd"))
        }
        let source = target.contains("--out") ? "a" : "--archive=a"
        _ = try server.done("$M load --uri $U \(source) $AS --oplogReplay", in: scratch)
        #expect(try loadedSum(server) == Self.total)
        try server.withCopyDatabase { try $0.dropDatabase() }
      }
    }
    withExtendedLifetime(host) {}
  }

  @Test(
    "a collection that is dropped or renamed before it was read is noticed",
    arguments: [true, false])
  func changesUnderway(_ isDrop: Bool) throws {
    try TestServer.withCopy { server, scratch in
      try fill(server)
      let error = #expect(throws: DumpError.self) {
        try dump(server, scratch.file("a"), .automatic) {
          try server.withDatabase { database in
            if isDrop {
              try database.drop("second")
            } else {
              try database.rename("second", to: "third")
            }
          }
        }
      }
      #expect(error?.code == .inconsistent)
      #expect(error?.namespace == server.databaseName + ".second")
      #expect(scratch.names.isEmpty)
    }
  }

  @Test("what happens during a dump with the oplog is there after the replay")
  func changes() throws {
    try TestServer.withCopy { server, scratch in
      try fill(server)
      let path = scratch.file("a")
      _ = try dump(server, path, .oplog) {
        try Self.move(server)
        try server.withDatabase { database in
          _ = try database.run(["create": "fresh", "collation": ["locale": "fr"]])
          _ = try database.run([
            "createIndexes": "fresh", "indexes": [["key": ["a": 1], "name": "a_1"]],
          ])
          _ = try database.insert("fresh", (0..<50).map { ["_id": .int32($0), "a": .int32($0)] })
          _ = try database.delete("fresh", [["q": ["_id": 7], "limit": 1]])
          _ = try database.run(["create": "seen", "viewOn": "fresh", "pipeline": []])
          _ = try database.run(["create": "gone"])
          _ = try database.insert("gone", [["_id": 1]])
          try database.drop("gone")
          _ = try database.run([
            "create": "series", "timeseries": ["timeField": "t", "metaField": "m"],
          ])
          _ = try database.insert(
            "series", [["t": .date(DateTime(milliseconds: 1)), "m": 1, "v": 2]])
          _ = try database.run([
            "createIndexes": "first", "indexes": [["key": ["n": 1], "name": "by_n"]],
          ])
        }
      }
      _ = try server.loadCopy(.archive(path: path)) { $0.replaysOplog = true }
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
    }
  }
}
