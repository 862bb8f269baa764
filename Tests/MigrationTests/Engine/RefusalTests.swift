import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

@Suite struct RefusalTests {
  static let one = ["001_a.yaml": "up: [ { create: a } ]", "002_b.yaml": "up: [ { create: b } ]"]

  private func code(_ body: () throws -> Void) -> MigrationError.Code? {
    do {
      try body()
      return nil
    } catch { return (error as? MigrationError)?.code }
  }

  @Test func `an edited applied file is refused, with the step that differs`() throws {
    try EngineFixture.run(Self.one) { fixture in
      _ = try fixture.migrator().up()
      try fixture.write("001_a.yaml", "up: [ { create: other } ]")
      do {
        _ = try fixture.migrator().up()
        Issue.record("accepted")
      } catch let error as MigrationError {
        #expect(error.code == .edited)
        #expect(error.message.contains("step 1 was create a, is create other"))
      }
      // Accepted on request.
      _ = try fixture.migrator().repair(dryRun: false)
      #expect(try fixture.migrator().up().items.isEmpty)
    }
  }

  @Test func `a missing file, a late file and a foreign ledger are refused`() throws {
    try EngineFixture.run(Self.one) { fixture in
      _ = try fixture.migrator().up()
      try fixture.write("001_0.yaml", "up: [ { create: late } ]")
      try fixture.remove("001_a.yaml")
      #expect(code { _ = try fixture.migrator().up() } == .missingFile)
      try fixture.write("001_a.yaml", "up: [ { create: a } ]")
      try fixture.remove("001_0.yaml")
      try fixture.write("000_late.yaml", "up: [ { create: late } ]")
      #expect(code { _ = try fixture.migrator().up() } == .outOfOrder)
      let report = try fixture.migrator().up(UpRequest(allowOutOfOrder: true))
      #expect(report.items.map(\.name) == ["000_late"])
      try fixture.insert(
        "migrations", [["_id": "control", "name": "x", "version": 3, "locked": false]])
      #expect(code { _ = try fixture.migrator().up() } == .foreignLedger)
    }
  }

  @Test func `documents of the reference Python manager are understood`() throws {
    try EngineFixture.run(Self.one) { fixture in
      let at = Value.date(DateTime(milliseconds: 1_700_000_000_000))
      try fixture.insert(
        "migrations",
        [
          ["name": "001_a", "applied_at": at, "status": "success"],
          ["name": "002_b", "applied_at": at, "status": "failed", "error": "boom"],
        ])
      try fixture.database { _ = try $0.run(["create": "a"]) }
      let status = try fixture.migrator().status()
      #expect(status.rows.map(\.state) == [.applied, .failed])
      _ = try fixture.migrator().up()
      #expect(try fixture.entry("002_b")?.status == .success)
      #expect(try fixture.entry("002_b")?.isLegacy == false)
      let down = try fixture.migrator().down(.all)
      #expect(down.items.count == 2)
      #expect(try fixture.picture().isEmpty)
    }
  }

  @Test func `a step the server refuses makes the migration failed, and it can be run again`()
    throws
  {
    let files = [
      "001_x.yaml": """
      up:
        - create: first
        - collMod: first
          validator: { $nonsense: 1 }
      """
    ]
    try EngineFixture.run(files) { fixture in
      #expect(code { _ = try fixture.migrator().up() } == .stepFailed)
      let failed = try #require(try fixture.entry("001_x"))
      #expect(failed.status == .failed)
      #expect(failed.error?["code"] != nil)
      #expect(failed.steps.map(\.state) == [.done, .started])
      #expect(try fixture.migrator().status().rows[0].state == .failed)
      try fixture.write(
        "001_x.yaml", "up:\n  - create: first\n  - collMod: first\n    validator: { a: 1 }\n")
      _ = try fixture.migrator().up()
      #expect(try fixture.entry("001_x")?.status == .success)
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.picture().isEmpty)
    }
  }

  @Test func `conflicts are found before anything is written`() throws {
    let files = [
      "001_x.yaml": """
      up:
        - create: before
        - createIndexes: things
          indexes: [ { key: { a: 1 }, expireAfterSeconds: 10 } ]
        - createIndexes: things
          indexes: [ { key: { email: 1 }, unique: true } ]
      """
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("things", [["_id": 1, "email": "x"], ["_id": 2, "email": "x"]])
      try fixture.database {
        _ = try $0.run(["createIndexes": "things", "indexes": [["key": ["a": 1], "name": "a_1"]]])
      }
      let plan = try fixture.migrator().planUp()
      #expect(plan.conflicts.count == 2)
      #expect(plan.conflicts[1].message.contains("for example in _id "))
      #expect(code { _ = try fixture.migrator().up() } == .conflict)
      #expect(try fixture.picture()["before"] == nil)
    }
  }

  @Test func `irreversible is refused before anything is taken back`() throws {
    let files = [
      "001_a.yaml": "up: [ { create: a } ]\ndown: irreversible\n",
      "002_b.yaml": "up: [ { create: b } ]",
    ]
    try EngineFixture.run(files) { fixture in
      _ = try fixture.migrator().up()
      #expect(code { _ = try fixture.migrator().down(.all) } == .irreversible)
      #expect(try fixture.picture()["b"] != nil)
    }
  }
}
