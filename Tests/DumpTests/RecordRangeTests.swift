import BSON
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Dump

/// Within a snapshot large collections are read by the numbers of their records.
@Suite struct RecordRangeTests {
  private static let count = 5000

  /// About 10 MB; `_id`s of several types, in no order, and fields of a name that the server gives numbers.
  private func fill(_ server: TestServer) throws {
    let pad = Value.string(String(repeating: "x", count: 2000))
    try server.withDatabase { database in
      for start in stride(from: 0, to: Self.count, by: 1000) {
        _ = try database.insert(
          "c",
          (start..<start + 1000).map { n in
            let own: Value = n % 2 == 0 ? "own" : .integer(n)
            return switch n % 3 {
            case 0: ["_id": Self.id(n), "n": .integer(n), "pad": pad]
            case 1: ["_id": Self.id(n), "$recordId": own, "n": .integer(n), "pad": pad]
            default: ["_id": Self.id(n), "n": .integer(n), "pad": pad, "$recordId": own]
            }
          })
      }
      _ = try database.delete("c", [["q": ["n": ["$mod": [11, 3]]], "limit": 0]])
    }
  }

  private static func id(_ n: Int) -> Value {
    let mixed = n * 7919 % 5003
    return switch n % 3 {
    case 0: .integer(mixed)
    case 1: .string("id \(mixed)")
    default: .document(["a": .integer(mixed)])
    }
  }

  private func dump(
    _ server: TestServer, _ path: String, pool: ClientPool? = nil,
    act: @escaping @Sendable () throws -> Void
  ) throws -> DumpSummary {
    try server.dump(to: path, pool: pool, { $0.rangeSize = 4 << 20 }, meanwhile: act)
  }

  /// Removes and adds documents on both sides of where the reading is.
  private static func change(_ server: TestServer) throws {
    try server.withDatabase { database in
      let gone: [Document] = [
        ["n": ["$lt": 1000, "$not": ["$mod": [25, 0]]]], ["n": ["$mod": [2, 0]]],
        ["n": ["$gte": 4900]],
      ]
      for query in gone { _ = try database.delete("c", [["q": .document(query), "limit": 0]]) }
      _ = try database.insert("c", (0..<50).map { ["_id": .integer(10_000 + $0), "n": -1] })
    }
  }

  static func documents(_ path: String) throws -> [Document] {
    let found = Mutex<[Document]>([])
    var inspector = Inspector()
    inspector.document = { _, bytes in
      let document = try Document(bytes: [UInt8](bytes))
      found.withLock { $0.append(document) }
    }
    _ = try inspector.inspect(path: path)
    return found.withLock { $0 }
  }

  static func sorted(_ documents: [Document]) -> [[UInt8]] {
    documents.map(\.bytes).sorted { $0.lexicographicallyPrecedes($1) }
  }

  @Test("ranges of records have every document of the moment once, whatever changes")
  func once() throws {
    try TestServer.withCopy { server, scratch in
      try fill(server)
      let before = try server.withDatabase { try $0.find("c").all() }
      let summary = try dump(server, scratch.file("a")) { try Self.change(server) }
      #expect(summary.mode == .snapshot)
      #expect(Self.sorted(try Self.documents(scratch.file("a"))) == Self.sorted(before))
    }
  }

  @Test("records are what is cut, and each begins where the one before ends")
  func cut() throws {
    try TestServer.withCopy { server, _ in
      try fill(server)
      try server.pool.withClient { client in
        var options = DumpOptions()
        options.database = server.databaseName
        let plan = try DumpPlanner(client: client, options: options).plan()
        let time = try #require(
          try client.database(server.databaseName).find("c", command: .snapshot()).atClusterTime)
        let cutter = RangeCutter(client: client, rangeSize: 1 << 20)
        let items = try #require(cutter.cutRecords(plan[0], index: 0, at: time))
        let ranges = items.compactMap(\.records)
        #expect(ranges.count > 4 && ranges.count == items.count)
        #expect(ranges.first?.after == nil && ranges.last?.last == nil)
        for (range, next) in zip(ranges, ranges.dropFirst()) {
          #expect(range.last?.record == next.after)
          #expect(range.after ?? 0 < next.after ?? 0)
        }
      }
    }
  }

  @Test("a snapshot that is forgotten within a range of records: the replay gives what is there")
  func forgotten() throws {
    let host = try PrivateServer()
    try TestServer.withCopy(uri: host.uri) { server, scratch in
      try fill(server)
      let settings = try ConnectionSettings(uri: server.uri, appName: server.databaseName)
      let pool = try ClientPool(settings)
      let summary = try dump(server, scratch.file("a"), pool: pool) {
        try Self.change(server)
        try server.failNext(
          "getMore",
          ["errorCode": 239, "namespace": .string(server.databaseName + ".c")])
      }
      #expect(summary.mode == .oplog)
      let ids = try Self.documents(scratch.file("a")).compactMap { $0["_id"] }
      #expect(Set(ids.map { "\($0)" }).count == ids.count)
      let loaded = try server.loadCopy(.archive(path: scratch.file("a"))) {
        $0.replaysOplog = true
      }
      #expect(loaded.isComplete)
      let source = try server.withDatabase { try $0.find("c").all() }
      let copy = try server.withCopyDatabase { try $0.find("c").all() }
      #expect(Self.sorted(copy) == Self.sorted(source))
    }
  }

  @Test("a cursor that is lost within a range of records is taken up where it was")
  func lostCursor() throws {
    let host = try PrivateServer()
    try TestServer.withCopy(uri: host.uri) { server, scratch in
      try fill(server)
      let before = try server.withDatabase { try $0.find("c").all() }
      let settings = try ConnectionSettings(uri: server.uri, appName: server.databaseName)
      let pool = try ClientPool(settings)
      let summary = try dump(server, scratch.file("a"), pool: pool) {
        try server.failNext(
          "getMore",
          ["errorCode": 43, "namespace": .string(server.databaseName + ".c")])
      }
      #expect(summary.mode == .snapshot)
      #expect(Self.sorted(try Self.documents(scratch.file("a"))) == Self.sorted(before))
    }
  }
}
