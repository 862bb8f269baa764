import BSON
import Fingerprint
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup
@testable import Dump

/// Sets whose archive is completed by an oplog.
@Suite struct FuzzyRestoreTests {
  /// Writes while the archive is read, so that the oplog in it has something to say.
  private func backup(_ shop: Shop) throws -> Manifest {
    try shop.server.withDatabase { database in
      _ = try database.run(["create": "log", "capped": true, "size": 4096])
      _ = try database.insert("log", (0..<20).map { ["_id": .integer($0), "t": "entry"] })
    }
    let isDone = Mutex(false)
    let pool = shop.server.pool
    let name = shop.name
    return try shop.backup { options in
      options.progress = { _ in
        guard
          isDone.withLock({ done in
            defer { done = true }
            return !done
          })
        else { return }
        try? pool.withClient { client in
          let database = client.database(name)
          _ = try database.update(
            "orders", [["q": ["_id": 3], "u": ["$set": ["text": "changed meanwhile"]]]])
          _ = try database.delete("orders", [["q": ["_id": 4], "limit": 1]])
          _ = try database.insert("log", [["_id": 100, "t": "meanwhile"]])
          _ = try database.insert("sudden", [["_id": 1]])
          _ = try database.run([
            "createIndexes": "sudden", "indexes": [["key": ["n": 1], "name": "n_1"]],
          ])
        }
      }
    }
  }

  private static let names = ["orders", "users", "log", "sudden", "system.buckets.metrics"]

  private func extents(_ compared: [Compared]) -> [String: Compared.Extent] {
    Dictionary(
      compared.map { ($0.namespace.collection, $0.extent) }, uniquingKeysWith: { a, _ in a })
  }

  @Test(
    "a set in oplog mode is compared before its oplog is replayed, beside and in place, and is as at its end",
    arguments: [false, true])
  func restored(_ inPlace: Bool) throws {
    try Shop.run { shop in
      let made = try backup(shop)
      #expect(made.consistency?.mode == "oplog")
      #expect(
        made.document["consistency"]?.documentValue?["fingerprints"] == "archive before its oplog")
      let wanted = try Self.names.map { try shop.tally($0) }
      try shop.server.withDatabase { database in
        _ = try database.delete("orders", [["q": ["_id": ["$lt": 50]], "limit": 0]])
        try database.drop("sudden")
        try database.drop("log")
      }
      let report = try shop.restore(made.id) { $0.inPlace = inPlace }
      let found = try Self.names.map { try shop.tally($0) }
      for (index, name) in Self.names.enumerated() {
        #expect(found[index] == wanted[index], "\(name)")
      }
      let extents = extents(report.compared)
      #expect(extents["orders"] == .beforeReplay)
      #expect(extents["users"] == .exact)
      #expect(extents["log"] == .beforeReplay)
      #expect(extents["metrics"] == .exact)
      #expect(report.replayed > 0)
      try shop.server.withDatabase { database in
        let sudden = try database.listIndexes("sudden").map(\.name)
        #expect(sudden == ["_id_", "n_1"])
        let orders = try database.listIndexes("orders").map(\.name)
        #expect(orders == ["_id_", "n_1", "at_1"])
      }
    }
  }

  @Test("a drill of a set in oplog mode compares what was archived and says how far")
  func drilled() throws {
    try Shop.run { shop in
      let made = try backup(shop)
      let report = try Drill(shop.store, folder: shop.scratch.path).run(made.id)
      let extents = extents(report.compared)
      #expect(extents["orders"] == .beforeReplay)
      #expect(extents["users"] == .exact)
      #expect(report.replayed > 0)
      #expect(report.indexes >= 5)
    }
  }

  @Test(
    "a set in oplog mode whose archive is not that of its manifest is found, and nothing changed")
  func altered() throws {
    try Shop.run { shop in
      var made = try backup(shop)
      let index = try #require(made.collections.firstIndex { $0.namespace.hasSuffix(".orders") })
      made.collections[index].fingerprint = String(repeating: "0", count: 32)
      try shop.store.put(made.id + "/manifest.json", bytes: SealedText.seal(made.document))
      try shop.server.withDatabase {
        _ = try $0.delete("orders", [["q": ["_id": ["$lt": 50]], "limit": 0]])
      }
      let live = try shop.tally("orders")
      let error = #expect(throws: BackupError.self) { try shop.restore(made.id) }
      #expect(error?.code == .mismatch)
      #expect(error?.namespace == shop.name + ".orders")
      #expect(try shop.tally("orders") == live)
      #expect(try !shop.collections().contains { $0.hasPrefix(Temporary.prefix) })
      let drilled = #expect(throws: BackupError.self) {
        try Drill(shop.store, folder: shop.scratch.path).run(made.id)
      }
      #expect(drilled?.code == .mismatch)
    }
  }

  @Test("an index that is missing after a replay is found")
  func missingIndex() throws {
    try Shop.run { shop in
      var collection = LoadSummary.Collection(
        source: Namespace(shop.name, "users"), target: Namespace(shop.name, "users"),
        tally: CollectionTally(), inserted: 0, failed: 0, indexes: 0)
      var summary = LoadSummary()
      summary.collections = [collection]
      let comparer = LoadComparer(
        Manifest(id: "x", kind: .full, started: 0, finished: 0), [], pool: shop.server.pool,
        options: shop.restoreOptions, failures: FailureCount(toleratesDuplicates: true))
      _ = try comparer.finish(summary, replayed: true)
      summary.collections[0].indexSpecs = [["key": ["z": 1], "name": "z_1"]]
      #expect(throws: BackupError.self) { try comparer.finish(summary, replayed: true) }
      collection.target = Namespace(shop.name, "nowhere")
      summary.collections = [collection]
      #expect(throws: BackupError.self) { try comparer.finish(summary, replayed: true) }
    }
  }
}
