import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// `martlet inspect --salvage` of compressed archives that somebody or something has damaged.
@Suite struct SalvageCommandTests {
  static let sizes: [(name: String, count: Int32)] = [("a", 200), ("b", 100), ("c", 20)]

  /// Every document says whose it is; noise, so that the archive has many members.
  private func withArchive(_ body: (TestServer, Scratch, [UInt8]) throws -> Void) throws {
    try TestServer.withCopy { server, scratch in
      try server.withDatabase { database in
        for (name, count) in Self.sizes {
          let documents = (0..<count).map { (n: Int32) -> Document in
            let noise = (0..<6000).map { _ in UInt8.random(in: 0...255) }
            return [
              "_id": .int32(n), "of": .string(name), "noise": .binary(Binary(bytes: noise)),
            ]
          }
          _ = try database.insert(name, documents)
        }
      }
      _ = try server.done("$M dump --uri $U --db $DB --archive=x --gzip -j 1", in: scratch)
      try body(server, scratch, [UInt8](try Data(contentsOf: URL(filePath: scratch.file("x")))))
    }
  }

  /// Salvages, loads, and compares with what was dumped. Returns how many documents there are.
  private func salvage(_ bytes: [UInt8], _ server: TestServer, _ scratch: Scratch, _ what: String)
    throws -> Int
  {
    try Data(bytes).write(to: URL(filePath: scratch.file("bad")))
    let refused = try server.sh("$M load --uri $U --archive=bad $AS", in: scratch)
    #expect(refused.exitCode == 20, "\(what): \(refused.stderr)")
    let saved = try server.sh("$M inspect --json bad --salvage out", in: scratch)
    #expect(saved.exitCode == 20, "\(what): \(saved.stderr)")
    let page = try ExtendedJSON.parseDocument(saved.stdout)
    #expect(page["intact"] == false && page["stopped"]?.stringValue != nil, "\(what)")
    _ = try server.done("$M load --uri $U --archive=out $AS --drop", in: scratch)
    var sum = 0
    for collection in (page["collections"]?.arrayValue ?? []).compactMap(\.documentValue) {
      let name = String((collection["namespace"]?.stringValue ?? "").suffix(1))
      let original = try server.withDatabase { try $0.find(name).all() }
      let loaded = try server.withCopyDatabase { try $0.find(name).all() }
      #expect(collection["kept"]?.integerValue == Int64(loaded.count), "\(what), \(name)")
      let isWhole = loaded.count == original.count
      // A lost end costs no document, but then nothing says so.
      #expect(collection["intact"] == false || isWhole, "\(what), \(name)")
      // Nothing is altered, nothing is in the wrong place.
      let isOurs = Set(loaded.map(\.bytes)).isSubset(of: Set(original.map(\.bytes)))
      #expect(isOurs, "\(what), \(name)")
      sum += loaded.count
    }
    return sum
  }

  @Test("a flipped byte costs a compressed archive one piece, and nothing lands in another place")
  func flipped() throws {
    try withArchive { server, scratch, whole in
      let members = Self.members(whole)
      #expect(members.count > 6)
      // The first is the prelude, without which nothing can be told apart.
      for (start, end) in members.dropFirst() {
        var bytes = whole
        bytes[(start + end) / 2] ^= 0x40
        let left = try salvage(bytes, server, scratch, "bytes \(start) to \(end)")
        #expect(left >= 100, "bytes \(start) to \(end)")
      }
    }
  }

  @Test("what stands before the cut of a compressed archive is kept")
  func cut() throws {
    try withArchive { server, scratch, whole in
      let half = try salvage(Array(whole[..<(whole.count / 2)]), server, scratch, "half")
      #expect(half >= 80)
      let most = try salvage(Array(whole.dropLast(3)), server, scratch, "the end")
      #expect(most >= 300)
    }
  }

  /// Where each member begins and ends.
  private static func members(_ bytes: [UInt8]) -> [(Int, Int)] {
    var found: [(Int, Int)] = []
    var start = 0
    while start < bytes.count {
      let length = bytes[start...].withUnsafeBytes { GzipMember.announcedLength($0) }
      guard let length, length > 0 else { break }
      found.append((start, start + length))
      start += length
    }
    return found
  }
}
