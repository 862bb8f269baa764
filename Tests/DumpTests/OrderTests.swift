import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

@Suite struct OrderTests {
  @Test("a capped collection keeps the order of its documents, and every collection its indexes'")
  func order() throws {
    try TestServer.withCopy { server, scratch in
      // No order that sorting would give.
      let ids = (0..<6000).map { Int32(($0 * 7919) % 6007) }
      let names = ["m", "z", "a", "q", "b"]
      try server.withDatabase { database in
        _ = try database.run(["create": "ring", "capped": true, "size": 8_000_000])
        for part in stride(from: 0, to: ids.count, by: 1000) {
          _ = try database.insert(
            "ring",
            ids[part..<part + 1000].map {
              ["_id": .int32($0), "pad": .string(String(repeating: "x", count: 600))]
            })
        }
        for name in names {
          _ = try database.run([
            "createIndexes": "ring",
            "indexes": [["key": .document(Document([name])), "name": .string(name)]],
          ])
        }
      }
      for target in ["--archive", "--archive --gzip"] {
        _ = try server.done(
          "$M dump --uri $U --db $DB \(target) "
            + "| $M load --uri $U --archive $AS --drop -j 4 --numInsertionWorkersPerCollection 4 "
            + "--batchSize 500", in: scratch)
        try server.withCopyDatabase { copy in
          let loaded = try copy.find("ring").all().map { $0["_id"] }
          #expect(loaded == ids.map { .int32($0) })
          let indexes = try copy.listIndexes("ring").map(\.name)
          #expect(indexes == ["_id_"] + names)
        }
      }
    }
  }
}

extension Document {
  /// An ascending key.
  fileprivate init(_ names: [String]) {
    self.init()
    for name in names { append(name, 1) }
  }
}
