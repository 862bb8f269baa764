import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Validation

/// A fault, how it is planted, and the ids that have to find it.
struct Fault: Sendable, CustomTestStringConvertible {
  let name: String
  let ids: [String]
  var phase = Phase.before
  /// The first release on which it can be planted.
  var since = ServerVersion(4, 2)
  var expectations: @Sendable () -> Expectations = { Expectations() }
  let plant: @Sendable (Shop, Database) throws -> Void

  var testDescription: String { name }

  init(
    _ name: String, _ ids: String..., phase: Phase = .before, since: (Int, Int) = (4, 2),
    expectations: @autoclosure @escaping @Sendable () -> Expectations = Expectations(),
    plant: @escaping @Sendable (Shop, Database) throws -> Void
  ) {
    self.name = name
    self.ids = ids
    self.phase = phase
    self.since = ServerVersion(since.0, since.1)
    self.expectations = expectations
    self.plant = plant
  }

  private static func index(_ database: Database, _ collection: String, _ spec: Document) throws {
    _ = try database.run([
      "createIndexes": .string(collection), "indexes": [.document(spec)],
    ])
  }

  private static func dropIndex(_ database: Database, _ collection: String, _ name: String) throws {
    _ = try database.run(["dropIndexes": .string(collection), "index": .string(name)])
  }

  private static func set(
    _ database: Database, _ collection: String, _ id: Value, _ change: Document
  ) throws {
    _ = try database.run([
      "update": .string(collection), "updates": [["q": ["_id": id], "u": .document(change)]],
      "bypassDocumentValidation": true,
    ])
  }

  static let byRules: [Fault] = [
    Fault("a required collection is gone", "collection-missing") { _, database in
      try database.drop("products")
    },
    Fault("too few documents", "collection-count") { _, database in
      _ = try database.delete("users", [["q": ["_id": ["$gt": 14]], "limit": 0]])
    },
    Fault("a collection option was changed", "collection-options") { _, database in
      _ = try database.run(["collMod": "orders", "validationLevel": "moderate"])
    },
    Fault("a required index is gone", "index-missing") { _, database in
      try dropIndex(database, "users", "email_1")
    },
    Fault("a required index is not unique any more", "index-options") { _, database in
      try dropIndex(database, "users", "email_1")
      try index(database, "users", ["key": ["email": 1], "name": "email_1"])
    },
    Fault("a TTL index has another time", "index-options") { _, database in
      _ = try database.run([
        "collMod": "sessions", "index": ["name": "expires_1", "expireAfterSeconds": 60],
      ])
    },
    Fault("an orphan, by merged index scans", "orphaned-references") { _, database in
      try set(database, "orders", 5, ["$set": ["user_id": 999]])
    },
    Fault("an orphan inside an array", "orphaned-references") { _, database in
      try set(database, "orders", 5, ["$push": ["items": ["product": 77]]])
    },
    Fault("an orphan behind a nullable reference", "orphaned-references") { _, database in
      try set(database, "users", 7, ["$set": ["referrer": 12345]])
    },
    Fault("a reference is null", "null-references") { _, database in
      try set(database, "orders", 5, ["$set": ["user_id": nil]])
    },
    Fault("references of another type", "reference-types", "orphaned-references", "type-drift") {
      _, database in
      try set(database, "orders", 5, ["$set": ["user_id": "5"]])
    },
    Fault("a duplicate, by an index scan", "duplicate-keys") { _, database in
      try set(database, "orders", 5, ["$set": ["number": 1004.0]])
    },
    Fault("a duplicate under a collation", "duplicate-keys") { _, database in
      try set(database, "users", 5, ["$set": ["name": "USER 4"]])
    },
    Fault("a document breaks a schema rule", "schema-violations") { _, database in
      try set(database, "products", 3, ["$set": ["price": -1]])
    },
    Fault("a document breaks its own validator", "validator-violations", "field-missing") {
      _, database in
      try set(database, "orders", 5, ["$unset": ["total": 1]])
    },
    Fault("a field of the wrong type", "field-type") { _, database in
      try set(database, "orders", 5, ["$set": ["total": "12"]])
    },
    Fault("a field that is an array of the right type", "field-type") { _, database in
      try set(database, "orders", 5, ["$set": ["total": [1, 2]]])
    },
    Fault("a value out of range", "field-range") { _, database in
      try set(database, "orders", 5, ["$set": ["total": -0.01]])
    },
    Fault("a value that is not a number", "field-range") { _, database in
      try set(database, "orders", 5, ["$set": ["total": .double(.nan)]])
    },
    Fault("a value that is not in the list", "field-value") { _, database in
      try set(database, "orders", 5, ["$set": ["status": "payed"]])
    },
    Fault("a pipeline returns something", "unwanted-documents") { _, database in
      try set(database, "orders", 4, ["$set": ["items": []]])
    },
    Fault("a query lost its index", "query-plan") { _, database in
      try dropIndex(database, "orders", "user_id_1_placed_-1")
    },
    Fault("a hidden index serves no query", "query-plan", "index-options", since: (4, 4)) {
      _, database in
      _ = try database.run(["collMod": "users", "index": ["name": "email_1", "hidden": true]])
    },
    Fault("an application file is gone", "application-file", "application-command") { shop, _ in
      try FileManager.default.removeItem(atPath: "\(shop.folder)/app.yaml")
    },
    Fault("an application file is of something else", "application-file") { shop, _ in
      try "name: other".write(toFile: "\(shop.folder)/app.yaml", atomically: true, encoding: .utf8)
    },
    Fault("a field of an index has two types", "type-drift") { _, database in
      try set(database, "orders", 5, ["$set": ["number": "A-5"]])
    },
    Fault("a field name with a dot", "field-names") { _, database in
      let value: Document = ["_id": 99, "price": 1, "a.b": 1]
      _ = try database.insert("products", [value])
    },
    Fault("a view on nothing", "view-broken") { _, database in
      _ = try database.run(["create": "lost", "viewOn": "nowhere", "pipeline": []])
    },
    Fault("an index half way to unique", "index-prepared", "index-options", since: (6, 0)) {
      _, database in
      try dropIndex(database, "users", "email_1")
      try index(
        database, "users", ["key": ["email": 1], "name": "email_1", "prepareUnique": true])
    },
  ]

  static let byPlan: [Fault] = [
    Fault(
      "a planned unique index meets duplicates", "duplicate-keys",
      expectations: planned("orders", ["key": ["status": 1], "name": "status_1", "unique": true])
    ) { _, _ in },
    Fault(
      "a planned index conflicts in its options", "index-conflict",
      expectations: planned("users", ["key": ["email": 1], "name": "email_1", "sparse": true])
    ) { _, _ in },
    Fault(
      "a planned index takes a name that is there", "index-conflict",
      expectations: planned("users", ["key": ["name": 1], "name": "email_1"])
    ) { _, _ in },
    Fault(
      "a planned TTL index would delete at once", "ttl-blast",
      expectations: planned(
        "orders", ["key": ["placed": 1], "name": "placed_1", "expireAfterSeconds": 60])
    ) { _, _ in },
    Fault(
      "a planned validator refuses documents", "validator-violations",
      expectations: {
        var expectations = Expectations()
        expectations.plannedValidators = [
          .init("orders", ["status": "paid"], source: "007_status")
        ]
        return expectations
      }()
    ) { _, _ in },
    Fault(
      "a declared collection is not there", "declared-collection", phase: .after,
      expectations: {
        var expectations = Expectations()
        expectations.collections = [.init("audit_logs", source: "003_audit")]
        return expectations
      }()
    ) { _, _ in },
    Fault(
      "a declared option was changed", "declared-options", "collection-options", phase: .after,
      expectations: {
        var expectations = Expectations()
        expectations.collections = [
          .init("orders", options: ["validator": ["total": ["$exists": true]]], source: "001")
        ]
        return expectations
      }()
    ) { _, database in
      _ = try database.run(["collMod": "orders", "validationLevel": "moderate"])
    },
    Fault(
      "a declared index is not there", "declared-index", phase: .after,
      expectations: declared("users", ["key": ["name": 1], "name": "name_1"])
    ) { _, _ in },
    Fault(
      "a declared index has other options", "declared-index-options", phase: .after,
      expectations: declared("orders", ["key": ["number": 1], "name": "number_1", "unique": true])
    ) { _, _ in },
    Fault(
      "a declared number of documents is not there", "declared-count", phase: .after,
      expectations: {
        var expectations = Expectations()
        expectations.counts = [.init("products", minimum: 12, source: "004")]
        return expectations
      }()
    ) { _, _ in },
    Fault(
      "a dropped collection is back", "declared-dropped", phase: .after,
      expectations: {
        var expectations = Expectations()
        expectations.dropped = [.init("products", source: "005")]
        return expectations
      }()
    ) { _, _ in },
  ]

  private static func planned(_ collection: String, _ spec: Document) -> Expectations {
    var expectations = Expectations()
    expectations.plannedIndexes = [.init(collection, spec, source: "006_index")]
    return expectations
  }

  private static func declared(_ collection: String, _ spec: Document) -> Expectations {
    var expectations = Expectations()
    expectations.indexes = [.init(collection, spec, source: "006_index")]
    return expectations
  }

  static let byComparison: [Fault] = [
    Fault("a document was lost", "count-changed") { _, database in
      _ = try database.delete("orders", [["q": ["_id": 50], "limit": 1]])
    },
    Fault("a document was added", "count-changed") { _, database in
      _ = try database.insert("products", [["_id": 50, "price": 1]])
    },
    Fault("a document was changed", "data-changed") { _, database in
      try set(database, "users", 5, ["$set": ["name": "Somebody else"]])
    },
    Fault("a collection is gone", "collection-removed", "index-missing") { _, database in
      try database.drop("sessions")
    },
    Fault("a collection is new", "collection-added") { _, database in
      _ = try database.insert("surprise", [["_id": 1]])
    },
    Fault("an index is gone", "index-removed", "index-missing") { _, database in
      try dropIndex(database, "orders", "user_id_1")
    },
    Fault("an index is new", "index-added") { _, database in
      try index(database, "products", ["key": ["name": 1], "name": "name_1"])
    },
    Fault("an index was changed", "index-changed", "index-options") { _, database in
      _ = try database.run([
        "collMod": "sessions", "index": ["name": "expires_1", "expireAfterSeconds": 7200],
      ])
    },
    Fault("options were changed", "options-changed") { _, database in
      _ = try database.run(["collMod": "orders", "validator": ["total": ["$gte": 0]]])
    },
    Fault("a query reads the whole collection", "plan-changed", "index-removed", "query-plan") {
      _, database in
      try dropIndex(database, "orders", "user_id_1_placed_-1")
    },
    Fault("a collection became a view", "collection-kind") { _, database in
      try database.rename("products", to: "products_old")
      _ = try database.run(["create": "products", "viewOn": "products_old", "pipeline": []])
    },
  ]
}

@Suite struct PlantedFaultTests {
  /// The server is shared: other tests' open transactions and index builds are truly active work.
  private static func isOurs(_ id: String) -> Bool { id != "active-work" }

  @Test("the clean database has no findings, before and after, against its own snapshot")
  func clean() throws {
    try Shop.run { shop in
      let before = try shop.validate(.before)
      #expect(
        before.findings.filter(Self.isOurs) == [],
        "\(before.checks.filter { $0.status != .passed })")
      let snapshot = try #require(before.snapshot)
      let after = try shop.validate(.after, against: snapshot)
      #expect(
        after.findings.filter(Self.isOurs) == [], "\(after.checks.filter { $0.status != .passed })")
      #expect(after.checks.contains { $0.id == "data-changed" && $0.status == .passed })
    }
  }

  @Test(
    "a fault is found by its id, and fails the report",
    arguments: (Fault.byRules + Fault.byPlan).filter { TestServer.release >= $0.since })
  func found(_ fault: Fault) throws {
    try Shop.run { shop in
      try shop.server.withDatabase { try fault.plant(shop, $0) }
      let outcome = try shop.validate(fault.phase, expectations: fault.expectations())
      for id in fault.ids { #expect(outcome.findings.contains(id), "\(outcome.findings)") }
      var report = Report(kind: .before, subject: "shop", startedAt: 0, finishedAt: 1)
      report.checks = outcome.checks
      report.isStrict = true
      #expect(report.verdict == .failed)
      for check in outcome.checks
      where fault.ids.contains(check.id) && check.applies && check.status != .passed {
        #expect(check.fix != nil && !check.message.isEmpty)
      }
    }
  }

  @Test("a change that nobody declared is found by its id", arguments: Fault.byComparison)
  func changed(_ fault: Fault) throws {
    try Shop.run { shop in
      let snapshot = try #require(try shop.validate().snapshot)
      try shop.server.withDatabase { try fault.plant(shop, $0) }
      let outcome = try shop.validate(.after, against: snapshot)
      for id in fault.ids { #expect(outcome.findings.contains(id), "\(outcome.findings)") }
      #expect(outcome.checks.contains { fault.ids.contains($0.id) && $0.status == .failed })
    }
  }
}
