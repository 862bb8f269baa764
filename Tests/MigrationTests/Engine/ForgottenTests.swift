import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// What is not kept any more cannot come back, and nothing says that it did.
@Suite struct ForgottenTests {
  private static let update = """
    up: [ { update: things, updates: [ { q: {}, u: { $inc: { n: 1 } }, multi: true } ] } ]
    """

  private func expectIrreversible(_ fixture: EngineFixture, _ part: String) throws {
    let before = try fixture.picture()
    let attempts: [(Migrator) throws -> Void] = [
      { _ = try $0.planDown(.count(1)) }, { _ = try $0.down(.count(1)) },
    ]
    for attempt in attempts {
      do {
        try attempt(try fixture.migrator())
        Issue.record("not refused")
      } catch let error as MigrationError {
        #expect(error.code == .irreversible)
        #expect(error.message.contains(part), "\(error.message)")
      }
    }
    #expect(try fixture.picture() == before)
    #expect(try fixture.entry("001_t")?.isApplied == true)
  }

  private func kept(_ fixture: EngineFixture) throws -> String {
    try #require(try fixture.migrator().status().kept.first?.name)
  }

  @Test(
    arguments: ["drop: old", "{ renameCollection: new, to: old, dropTarget: true }"], [true, false])
  func `a kept collection that is gone makes down refuse`(step: String, byHand: Bool) throws {
    try EngineFixture.run(["001_t.yaml": "up:\n  - \(step)\n"]) { fixture in
      try fixture.insert("old", [["_id": 1]])
      try fixture.insert("new", [["_id": 2]])
      _ = try fixture.migrator().up()
      let name = try kept(fixture)
      if byHand {
        try fixture.database { try $0.drop(name) }
      } else {
        try fixture.migrator().forget(name)
      }
      try expectIrreversible(fixture, byHand ? "is gone" : "was forgotten at 20")
    }
  }

  @Test(arguments: ["001_t", "migrations.undo.001_t"], InverseTests.kinds)
  func `forgotten pre-images make down refuse`(name: String, kind: TestServer.Kind) throws {
    try EngineFixture.run(["001_t.yaml": Self.update], on: kind) { fixture in
      try fixture.insert("things", [["_id": 1, "n": 1]])
      _ = try fixture.migrator().up()
      try fixture.migrator().forget(name)
      try expectIrreversible(fixture, "was forgotten at 20")
    }
  }

  @Test(arguments: [0, 1])
  func `pre-images that were removed by hand make down refuse`(way: Int) throws {
    try EngineFixture.run(["001_t.yaml": Self.update]) { fixture in
      try fixture.insert("things", [["_id": 1, "n": 1]])
      _ = try fixture.migrator().up()
      try fixture.database { database in
        let undo = "migrations.undo.001_t"
        if way == 0 { return try database.drop(undo) }
        _ = try database.delete(undo, [["q": ["kind": "update"], "limit": 0]])
      }
      try expectIrreversible(fixture, "is gone")
    }
  }

  @Test func `a migration that changed nothing needs nothing kept`() throws {
    let files = ["001_t.yaml": "\(Self.update.dropLast(2)), { drop: old } ]"]
    try EngineFixture.run(files) { fixture in
      try fixture.database {
        _ = try $0.run(["create": "things"])
        _ = try $0.run(["create": "old"])
      }
      _ = try fixture.migrator().up()
      try fixture.database { try $0.drop("migrations.undo.001_t") }
      _ = try fixture.migrator().down(.count(1))
      #expect(try fixture.picture().keys.sorted() == ["old", "things"])
    }
  }

  @Test func `what a half-done migration goes on from is not forgotten`() throws {
    let files = [
      "001_t.yaml": """
      up:
        - { update: things, updates: [ { q: {}, u: { $inc: { n: 1 } }, multi: true } ] }
        - { convertToCapped: nosuch, size: 4096 }
      """
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("things", [["_id": 1, "n": 1]])
      #expect(throws: MigrationError.self) { _ = try fixture.migrator().up() }
      #expect(throws: MigrationError.self) { try fixture.migrator().forget("001_t") }
      _ = try fixture.migrator().down(.count(1))
      #expect(try fixture.documents("things") == [["_id": 1, "n": 1]])
    }
  }
}
