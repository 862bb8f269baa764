import BSON
import Foundation
import Migration
import MongoDB
import TestSupport
import Testing

@testable import Commands

@Suite("migrate create, show, baseline, lint, test, and dev")
struct MigrateFilesTests {
  @Test(
    "the next number keeps the width, and times stay times",
    arguments: [
      (nil, false, "001"), ("007_a", false, "008"), ("0099_a", false, "0100"),
      ("999_a", false, "1000"),
      ("20260101000000_a", false, "20260128020000"), ("007_a", true, "20260128020000"),
      ("20270101000000_a", false, "20270101000001"),
    ] as [(String?, Bool, String)])
  func numbers(last: String?, timestamp: Bool, expected: String) {
    let now = Date(timeIntervalSince1970: 1_769_565_600)
    let id = last.flatMap { MigrationID($0) }
    #expect(MigrationNumber.next(after: id, timestamp: timestamp, now: now) == expected)
  }

  @Test(
    "every template can be read and linted without an error", arguments: MigrationTemplate.allCases)
  func templates(template: MigrationTemplate) throws {
    try MigrateProject.run([:]) { (project) throws in
      let result = try project.migrate(
        "create", "a_name", "--template", template.rawValue, "--collection", "2fa users", "--field",
        "on")
      #expect(result.exitCode == 0)
      #expect(result.stdout.hasSuffix("/migrations/001_a_name.yaml\n"))
      #expect(try project.migrate("lint").exitCode == 0)
    }
  }

  @Test("create refuses names that no migration can have, and numbers on")
  func create() throws {
    try MigrateProject.run { (project) throws in
      #expect(try project.migrate("create", "../evil").exitCode == 64)
      #expect(try project.json("create", "loyalty points").document["name"] == "004_loyalty_points")
      #expect(try project.json("create", "more").document["name"] == "005_more")
    }
  }

  @Test("baseline marks without running, and show says so")
  func baseline() throws {
    try MigrateProject.run { (project) throws in
      #expect(
        try project.json("baseline", "--to", "2").document["names"] == ["001_roles", "002_plan"])
      #expect(try project.states() == ["applied", "applied", "pending"])
      #expect(try !project.collections().contains("roles"))
      let show = try project.json("show", "1").document
      #expect(show["state"] == "applied")
      #expect(show["ledger"]?.documentValue?["marked"] == "baseline")
      #expect(try project.migrate("down", "--yes").exitCode == 1)
      #expect(try project.migrate("show", "3").stdout.contains("create sessions"))
    }
  }

  @Test("test takes every migration up, down and up again and leaves nothing")
  func roundTrip() throws {
    try MigrateProject.run { (project) throws in
      let result = try project.migrate(
        "test", "--test-uri", project.server.uri, "--json", "--verbose")
      #expect(result.exitCode == 0)
      #expect(try ExtendedJSON.parseDocument(result.stdout)["passed"] == true)
      #expect(try project.collections().isEmpty)
      let words = result.stderr.split { $0 == " " || $0 == "\n" }
      let name = words.first { $0.hasPrefix("martlet_test_") }.map(String.init)
      let left = try project.server.pool.withClient {
        try $0.run(["listDatabases": 1, "nameOnly": true], on: "admin")
      }.names("databases")
      #expect(name.map { !left.contains($0) } ?? false)
    }
  }

  @Test("test says which down does not lead back, with exit 4")
  func badDown() throws {
    try MigrateProject.run { (project) throws in
      try project.write(
        "004_bad.yaml",
        """
        up:
          - create: things
          - createIndexes: things
            indexes: [ { key: { a: 1 } } ]
        down:
          - dropIndexes: things
            index: a_1
        """)
      let result = try project.json("test", "--test-uri", project.server.uri)
      #expect(result.exitCode == 4)
      let migrations = result.document["migrations"]?.arrayValue?.compactMap(\.documentValue) ?? []
      #expect(migrations.last?["name"] == "004_bad")
      #expect(migrations.last?["stage"] == "compare down")
      #expect(
        migrations.last?["problems"]?.arrayValue?.first?.stringValue?.contains(
          "things is left over")
          == true)
    }
  }

  @Test("test on a sample of real data leaves the real data alone, on a server of its own")
  func sample() throws {
    let mongod = try TestServer.environment("MARTLET_MONGOD")
    try MigrateProject.run { (project) throws in
      try project.server.withDatabase {
        _ = try $0.insert("users", (0..<50).map { ["_id": .int32($0), "a": ["b": 1]] })
      }
      let result = try project.martlet(
        ["migrate", "test", "--sample", "20", "--json"], environment: ["MARTLET_MONGOD": mongod])
      #expect(result.exitCode == 0, "\(result.stderr)")
      #expect(result.stderr.contains("copied 20 documents of 1 collections"))
      #expect(try project.collections() == ["users"])
    }
  }

  @Test("dev seed makes the same documents for the same seed, and leaves full collections alone")
  func seed() throws {
    try MigrateProject.run { (project) throws in
      let result = try project.martlet(["dev", "seed", "--documents", "1000", "--json"])
      #expect(result.exitCode == 0)
      try project.server.withDatabase { (database) throws in
        #expect(try database.count("users") == 400)
        #expect(try database.count("products") == 100)
        #expect(try database.count("orders") == 500)
        #expect(try database.count("users", filter: ["2fa_enabled": ["$exists": false]]) == 200)
        let data = ShopData(documents: 1000, seed: 1)
        #expect(
          try database.findOne("orders", filter: ["order_number": "O-1000042"])
            == data.order(42))
      }
      let again = try project.martlet(["dev", "seed", "--documents", "1000", "--json"])
      #expect(again.exitCode == 0)
      #expect(again.stdout.contains("\"inserted\": null"))
    }
  }

  @Test("dev fresh drops, migrates and fills; reset drops")
  func fresh() throws {
    try MigrateProject.run { (project) throws in
      try project.server.withDatabase { _ = try $0.insert("junk", [["a": 1]]) }
      #expect(try project.martlet(["dev", "fresh"]).exitCode == 64)
      #expect(try project.collections().contains("junk"))
      #expect(try project.martlet(["dev", "fresh", "--yes", "--documents", "100"]).exitCode == 0)
      #expect(try !project.collections().contains("junk"))
      #expect(try project.states() == ["applied", "applied", "applied"])
      #expect(try project.martlet(["dev", "reset", "--yes"]).exitCode == 0)
      #expect(try project.collections().isEmpty)
    }
  }
}
