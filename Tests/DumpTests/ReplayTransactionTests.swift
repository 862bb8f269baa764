import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// Transactions of several entries around the moment of a dump, and with parts missing.
@Suite struct ReplayTransactionTests {
  private struct Finished: Error {}

  private static func entries(_ server: TestServer, from start: Timestamp) throws -> [Document] {
    try server.pool.withClient { client in
      try client.database("local").find(
        "oplog.rs", filter: ["ts": ["$gte": .timestamp(start)]],
        command: CommandOptions(readConcern: ["level": "majority"])
      ).all()
    }.filter { entry in
      let namespace = entry["ns"]?.stringValue ?? ""
      return namespace.hasPrefix(server.databaseName + ".") || namespace == "admin.$cmd"
    }
  }

  private static func write(_ entries: [Document], _ path: String) throws {
    try Data(entries.flatMap { Array($0.bytes) }).write(to: URL(fileURLWithPath: path))
  }

  private static func note(_ client: Client) throws -> Timestamp {
    let reply = try client.run(["appendOplogNote": 1, "data": ["mark": 1]], on: "admin")
    return try #require(reply["operationTime"]?.timestampValue)
  }

  @Test(
    "a transaction that was prepared before a snapshot and committed after it is replayed whole")
  func prepared() throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { database in
        let pad = Value.string(String(repeating: "x", count: 5000))
        _ = try database.insert("first", (0..<50).map { ["_id": .int32($0), "pad": pad] })
        _ = try database.insert("second", [["_id": 1, "n": 0]])
      }
      let found = Monitor<Result<DumpSummary, any Error>?>(nil)
      let hasRead = Monitor(false)
      let path = scratch.file("a")
      var thread: WorkerThread?
      func begin() {
        thread = WorkerThread {
          let result = Result {
            try server.dump(to: .archive(path: path)) { options in
              options.parallel = 1
              options.progress = { _ in hasRead.withLock(wake: true) { $0 = true } }
            }
          }
          found.withLock { $0 = result }
          hasRead.withLock(wake: true) { $0 = true }
        }
        // The first collection; in the second the transaction stands in the way.
        hasRead.wait { $0 ? () : nil }
      }
      func work() throws {
        try server.withDatabase { database in
          try database.client.withTransaction { session in
            _ = try database.update(
              "second", [["q": ["_id": 1], "u": ["$set": ["n": 1]]]], session: session)
            _ = try database.insert("second", [["_id": 2]], session: session)
            _ = try database.client.run(
              ["prepareTransaction": 1, "writeConcern": ["w": "majority"]], on: "admin",
              session: session)
            begin()
            let time = try server.pool.withClient { try Self.note($0) }
            _ = try database.client.run(
              [
                "commitTransaction": 1, "commitTimestamp": .timestamp(time),
                "writeConcern": ["w": "majority"],
              ], on: "admin", session: session)
            // It is over; another commit would lack the timestamp.
            throw Finished()
          }
        }
      }
      _ = #expect(throws: Finished.self) { try work() }
      thread?.join()
      let summary = try #require(found.withLock { $0 }).get()
      let time = try #require(summary.clusterTime)
      let start = try #require(summary.replayStart)
      #expect(summary.mode == .snapshot && start <= time)
      func replay(_ from: Timestamp) throws {
        try Self.write(Self.entries(server, from: from), scratch.file("o.bson"))
        _ = try server.loadCopy(.archive(path: scratch.file("a"))) { options in
          options.replaysOplog = true
          options.oplogFile = scratch.file("o.bson")
          options.overlapEnd = time
          options.replayAfter = time
        }
      }
      try replay(start)
      #expect(try server.describe(server.copyName) == server.describe(server.databaseName))
      let error = #expect(throws: DumpError.self) {
        try replay(Timestamp(rawValue: time.rawValue + 1))
      }
      #expect(error?.code == .inconsistent)
      #expect(error?.message.contains("the beginning of a transaction is missing") == true)
    }
  }

  @Test(
    "a transaction that lacks a part is refused, and nothing of it is applied", arguments: 0...1)
  func missingPart(_ missing: Int) throws {
    // A busy server's cache may refuse a transaction of this size (388).
    let host = try PrivateServer()
    try TestServer.withCopy(uri: host.uri) { server, scratch in
      try server.withDatabase { _ = try $0.insert("c", [["_id": -1]]) }
      _ = try server.done("$M dump --uri $U --db $DB --no-consistent --out d", in: scratch)
      let start = try server.pool.withClient { try Self.note($0) }
      let large = Value.string(String(repeating: "x", count: 1 << 20))
      try server.withDatabase { database in
        try database.client.withTransaction { session in
          for n in 0..<36 {
            _ = try database.insert("c", [["_id": .int32(Int32(n)), "x": large]], session: session)
          }
        }
      }
      var entries = try Self.entries(server, from: start).filter {
        $0["o"]?.documentValue?["applyOps"]?.arrayValue?.first?.documentValue?["ns"]
          == .string(server.databaseName + ".c")
      }
      #expect(entries.count >= 3)
      try Self.write(entries, scratch.file("d/oplog.bson"))
      _ = try server.done("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      #expect(try server.withCopyDatabase { try $0.find("c").all().count } == 37)
      entries.remove(at: missing)
      try Self.write(entries, scratch.file("d/oplog.bson"))
      let result = try server.sh("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      #expect(result.exitCode != 0)
      #expect(result.stderr.contains("the beginning of a transaction is missing"))
      #expect(result.stderr.contains("HINT: replay from an earlier entry"))
      #expect(try server.withCopyDatabase { try $0.find("c").all().map { $0["_id"] } } == [-1])
    }
  }

  @Test("what a transaction makes counts once it is committed, and never when it was taken back")
  func names() throws {
    let host = try PrivateServer()
    try TestServer.run(uri: host.uri) { server in
      let start = try server.pool.withClient { try Self.note($0) }
      let large = Value.string(String(repeating: "x", count: 1 << 20))
      try server.withDatabase { database in
        try database.client.withTransaction(readConcern: .local) { session in
          _ = try database.client.run(["create": "made"], on: database.name, session: session)
          for n in 0..<20 {
            _ = try database.insert(
              "made", [["_id": .int32(Int32(n)), "x": large]], session: session)
          }
        }
      }
      let name = Namespace(server.databaseName, "made")
      let entries = try Self.entries(server, from: start).filter { entry in
        let operations = entry["o"]?.documentValue?["applyOps"]?.arrayValue
        return operations?.first?.documentValue?["ns"]?.stringValue?
          .hasPrefix(server.databaseName + ".") == true
      }
      #expect(entries.count >= 2)
      var history = NamespaceHistory()
      func add(_ entry: Document) throws { try entry.bytes.withUnsafeBytes { try history.add($0) } }
      for entry in entries.dropLast() { try add(entry) }
      #expect(history.made { _ in true } == [])
      let last = try #require(entries.last)
      let before = history
      try add(last)
      #expect(history.made { _ in true } == [name])
      history = before
      var abort = last
      abort["o"] = ["abortTransaction": 1]
      try add(abort)
      abort["o"] = ["commitTransaction": 1]
      try add(abort)
      #expect(history.made { _ in true } == [])
    }
  }

  @Test("an entry of a kind that is not known is refused, unless it concerns something else")
  func unknownKind() throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { _ = try $0.insert("c", [["_id": -1]]) }
      _ = try server.done("$M dump --uri $U --db $DB --no-consistent --out d", in: scratch)
      func replay(_ kind: String, _ namespace: String) throws -> ChildProcess.Result {
        let entry: Document = [
          "ts": .timestamp(Timestamp(seconds: 5, increment: 1)), "op": .string(kind),
          "ns": .string(namespace), "o": ["_id": 1],
        ]
        let transaction: Document = [
          "ts": .timestamp(Timestamp(seconds: 5, increment: 2)), "op": "c", "ns": "admin.$cmd",
          "o": ["applyOps": [.document(entry)]],
        ]
        let wrapped = kind.count == 1 ? [transaction] : [entry]
        try Self.write(wrapped, scratch.file("d/oplog.bson"))
        return try server.sh("$M load --uri $U d $AS --drop --oplogReplay", in: scratch)
      }
      let name = server.databaseName + ".c"
      for kind in ["xi", "k"] {
        let result = try replay(kind, name)
        #expect(result.exitCode != 0)
        #expect(result.stderr.contains("an entry of the kind '\(kind)'"), "\(result.stderr)")
      }
      for (kind, name) in [("n", name), ("n", ""), ("db", name), ("xi", "config.x")] {
        let result = try replay(kind, name)
        #expect(result.exitCode == 0, "\(kind): \(result.stderr)")
      }
    }
  }
}
