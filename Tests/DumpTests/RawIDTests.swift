import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// `_id`s that are not UTF-8: decoded, different ones would be the same, and in another order.
@Suite struct RawIDTests {
  private static func document(_ id: [UInt8], _ pad: Value) throws -> Document {
    let length = withUnsafeBytes(of: Int32(id.count + 1).littleEndian) { [UInt8]($0) }
    let body = [2] + Array("_id".utf8) + [0] + length + id + [0, 0]
    let total = withUnsafeBytes(of: Int32(body.count + 4).littleEndian) { [UInt8]($0) }
    var document = try Document(bytes: total + body)
    document.append("pad", pad)
    return document
  }

  /// About 10 MB, in this order.
  private func fill(_ server: TestServer, _ ids: [[UInt8]]) throws -> [Document] {
    let pad = Value.string(String(repeating: "x", count: 10_000_000 / ids.count))
    let documents = try ids.map { try Self.document($0, pad) }
    try server.withDatabase { database in
      for start in stride(from: 0, to: documents.count, by: 1000) {
        _ = try database.insert("c", Array(documents[start..<min(start + 1000, documents.count)]))
      }
    }
    return documents
  }

  @Test("the end of a range of records is told from the record before it")
  func twins() throws {
    try TestServer.withCopy { server, scratch in
      // Of each pair the second is what the first looks like when it is decoded.
      var ids: [[UInt8]] = []
      for n in 0..<2500 { ids += [[UInt8]("\(n) ".utf8) + [0xFF], [UInt8]("\(n) \u{FFFD}".utf8)] }
      let documents = try fill(server, ids)
      let summary = try server.dump(to: scratch.file("a")) {
        $0.rangeSize = 1 << 20
        $0.consistency = .snapshot
      } meanwhile: {
      }
      #expect(summary.mode == .snapshot)
      let dumped = try RecordRangeTests.documents(scratch.file("a"))
      #expect(RecordRangeTests.sorted(dumped) == RecordRangeTests.sorted(documents))
    }
  }

  @Test("ranges of such `_id`s have every document once, also when a cursor is lost")
  func ranges() throws {
    let host = try PrivateServer()
    try TestServer.withCopy(uri: host.uri) { server, scratch in
      // Stored, those of the first kind are before the others; decoded, behind them.
      var ids: [[UInt8]] = []
      for n in 0..<2500 { ids += [[0x80] + [UInt8]("\(n)".utf8), [UInt8]("\u{E9}\(n)".utf8)] }
      let documents = try fill(server, ids)
      let settings = try ConnectionSettings(uri: server.uri, appName: server.databaseName)
      let summary = try server.dump(to: scratch.file("a"), pool: ClientPool(settings)) {
        $0.rangeSize = 2 << 20
        $0.consistency = .none
      } meanwhile: {
        try server.failNext(
          "getMore",
          ["errorCode": 43, "namespace": .string(server.databaseName + ".c")])
      }
      #expect(summary.mode == .none)
      let dumped = try RecordRangeTests.documents(scratch.file("a"))
      #expect(RecordRangeTests.sorted(dumped) == RecordRangeTests.sorted(documents))
    }
  }
}
