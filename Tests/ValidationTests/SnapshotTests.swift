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
        // The first goes on reading at its time.
        #expect(try snapshotter.read("b").tally.fingerprint == a.fingerprint)
        var later = Snapshotter(context: context)
        #expect(try later.read("b").tally.fingerprint != a.fingerprint)
      }
    }
  }
}
