import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

@Suite struct UpAndDownTests {
  static let files = [
    "001_roles.yaml": """
    up:
      - create: roles
      - createIndexes: roles
        indexes: [ { key: { name: 1 }, unique: true } ]
      - insert: roles
        documents:
          - { name: admin, created_at: { $date: now } }
          - { name: staff, created_at: { $date: now } }
    """,
    "002_fields.yaml": """
    up:
      - update: users
        updates:
          - q: { 2fa_enabled: { $exists: false } }
            u: { $set: { 2fa_enabled: false, 2fa_codes: [] } }
            multi: true
      - createIndexes: users
        indexes: [ { key: { email: 1 } } ]
    """,
  ]

  @Test(arguments: [TestServer.Kind.replicaSet, .standalone])
  func `up applies everything and down brings back what was there`(kind: TestServer.Kind) throws {
    try EngineFixture.run(Self.files, on: kind) { fixture in
      try fixture.insert(
        "users", (0..<50).map { ["_id": .int32($0), "email": .string("u\($0)")] })
      try fixture.insert("users", [["_id": 50, "2fa_enabled": true]])
      let before = try fixture.picture()

      let report = try fixture.migrator().up()
      #expect(report.items.map(\.name) == ["001_roles", "002_fields"])
      #expect(try fixture.documents("roles").count == 2)
      let users = try fixture.documents("users")
      #expect(users.prefix(50).allSatisfy { $0["2fa_enabled"] == false && $0.has("2fa_codes") })
      #expect(users[50]["2fa_enabled"] == true && !users[50].has("2fa_codes"))
      #expect(try fixture.entry("002_fields")?.status == .success)

      let down = try fixture.migrator().down(.all)
      #expect(down.items.map(\.name) == ["002_fields", "001_roles"])
      #expect(!down.isPartial)
      #expect(try fixture.picture() == before)
      #expect(try fixture.entry("001_roles") == nil)
    }
  }

  @Test func `a second up has nothing to do and writes nothing`() throws {
    try EngineFixture.run(Self.files) { fixture in
      _ = try fixture.migrator().up()
      let before = try fixture.picture()
      let again = try fixture.migrator().up()
      #expect(again.items.isEmpty)
      #expect(try fixture.picture() == before)
    }
  }

  @Test func `planning writes nothing`() throws {
    try EngineFixture.run(Self.files) { fixture in
      let plan = try fixture.migrator().planUp()
      #expect(plan.migrations.count == 2)
      #expect(try fixture.picture().isEmpty)
      #expect(try fixture.database { try $0.listIndexes("migrations") }.isEmpty)
    }
  }

  @Test(
    .enabled(
      if: TestServer.release >= ServerVersion(4, 4),
      "collections are created in transactions from MongoDB 4.4 on"))
  func `steps that may share a transaction do, with the ledger`() throws {
    try EngineFixture.run(Self.files) { fixture in
      let plan = try fixture.migrator().planUp()
      #expect(plan.migrations[0].groups == [StepGroup(steps: 0..<3, isTransaction: true)])
    }
  }

  @Test func `documents that changed after the migration are left and counted`() throws {
    try EngineFixture.run(Self.files) { fixture in
      try fixture.insert("users", [["_id": 1], ["_id": 2]])
      _ = try fixture.migrator().up()
      try fixture.database {
        _ = try $0.update("users", [["q": ["_id": 2], "u": ["$set": ["2fa_enabled": true]]]])
      }
      let report = try fixture.migrator().down(.count(1))
      #expect(report.isPartial)
      let users = try fixture.documents("users")
      #expect(users[0] == ["_id": 1])
      #expect(users[1]["2fa_enabled"] == true)
    }
  }

  @Test func `what was marked as not applied runs anew, whatever an earlier attempt left`() throws {
    // More than one chunk, so that checkpoints are left behind.
    try EngineFixture.run(["001_inc.yaml": Self.increment]) { fixture in
      try fixture.insert("users", (0..<1500).map { ["_id": .int32($0), "n": 0] })
      _ = try fixture.migrator().up()
      try fixture.migrator().mark("001_inc", applied: false)
      _ = try fixture.migrator().up()
      #expect(try Set(fixture.documents("users").map { $0["n"] }) == [2])
    }
  }

  private static let increment = """
    up:
      - update: users
        updates: [ { q: {}, u: { $inc: { n: 1 } }, multi: true } ]
    """

  @Test func `a created collection that gained documents is kept by down`() throws {
    try EngineFixture.run(Self.files) { fixture in
      _ = try fixture.migrator().up()
      try fixture.insert("roles", [["name": "theirs"]])
      _ = try fixture.migrator().down(.all)
      let kept = try fixture.migrator().status().kept
      #expect(kept.map(\.collection) == ["roles"])
      #expect(kept.first?.documents == 1)
      let name = try #require(kept.first?.name)
      try fixture.migrator().forget(name)
      #expect(try fixture.migrator().status().kept.isEmpty)
      #expect(try fixture.picture()[name] == nil)
    }
  }

  @Test func `a drop keeps the collection with its TTL off and down brings it back`() throws {
    let files = ["001_drop.yaml": "up: [ { drop: logs } ]"]
    try EngineFixture.run(files) { fixture in
      try fixture.insert(
        "logs", [["_id": 1, "at": .date(DateTime(milliseconds: 4_000_000_000_000))]])
      try fixture.database {
        _ = try $0.run([
          "createIndexes": "logs",
          "indexes": [["key": ["at": 1], "name": "at_1", "expireAfterSeconds": 100]],
        ])
      }
      let before = try fixture.picture()
      _ = try fixture.migrator().up()
      let kept = try #require(try fixture.migrator().status().kept.first)
      let ttl = try fixture.database { try $0.listIndexes(kept.name)[1].spec["expireAfterSeconds"] }
      // Before 6.0 the largest is the server's clock.
      let isLast = TestServer.release >= ServerVersion(6, 0)
      #expect(isLast ? ttl == .int32(.max) : (ttl?.integerValue ?? 0) > 1_700_000_000)
      _ = try fixture.migrator().down(.count(1))
      #expect(try fixture.picture() == before)
      #expect(try fixture.migrator().status().kept.isEmpty)
    }
  }
}
