import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Validation

/// A fault in what migrations declare or are about to do, in files.
struct MigrationFault: Sendable {
  let name: String
  let id: String
  /// The body of `up:`.
  let steps: String
  var isApplied = false
  let plant: @Sendable (Shop, Database) throws -> Void

  init(
    _ name: String, _ id: String, pending steps: String,
    plant: @escaping @Sendable (Shop, Database) throws -> Void = { _, _ in }
  ) {
    (self.name, self.id, self.steps, self.plant) = (name, id, steps, plant)
  }

  init(
    _ name: String, _ id: String, applied steps: String,
    plant: @escaping @Sendable (Shop, Database) throws -> Void
  ) {
    (self.name, self.id, self.steps, self.plant) = (name, id, steps, plant)
    isApplied = true
  }

  private static func index(_ collection: String, _ spec: String) -> String {
    "  - createIndexes: \(collection)\n    indexes: [ \(spec) ]"
  }

  static let all: [MigrationFault] = [
    MigrationFault(
      "a planned unique index meets duplicates", "duplicate-keys",
      pending: index("orders", "{ key: { status: 1 }, name: status_1, unique: true }")),
    MigrationFault(
      "a planned index conflicts in its options", "index-conflict",
      pending: index("users", "{ key: { email: 1 }, name: email_1, sparse: true }")),
    MigrationFault(
      "a planned TTL index would delete at once", "ttl-blast",
      pending: index("orders", "{ key: { placed: 1 }, name: placed_1, expireAfterSeconds: 60 }")),
    MigrationFault(
      "a planned index has too many fields", "index-limit",
      pending: index(
        "orders", "{ name: wide, key: { \((0..<33).map { "f\($0): 1" }.joined(separator: ", ")) } }"
      )),
    MigrationFault(
      "a planned validator refuses documents", "validator-violations",
      pending: "  - collMod: orders\n    validator: { status: paid }"),
    MigrationFault(
      "a migration that lint refuses", "lint",
      pending: "  - delete: orders\n    deletes: [ { q: { status: nope } } ]"),
    MigrationFault("a migration file that is none", "migration-files", pending: "  - nonsense"),
    MigrationFault(
      "a declared collection is not there", "declared-collection", applied: "  - create: audit_logs"
    ) { _, database in try database.drop("audit_logs") },
    MigrationFault(
      "a declared option was changed", "declared-options",
      applied: "  - create: audit_logs\n    validator: { a: { $exists: true } }"
    ) { _, database in
      _ = try database.run(["collMod": "audit_logs", "validationLevel": "moderate"])
    },
    MigrationFault(
      "a declared index is not there", "declared-index",
      applied: index("users", "{ key: { name: 1 }, name: name_1 }")
    ) { _, database in _ = try database.run(["dropIndexes": "users", "index": "name_1"]) },
    MigrationFault(
      "a declared index has other options", "declared-index-options",
      applied: index("orders", "{ key: { total: 1 }, name: total_1 }")
    ) { _, database in
      _ = try database.run(["collMod": "orders", "index": ["name": "total_1", "hidden": true]])
    },
    MigrationFault(
      "a declared number of documents is not there", "declared-count",
      applied: "  - insert: roles\n    documents: [ { _id: admin }, { _id: staff } ]"
    ) { _, database in
      _ = try database.delete("roles", [["q": ["_id": "staff"], "limit": 1]])
    },
    MigrationFault(
      "a dropped collection is back", "declared-dropped",
      applied: "  - create: notes\n  - drop: notes"
    ) { _, database in _ = try database.insert("notes", [["_id": 1]]) },
    MigrationFault("an applied file was edited", "ledger", applied: "  - create: audit_logs") {
      shop, _ in
      try "up:\n  - create: others\n".write(
        toFile: "\(shop.folder)/migrations/001_fault.yaml", atomically: true, encoding: .utf8)
    },
    MigrationFault(
      "a migration stopped in the middle", "migration-unfinished", applied: "  - create: audit_logs"
    ) { _, database in
      _ = try database.update(
        "migrations", [["q": [:], "u": ["$set": ["status": "running"]]]])
    },
    MigrationFault("another run is at work", "lock", applied: "  - create: audit_logs") {
      _, database in
      _ = try database.run([
        "update": "migrations.lock",
        "updates": [
          [
            "q": [:],
            "u": [
              [
                "$set": [
                  "owner": .objectID(ObjectID.generate(seconds: 1)), "holder": ["host": "other"],
                  "expires_at": ["$add": ["$$NOW", 600_000]],
                ]
              ]
            ],
          ]
        ],
      ])
    },
  ]
}

/// The real program finds every planted fault by its id, with exit 4, and none on the clean database.
@Suite struct PlantedFaultBinaryTests {
  private struct Run {
    var ids: Set<String> = []
    /// Of what failed, not of warnings.
    var failed: Set<String> = []
    var exitCode: Int32
    var text: String
  }

  /// A server of its own: what other tests do is truly active work.
  private static func withServer(_ body: (PrivateServer) throws -> Void) throws {
    try body(try PrivateServer())
  }

  private static func withShop(_ server: PrivateServer, _ body: (Shop) throws -> Void) throws {
    try TestServer.run(uri: server.uri) { own in
      let shop = try Shop(own)
      defer { try? FileManager.default.removeItem(atPath: shop.folder) }
      try FileManager.default.createDirectory(
        atPath: "\(shop.folder)/validation", withIntermediateDirectories: true)
      try Shop.rules.write(
        toFile: "\(shop.folder)/validation/rules.yaml", atomically: true, encoding: .utf8)
      try "uri: \(own.uri)\ndatabase: \(own.databaseName)\n".write(
        toFile: "\(shop.folder)/martlet.yaml", atomically: true, encoding: .utf8)
      try body(shop)
    }
  }

  /// Exit 4 by itself, or for a warning with `--strict`.
  private func expectFound(
    _ ids: [String], _ name: String, _ shop: Shop, _ arguments: [String]
  ) throws {
    let run = try validate(shop, arguments)
    for id in ids { #expect(run.ids.contains(id), "\(name): \(run.ids.sorted()) \(run.text)") }
    #expect(run.exitCode == (run.failed.isEmpty ? 0 : 4), "\(name)")
    guard let first = ids.first, !run.failed.contains(first) else { return }
    #expect(try validate(shop, arguments + ["--strict"]).exitCode == 4, "\(name)")
  }

  private func validate(_ shop: Shop, _ arguments: [String]) throws -> Run {
    let result = try MartletBinary.run(
      ["validate"] + arguments + ["--json"], directory: shop.folder)
    var run = Run(exitCode: result.exitCode, text: result.stderr)
    let report = try ExtendedJSON.parseDocument(result.stdout)
    for check in (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
    where check["status"] != "passed" && check["applies"] != false {
      let id = check["id"]?.stringValue ?? ""
      run.ids.insert(id)
      if ["failed", "error"].contains(check["status"]) { run.failed.insert(id) }
    }
    return run
  }

  private func expectClean(_ shop: Shop, _ arguments: String...) throws {
    let run = try validate(shop, arguments + ["--strict"])
    #expect(run.ids == [], "\(arguments)")
    #expect(run.exitCode == 0, "\(arguments): \(run.text)")
  }

  @Test("there are at least thirty of them, by their ids")
  func thirty() {
    let ids =
      (Fault.byRules + Fault.byComparison).compactMap(\.ids.first) + MigrationFault.all.map(\.id)
      + ["ttl-monitor", "database-present"]
    #expect(Set(ids).count >= 40, "\(Set(ids).count)")
    let known = Set(CheckCatalog.all.map(\.id))
    for id in ids { #expect(known.contains(id)) }
  }

  @Test("what breaks a rule is found, and the clean database has no finding at all")
  func byRules() throws {
    try Self.withServer { server in
      try Self.withShop(server) { shop in
        try expectClean(shop, "before", "--save", "clean.json")
        try expectClean(shop, "after", "--against", "clean.json", "--save", "again.json")
        try expectClean(shop, "compare", "clean.json", "again.json")
        // Of the server, and of all.
        func monitor(_ isOn: Bool) throws {
          _ = try shop.server.pool.withClient {
            try $0.run(["setParameter": 1, "ttlMonitorEnabled": .bool(isOn)], on: "admin")
          }
        }
        try monitor(false)
        try expectFound(["ttl-monitor"], "no TTL monitor", shop, ["after"])
        try monitor(true)
        _ = try shop.server.withDatabase { try $0.dropDatabase() }
        try expectFound(["database-present"], "no database", shop, ["before"])
      }
      for fault in Fault.byRules {
        try Self.withShop(server) { shop in
          try shop.server.withDatabase { try fault.plant(shop, $0) }
          try expectFound(fault.ids, fault.name, shop, ["before", "--save", "s.json"])
        }
      }
    }
  }

  @Test("a change that nobody declared is found")
  func byComparison() throws {
    try Self.withServer { server in
      for fault in Fault.byComparison {
        try Self.withShop(server) { shop in
          try expectClean(shop, "before", "--save", "s.json")
          try shop.server.withDatabase { try fault.plant(shop, $0) }
          try expectFound(fault.ids, fault.name, shop, ["after", "--against", "s.json"])
        }
      }
    }
  }

  @Test("what migrations declare and is not so, and what they could not do, is found")
  func byMigrations() throws {
    try Self.withServer { server in
      for fault in MigrationFault.all {
        try Self.withShop(server) { shop in
          let folder = "\(shop.folder)/migrations"
          try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
          try "up:\n\(fault.steps)\n".write(
            toFile: "\(folder)/001_fault.yaml", atomically: true, encoding: .utf8)
          let phase =
            fault.isApplied && !["ledger", "lock"].contains(fault.id) ? "after" : "before"
          if fault.isApplied {
            let up = try MartletBinary.run(
              ["migrate", "up", "--yes", "--no-backup"], directory: shop.folder)
            #expect(up.exitCode == 0, "\(fault.name): \(up.stderr)")
            let clean = try validate(shop, [phase])
            #expect(clean.exitCode == 0 && !clean.ids.contains(fault.id), "\(fault.name)")
          }
          try shop.server.withDatabase { try fault.plant(shop, $0) }
          try expectFound([fault.id], fault.name, shop, [phase])
        }
      }
    }
  }
}
