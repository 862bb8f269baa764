import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

/// What migrations declare, as `validate` reads it out of them, beside what the server then has.
@Suite("what migrations declare")
struct DeclaredStateTests {
  private struct Finding: Hashable, CustomStringConvertible {
    var id: String
    var status: String
    var subject: String
    var message: String

    var description: String { "\(id) \(status) \(subject): \(message)" }
  }

  /// Everything that did not pass, without what the shared server does otherwise.
  private func findings(
    _ project: MigrateProject, _ arguments: String...
  ) throws -> [Finding] {
    let result = try project.martlet(["validate"] + arguments + ["--json"])
    let report = try ExtendedJSON.parseDocument(result.stdout)
    let other = ["active-work", "oplog-window", "connections", "disk", "clock", "ttl-passes"]
    let found = (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
      .map { check in
        Finding(
          id: check["id"]?.stringValue ?? "", status: check["status"]?.stringValue ?? "",
          subject: check["subject"]?.stringValue ?? "",
          message: check["message"]?.stringValue ?? "")
      }
      .filter { $0.status != "passed" && $0.status != "skipped" && !other.contains($0.id) }
    #expect(
      result.exitCode == (found.contains { ["failed", "error"].contains($0.status) } ? 4 : 0),
      "\(result.stderr)")
    return found
  }

  private func failures(_ project: MigrateProject, _ arguments: [String]) throws -> [String] {
    let result = try project.martlet(["validate"] + arguments + ["--json"])
    let report = try ExtendedJSON.parseDocument(result.stdout)
    return (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
      .filter { ["failed", "error"].contains($0["status"]?.stringValue) }
      .compactMap { $0["id"]?.stringValue }
  }

  private func up(_ project: MigrateProject) throws {
    let result = try project.migrate("up", "--yes")
    #expect(result.exitCode == 0, "\(result.stdout)\(result.stderr)")
  }

  private func skipped(_ project: MigrateProject, _ arguments: String...) throws -> [String] {
    let result = try project.martlet(["validate"] + arguments + ["--json"])
    let report = try ExtendedJSON.parseDocument(result.stdout)
    return (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
      .filter { $0["status"] == "skipped" }.compactMap { $0["id"]?.stringValue }
  }

  @Test("an index on a collection with a collation is as declared")
  func collation() throws {
    try MigrateProject.run([
      "001_users.yaml": """
      up:
        - create: users
          collation: { locale: en, strength: 2 }
        - createIndexes: users
          indexes: [ { key: { email: 1 } } ]
      """
    ]) { (project) throws in
      try up(project)
      #expect(try findings(project, "after") == [])
    }
  }

  @Test("what is inserted into a time-series is counted in documents, not in its buckets")
  func series() throws {
    try MigrateProject.run([
      "001_metrics.yaml": """
      up:
        - create: metrics
          timeseries: { timeField: at, metaField: host }
        - insert: metrics
          documents:
            - { at: { $date: 2026-01-28T10:00:00Z }, host: a, load: 1 }
            - { at: { $date: 2026-01-28T10:00:01Z }, host: a, load: 2 }
      """
    ]) { (project) throws in
      func message(_ arguments: String...) throws -> [String] {
        let result = try project.martlet(["validate"] + arguments + ["--json"])
        return (try ExtendedJSON.parseDocument(result.stdout)["checks"]?.arrayValue ?? [])
          .compactMap(\.documentValue)
          .filter { $0["id"] == "count-changed" && $0["subject"] == "metrics" }
          .compactMap { $0["message"]?.stringValue }
      }
      // An empty database is a finding of its own.
      try project.server.withDatabase { _ = try $0.insert("hosts", [["_id": "a"]]) }
      #expect(try project.martlet(["validate", "before", "--save", "b.json"]).exitCode == 0)
      try up(project)
      #expect(try findings(project, "after", "--against", "b.json", "--save", "a.json") == [])
      #expect(try message("after", "--against", "b.json") == ["0 before, 2 after"])
      // Into the bucket that is there: of those there are no more than before.
      try project.server.withDatabase {
        let date = DateTime(milliseconds: 1_769_594_402_000)
        _ = try $0.insert("metrics", [["at": .date(date), "host": "a", "load": 3]])
      }
      #expect(
        try message("after", "--against", "a.json")
          == ["2 before, 3 after: no change is declared"])
    }
  }

  @Test("names of a rename have dots of their own, and the database in front where it is written")
  func dots() throws {
    try MigrateProject.run([:]) { (project) throws in
      try project.server.withDatabase { database in
        for name in ["old.name", "plain"] { _ = try database.insert(name, [["_id": 1]]) }
      }
      let database = project.server.databaseName
      try project.write(
        "001_move.yaml",
        """
        up:
          - renameCollection: old.name
            to: archive.2026
          - renameCollection: \(database).plain
            to: \(database).moved.here
        """)
      #expect(try project.martlet(["validate", "before", "--save", "b.json"]).exitCode == 0)
      try up(project)
      #expect(try findings(project, "after", "--against", "b.json") == [])
      #expect(try findings(project, "after") == [])
    }
  }

  @Test("a collection that is dropped and made again, renamed away, or made a view, is declared")
  func replaced() throws {
    try MigrateProject.run([
      "001_again.yaml": """
      down: irreversible
      up:
        - drop: cache
        - create: cache
          capped: true
          size: 4096
        - renameCollection: orders
          to: orders_old
        - create: orders
        - drop: stats
        - create: stats
          viewOn: orders
          pipeline: []
      """
    ]) { (project) throws in
      try project.server.withDatabase { database in
        for name in ["cache", "orders", "stats"] {
          _ = try database.insert(name, (0..<100).map { ["_id": .integer($0)] })
        }
      }
      #expect(try project.martlet(["validate", "before", "--save", "b.json"]).exitCode == 0)
      try up(project)
      #expect(try findings(project, "after", "--against", "b.json") == [])
      // What nobody declares is found nevertheless.
      try project.server.withDatabase { try $0.drop("orders") }
      #expect(
        try failures(project, ["after", "--against", "b.json"]).contains("declared-collection"))
    }
  }

  @Test("a validator that lets old documents be, or only warns, does not fail before")
  func lenient() throws {
    let setting = "validator: { total: { $exists: true } }"
    try MigrateProject.run([:]) { (project) throws in
      try project.server.withDatabase { database in
        _ = try database.insert("orders", [["_id": 1]])
      }
      func found(_ change: String) throws -> [String] {
        try project.write("001_validator.yaml", "up:\n  - { collMod: orders, \(change) }\n")
        return try findings(project, "before").filter { $0.id == "validator-violations" }
          .map(\.status)
      }
      #expect(try found(setting) == ["failed"])
      #expect(try found("\(setting), validationLevel: moderate") == ["warning"])
      #expect(try found("\(setting), validationAction: warn") == ["warning"])
      #expect(try found("\(setting), validationLevel: 'off'") == [])
      #expect(try project.migrate("plan").exitCode == 0)
    }
  }

  @Test("a collMod that only makes a validator stricter is looked at")
  func stricter() throws {
    try MigrateProject.run([:]) { (project) throws in
      try project.server.withDatabase { database in
        _ = try database.insert("orders", [["_id": 1]])
        _ = try database.run([
          "collMod": "orders", "validator": ["total": ["$exists": true]],
          "validationLevel": "moderate",
        ])
      }
      func fails(_ steps: String) throws -> Bool {
        try project.write("001_level.yaml", "up:\n\(steps)\n")
        return try failures(project, ["before"]).contains("validator-violations")
      }
      #expect(try fails("  - { collMod: orders, validationLevel: strict }"))
      #expect(try !fails("  - { collMod: orders, validationAction: error }"))
      #expect(try !fails("  - { collMod: orders, validator: {} }"))
      #expect(
        try fails(
          "  - { collMod: orders, validator: { n: 1 } }\n"
            + "  - { collMod: orders, validationLevel: strict }"))
    }
  }

  @Test("an index that is dropped by its key is the only one that is gone")
  func droppedByKey() throws {
    try MigrateProject.run([
      "001_orders.yaml": """
      up:
        - create: orders
        - createIndexes: orders
          indexes: [ { key: { status: 1 }, name: by_status }, { key: { user: 1 } }, { key: { at: 1 } } ]
      """
    ]) { (project) throws in
      try up(project)
      #expect(try project.martlet(["validate", "before", "--save", "b.json"]).exitCode == 0)
      try project.write(
        "002_drop.yaml",
        "up:\n  - dropIndexes: orders\n    index: { status: 1 }\n"
          + "  - dropIndexes: orders\n    index: { at: 1.0 }\n")
      try up(project)
      #expect(try findings(project, "after", "--against", "b.json") == [])
      try project.server.withDatabase { database in
        _ = try database.run(["dropIndexes": "orders", "index": "user_1"])
      }
      #expect(try failures(project, ["after"]) == ["declared-index"])
      #expect(
        Set(try failures(project, ["after", "--against", "b.json"])) == [
          "declared-index", "index-removed",
        ])
    }
  }

  @Test("what collMod changes is expected under the name that the option has")
  func collMod() throws {
    try MigrateProject.run([
      "001_all.yaml": """
      down: irreversible
      up:
        - create: log
          capped: true
          size: 4096
        - create: images
        - create: clustered
          clusteredIndex: { key: { _id: 1 }, unique: true }
          expireAfterSeconds: 4000
        - create: weather
          timeseries: { timeField: t, granularity: seconds }
        - createIndexes: images
          indexes: [ { key: { n: 1 } }, { key: { m: 1 } } ]
      """,
      "002_change.yaml": """
      down: irreversible
      up:
        - { collMod: log, cappedSize: 8192, cappedMax: 100 }
        - { collMod: images, changeStreamPreAndPostImages: { enabled: true } }
        - { collMod: images, changeStreamPreAndPostImages: { enabled: false } }
        - { collMod: clustered, expireAfterSeconds: 'off' }
        - { collMod: weather, timeseries: { granularity: minutes } }
        - { collMod: images, index: { keyPattern: { n: 1.0 }, prepareUnique: true } }
        - { collMod: images, index: { name: m_1, prepareUnique: true } }
        - { collMod: images, index: { name: m_1, unique: true } }
      """,
    ]) { (project) throws in
      try up(project)
      #expect(try findings(project, "after").map(\.id) == ["index-prepared"])
    }
  }

  @Test(
    "a number of documents that a migration declares is compared after it, or said to be unknown")
  func counts() throws {
    try MigrateProject.run([
      "001_roles.yaml": """
      expect: { roles: 2 }
      up:
        - create: roles
        - insert: roles
          documents: [ { name: admin }, { name: customer } ]
      """,
      "002_users.yaml": """
      expect: { users: 1 }
      up:
        - insert: users
          documents: [ { name: root } ]
      """,
    ]) { (project) throws in
      try project.server.withDatabase { database in _ = try database.insert("users", [["_id": 1]]) }
      #expect(try project.martlet(["validate", "before", "--save", "b.json"]).exitCode == 0)
      try up(project)
      #expect(try findings(project, "after") == [])
      #expect(try skipped(project, "after").contains("declared-count"))
      #expect(try !skipped(project, "after", "--against", "b.json").contains("declared-count"))
      try project.server.withDatabase { database in
        _ = try database.delete("roles", [["q": ["name": "admin"], "limit": 1]])
      }
      #expect(try failures(project, ["after"]) == ["declared-count"])
    }
  }

  @Test("a collMod that shortens a TTL tells what it deletes")
  func shorterTTL() throws {
    try MigrateProject.run([
      "001_ttl.yaml": """
      up:
        - { collMod: sessions, index: { keyPattern: { at: 1 }, expireAfterSeconds: 60 } }
      """
    ]) { (project) throws in
      try project.server.withDatabase { database in
        let hourAgo = DateTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1000) - 3_600_000)
        _ = try database.insert("sessions", [["at": .date(hourAgo)], ["at": .date(hourAgo)]])
        _ = try database.run([
          "createIndexes": "sessions",
          "indexes": [["key": ["at": 1], "name": "ttl", "expireAfterSeconds": 86_400]],
        ])
      }
      let blast = try findings(project, "before").filter { $0.id == "ttl-blast" }
      #expect(blast.map(\.status) == ["warning"])
      #expect(blast.first?.message.hasPrefix("2 documents will be deleted") == true)
      try project.write(
        "001_ttl.yaml",
        "up:\n  - { collMod: sessions, index: { name: ttl, expireAfterSeconds: 172800 } }\n")
      #expect(try findings(project, "before").filter { $0.id == "ttl-blast" } == [])
    }
  }
}
