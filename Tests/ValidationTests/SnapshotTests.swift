import BSON
import Fingerprint
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Validation

@Suite struct SnapshotTests {
  private static func collection(
    _ name: String, _ count: Int64 = 5, _ fingerprint: String = "a"
  ) -> CollectionSnapshot {
    CollectionSnapshot(
      name: name, options: [:], indexes: [["v": 2, "key": ["_id": 1], "name": "_id_"]],
      count: count, bytes: 100, fingerprint: fingerprint)
  }

  private static func snapshot(_ collections: CollectionSnapshot...) -> Snapshot {
    Snapshot(takenAt: 1, database: "shop", collections: collections)
  }

  private static func findings(
    _ old: Snapshot, _ new: Snapshot, _ changes: DeclaredChange...
  ) -> [String] {
    Comparison(old, new, declared: changes, own: ["migrations"]).checks
      .filter { $0.status != .passed }.map(\.id)
  }

  private static func change(
    _ collection: String, _ body: (inout DeclaredChange) -> Void
  ) -> DeclaredChange {
    var change = DeclaredChange(collection, source: "001")
    body(&change)
    return change
  }

  @Test("what is declared is no finding, and what is not declared is one")
  func declared() {
    let old = Self.snapshot(Self.collection("a"))
    let more = Self.snapshot(Self.collection("a", 7, "b"))
    #expect(Self.findings(old, old) == [])
    #expect(Self.findings(old, more) == ["count-changed"])
    #expect(Self.findings(old, more, Self.change("a") { $0.documents = 2...2 }) == [])
    #expect(
      Self.findings(old, more, Self.change("a") { $0.documents = 3...3 }) == ["count-changed"])
    #expect(Self.findings(old, more, Self.change("a") { $0.documents = nil }) == [])
    #expect(Self.findings(old, more, Self.change("b") { $0.documents = nil }) == ["count-changed"])
    let other = Self.snapshot(Self.collection("a", 5, "b"))
    #expect(Self.findings(old, other) == ["data-changed"])
    #expect(Self.findings(old, other, Self.change("a") { $0.changesDocuments = true }) == [])
    let both = Self.snapshot(Self.collection("a"), Self.collection("b", 3))
    #expect(Self.findings(old, both) == ["collection-added"])
    #expect(
      Self.findings(
        old, both,
        Self.change("b") {
          $0.creates = true
          $0.documents = 3...3
        }) == [])
    #expect(Self.findings(old, both, Self.change("b") { $0.creates = true }) == ["count-changed"])
    #expect(Self.findings(both, old) == ["collection-removed"])
    #expect(Self.findings(both, old, Self.change("b") { $0.drops = true }) == [])
    let own = Self.snapshot(Self.collection("a"), Self.collection("migrations.history", 3))
    #expect(Self.findings(old, own) == [])
  }

  @Test("a snapshot without a fingerprint is a skipped check, never a pass")
  func unknown() {
    var bare = Self.collection("a")
    bare.fingerprint = nil
    let checks = Comparison(Self.snapshot(bare), Self.snapshot(Self.collection("a"))).checks
    #expect(checks.contains { $0.id == "data-changed" && $0.status == .skipped && $0.applies })
  }

  @Test("a slower query is a finding only when it is slower by the factor and by milliseconds")
  func slower() {
    func queries(_ p95: Double) -> Snapshot {
      var snapshot = Self.snapshot()
      snapshot.queries = [
        QuerySnapshot(
          name: "q", stages: ["FETCH", "IXSCAN"], indexes: ["a_1"], documents: 1, runs: 20,
          p50: p95, p95: p95)
      ]
      return snapshot
    }
    #expect(Self.findings(queries(10), queries(19)) == [])
    #expect(Self.findings(queries(1), queries(4)) == [])
    #expect(Self.findings(queries(10), queries(21)) == ["query-slower"])
  }

  @Test("a snapshot survives its file, and is readable by its owner only")
  func file() throws {
    try Shop.run { shop in
      let snapshot = try #require(try shop.validate().snapshot)
      let path = "\(shop.folder)/s.json"
      try SnapshotFile.write(snapshot, to: path)
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
      #expect(mode == 0o600)
      let read = try SnapshotFile.read(path)
      #expect(Comparison(snapshot, read).checks.allSatisfy { $0.status == .passed })
      #expect(read.queries == snapshot.queries)
      #expect(throws: ValidationError.self) { try read.require(database: "other", file: path) }
    }
  }

  @Test("a validator and a view with $regex and $options are as they were, out of a file too")
  func regex() throws {
    try TestServer.run { server in
      let pattern: Document = ["$regex": "^a", "$options": "i"]
      try server.withDatabase { database in
        _ = try database.run(["create": "a", "validator": ["name": .document(pattern)]])
        _ = try database.run([
          "create": "v", "viewOn": "a", "pipeline": [["$match": ["name": .document(pattern)]]],
        ])
      }
      let live = try Validator(server.pool, database: server.databaseName, phase: .before)
        .snapshot()
      let path = "\(FileManager.default.temporaryDirectory.path)/\(TestServer.uniqueName())"
      defer { try? FileManager.default.removeItem(atPath: path) }
      try SnapshotFile.write(live, to: path)
      let read = try SnapshotFile.read(path)
      for (old, new) in [(read, live), (live, read), (read, read)] {
        #expect(Comparison(old, new).checks.filter { $0.status != .passed } == [])
      }
      try server.withDatabase { database in
        let other: Document = ["$regex": "^b", "$options": "i"]
        _ = try database.run(["collMod": "a", "validator": ["name": .document(other)]])
      }
      let changed = try Validator(server.pool, database: server.databaseName, phase: .before)
        .snapshot()
      #expect(Self.findings(read, changed) == ["options-changed"])
    }
  }

  @Test("a collection that cannot be read leaves the others, and is said to be unknown")
  func unreadable() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        for name in ["a", "b"] {
          _ = try database.insert(name, (0..<500).map { ["_id": .integer($0)] })
        }
      }
      var options = CheckOptions()
      let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
      // Dropped between two batches: QueryPlanKilled.
      options.progress = { now in
        guard now.id == "snapshot", now.subject == "a", now.done > 0 else { return }
        try? server.withDatabase { try $0.drop("a") }
      }
      let outcome = try Validator(
        pool, database: server.databaseName, phase: .before, options: options
      ).run(takesSnapshot: true)
      let unread = outcome.checks.filter { $0.id == "snapshot" }
      #expect(unread.map(\.status) == [.skipped] && unread.first?.subject == "a")
      #expect(unread.first?.applies == true)
      #expect(outcome.snapshot?.collection("a")?.fingerprint == nil)
      #expect(outcome.snapshot?.collection("b")?.count == 500)
      #expect(outcome.checks.contains { $0.id == "database-present" && $0.status == .passed })
    }
  }

  @Test("a large collection is read however long it takes")
  func noLimit() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let filler = Value.string(String(repeating: "x", count: 500))
        for part in 0..<4 {
          _ = try database.insert(
            "a", (0..<10_000).map { ["_id": .integer(part * 10_000 + $0), "filler": filler] })
        }
      }
      var options = CheckOptions()
      options.commandLimit = .milliseconds(3)
      let snapshot = try Validator(
        server.pool, database: server.databaseName, phase: .before, options: options
      ).snapshot()
      #expect(snapshot.collection("a")?.count == 40_000)
    }
  }

  @Test(
    "numbers that no snapshot has are a named error",
    arguments: [
      ("\"takenAt\": 1", "\"takenAt\": -9223372036854775808"),
      ("\"count\": 5", "\"count\": -1"), ("\"count\": 5", "\"count\": 9223372036854775807"),
      ("\"p50Ms\": 7.5", "\"p50Ms\": {\"$numberDouble\": \"NaN\"}"),
      ("\"p95Ms\": 8.5", "\"p95Ms\": {\"$numberDouble\": \"Infinity\"}"),
    ])
  func oddNumbers(_ from: String, _ to: String) throws {
    var snapshot = Self.snapshot(Self.collection("a"))
    snapshot.queries = [
      QuerySnapshot(
        name: "q", stages: [], indexes: [], documents: 1, runs: 20, p50: 7.5, p95: 8.5)
    ]
    let path = "\(FileManager.default.temporaryDirectory.path)/\(TestServer.uniqueName())"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try SnapshotFile.write(snapshot, to: path)
    let text = try String(contentsOfFile: path, encoding: .utf8)
    #expect(text.contains(from))
    try text.replacing(from, with: to).write(toFile: path, atomically: true, encoding: .utf8)
    let error = #expect(throws: ValidationError.self) { _ = try SnapshotFile.read(path) }
    #expect(error?.code == .unreadableSnapshot)
  }

  @Test(
    "a file that is no snapshot is a named error",
    arguments: [
      ("", ValidationError.Code.unreadableSnapshot),
      ("{\"schema\": \"martlet-snap", .unreadableSnapshot),
      ("{}", .unreadableSnapshot), ("{\"schema\": \"martlet-snapshot/2\"}", .newerSnapshot),
      ("{\"schema\": \"martlet-snapshot/1\", \"takenAt\": 1}", .unreadableSnapshot),
      ("[]", .unreadableSnapshot),
    ])
  func broken(_ text: String, _ code: ValidationError.Code) throws {
    let path = "\(FileManager.default.temporaryDirectory.path)/\(TestServer.uniqueName())"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let error = #expect(throws: ValidationError.self) { _ = try SnapshotFile.read(path) }
    #expect(error?.code == code)
  }

  @Test("a snapshot compares with the manifest of a backup")
  func manifest() throws {
    try Shop.run { shop in
      let snapshot = try #require(try shop.validate().snapshot)
      let entries = snapshot.collections.map { entry -> BSON.Value in
        [
          "namespace": .string("shop.\(entry.name)"), "type": .string(entry.kind),
          "count": .integer(entry.count ?? 0), "bytes": .integer(entry.bytes ?? 0),
          "fingerprint": .string(entry.fingerprint ?? Fingerprint().description),
          "indexes": .array((entry.indexes ?? []).map { .document($0) }),
        ]
      }
      var manifest: Document = ["format": "martlet-backup", "version": 1]
      manifest.append(
        "collections",
        .array(
          entries + [
            ["namespace": "admin.system.users", "type": "", "count": 1, "bytes": 9]
          ]))
      let path = "\(shop.folder)/manifest.json"
      try ExtendedJSON.text(manifest, .relaxed).write(
        toFile: path, atomically: true, encoding: .utf8)
      let read = try SnapshotFile.read(path)
      #expect(read.database == "shop" && read.origin == .manifest)
      let checks = Comparison(read, snapshot).checks
      #expect(checks.filter { $0.status != .passed } == [])
      #expect(checks.contains { $0.id == "data-changed" && $0.subject == "orders" })
    }
  }

  @Test("the fingerprint does not depend on the order of documents")
  func order() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let documents = (0..<50).map { n -> Document in ["_id": .integer(n), "x": .integer(n * n)] }
        _ = try database.insert("a", documents)
        _ = try database.insert("b", documents.reversed())
        let context = try CheckContext(database, .before, CheckOptions())
        var snapshotter = Snapshotter(context: context)
        let (a, b) = (try snapshotter.read("a").tally, try snapshotter.read("b").tally)
        #expect(a == b)
        #expect(a.count == 50)
        _ = try database.delete("b", [["q": ["_id": 7], "limit": 1]])
        // The first goes on reading at its time, where there are such reads.
        let again = try snapshotter.read("b").tally.fingerprint
        #expect((again == a.fingerprint) == TestServer.hasTimeseries)
        var later = Snapshotter(context: context)
        #expect(try later.read("b").tally.fingerprint != a.fingerprint)
      }
    }
  }
}
