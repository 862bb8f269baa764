import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// Behind a step whose effect only a run shows: nothing is believed that the server does not say.
@Suite struct UncertainTests {
  /// Nobody knows before the run whether it is left out.
  private static let open = "{ create: first, martlet: { unless: { collection: nothing } } }"

  private func expectFailed(_ fixture: EngineFixture, _ part: String) throws {
    do {
      _ = try fixture.migrator().up()
      Issue.record("not refused")
    } catch let error as MigrationError {
      #expect(error.code == .conflict)
      #expect(error.message.contains(part), "\(error.message)")
    }
    let entry = try #require(try fixture.entry("001_x"))
    #expect(entry.status == .failed)
    #expect(entry.steps.map(\.state) == [.done, .pending])
  }

  @Test(arguments: ["", ", dropTarget: true"])
  func `a rename of what is not there is not done, and down renames nothing away`(
    _ option: String
  ) throws {
    let files = ["001_x.yaml": "up: [ \(Self.open), { renameCollection: a, to: b\(option) } ]"]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("b", [["_id": 1]])
      let before = try fixture.picture()
      #expect(try fixture.migrator().planUp().conflicts.isEmpty)
      try expectFailed(fixture, "26")
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.picture() == before)
    }
  }

  @Test func `a rename to a name that is used is not done`() throws {
    let files = ["001_x.yaml": "up: [ \(Self.open), { renameCollection: a, to: b } ]"]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("a", [["_id": 1]])
      try fixture.insert("b", [["_id": 1]])
      try expectFailed(fixture, "48")
    }
  }

  @Test func `options of what is not there are not changed, and nothing is journalled`() throws {
    let files = ["001_x.yaml": "up: [ \(Self.open), { collMod: a, validator: { x: 1 } } ]"]
    try EngineFixture.run(files) { try expectFailed($0, "26") }
  }

  @Test func `what the uncertain step made is renamed, and renamed back`() throws {
    let files = [
      "001_x.yaml": """
      up:
        - { cloneCollectionAsCapped: source, toCollection: a, size: 4096 }
        - { renameCollection: a, to: b }
      down: [ { renameCollection: b, to: a }, { drop: a } ]
      """
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("source", [["_id": 1]])
      _ = try fixture.migrator().up()
      #expect(try fixture.picture().keys.sorted() == ["b", "source"])
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.documents("source").count == 1)
      #expect(try fixture.picture()["a"] == nil)
    }
  }

  @Test(arguments: [
    ("things", "none_such", "27"), ("things", "[ a_1, none_such ]", "27"),
    ("things", "{ b: 1 }", "27"), ("things", "_id_", "72"), ("nothing", "a_1", "26"),
    ("view", "'*'", "166"),
  ])
  func `indexes that are not there are not called dropped`(
    _ collection: String, _ index: String, _ code: String
  ) throws {
    let step = "{ dropIndexes: \(collection), index: \(index) }"
    try EngineFixture.run(["001_x.yaml": "up: [ \(Self.open), \(step) ]"]) { fixture in
      try fixture.database {
        _ = try $0.run([
          "createIndexes": "things", "indexes": [["key": ["a": 1], "name": "a_1"]],
        ])
        _ = try $0.run(["create": "view", "viewOn": "things"])
      }
      try expectFailed(fixture, code)
      #expect(try fixture.database { try $0.listIndexes("things").map(\.name) } == ["_id_", "a_1"])
    }
  }

  @Test(arguments: [("things", "with"), ("view", "166")])
  func `indexes that cannot be are refused before the journal says that they are being built`(
    _ collection: String, _ part: String
  ) throws {
    let step = """
      { createIndexes: \(collection), indexes: [ { key: { a: 1 }, name: a_1, unique: true } ] }
      """
    try EngineFixture.run(["001_x.yaml": "up: [ \(Self.open), \(step) ]"]) { fixture in
      try fixture.database {
        _ = try $0.run([
          "createIndexes": "things", "indexes": [["key": ["b": 1], "name": "a_1"]],
        ])
        _ = try $0.run(["create": "view", "viewOn": "things"])
      }
      try expectFailed(fixture, part)
    }
  }

  @Test func `a step that the server has refused asks its unless again`() throws {
    let files = [
      "001_x.yaml": """
      up:
        - createIndexes: things
          indexes: [ { key: { a: 1 }, name: a_1, unique: true } ]
          martlet: { unless: { collection: marker } }
      """
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("things", [["_id": 1, "a": 1], ["_id": 2, "a": 1]])
      #expect(throws: (any Error).self) { try fixture.migrator().up() }
      #expect(try fixture.entry("001_x")?.steps.map(\.state) == [.pending])
      try fixture.insert("marker", [["_id": 1]])
      _ = try fixture.migrator().up()
      #expect(try fixture.entry("001_x")?.status == .success)
      #expect(try fixture.database { try $0.listIndexes("things").map(\.name) } == ["_id_"])
    }
  }

  @Test func `a written down behind a derived one asks for the indexes that it drops`() throws {
    let files = [
      "001_x.yaml": """
      up: [ { createIndexes: things, indexes: [ { key: { a: 1 } } ] } ]
      down: [ { dropIndexes: things, index: a_2 } ]
      """,
      "002_y.yaml": "up: [ { create: other } ]",
    ]
    try EngineFixture.run(files) { fixture in
      _ = try fixture.migrator().up()
      #expect(throws: MigrationError.self) { try fixture.migrator().down(.all) }
      #expect(try fixture.entry("002_y") == nil)
      #expect(try fixture.entry("001_x")?.status == .reverting)
      try fixture.database { try $0.drop("things") }
    }
  }

  @Test func `a written down drops what stands where up has dropped something`() throws {
    let files = [
      "001_x.yaml": """
      up: [ { drop: a }, { create: a, capped: true, size: 4096 } ]
      down: [ { drop: a }, { create: a } ]
      """
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("a", [["_id": 1]])
      _ = try fixture.migrator().up()
      try fixture.insert("a", [["_id": 2]])
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.picture()["a"]?.first == [:])
      let kept = try fixture.database { try KeptCollections($0, names: LedgerNames()).all() }
      #expect(kept.count == 2)
      #expect(kept.allSatisfy { $0.documents == 1 })
    }
  }

  @Test func `a written down drops all indexes of a collection that no up names`() throws {
    let files = [
      "001_x.yaml":
        "up: [ { create: a } ]\ndown: [ { dropIndexes: things, index: '*' }, { drop: a } ]"
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.database {
        _ = try $0.run([
          "createIndexes": "things", "indexes": [["key": ["a": 1], "name": "a_1"]],
        ])
      }
      _ = try fixture.migrator().up()
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.database { try $0.listIndexes("things").map(\.name) } == ["_id_"])
    }
  }

  // MARK: - unless

  @Test(arguments: [
    "{ renameCollection: old, to: new, martlet: { unless: { collection: new } } }",
    "{ create: new, capped: true, size: 4096, martlet: { unless: { collection: new } } }",
    "{ dropIndexes: new, index: old_1, martlet: { unless: { collection: new } } }",
  ])
  func `a step is not refused for what its own condition leaves it out`(_ step: String) throws {
    try EngineFixture.run(["001_x.yaml": "up: [ \(step) ]"]) { fixture in
      try fixture.insert("new", [["_id": 1]])
      let before = try fixture.picture()
      let plan = try fixture.migrator().planUp()
      #expect(plan.conflicts.isEmpty)
      #expect(plan.migrations[0].steps[0].impact.contains { $0.contains("`unless`") })
      _ = try fixture.migrator().up()
      #expect(try fixture.entry("001_x")?.steps.first?.undo?["kind"] == "nothing")
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.picture() == before)
    }
  }

  @Test(arguments: [false, true])
  func `a step of a written down is left out as its condition says`(_ isLeftOut: Bool) throws {
    let step = "{ drop: a, martlet: { unless: { collection: reason } } }"
    try EngineFixture.run(["001_x.yaml": "up: [ { create: a } ]\ndown: [ \(step) ]"]) { fixture in
      if isLeftOut { try fixture.insert("reason", [["_id": 1]]) }
      _ = try fixture.migrator().up()
      _ = try fixture.migrator().down(.all)
      #expect(try (fixture.picture()["a"] != nil) == isLeftOut)
    }
  }

  // MARK: - Time-series

  @Test(
    .enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"),
    arguments: ["", ", martlet: { unless: { collection: series } }"])
  func `what is inserted into a time-series that a create found has no way back`(
    _ option: String
  ) throws {
    let create = "{ create: series, timeseries: { timeField: t, metaField: m }\(option) }"
    let insert = "{ insert: series, documents: [ { t: { $date: now }, m: 1 } ] }"
    try EngineFixture.run(["001_x.yaml": "up: [ \(create), \(insert) ]"]) { fixture in
      try fixture.database {
        _ = try $0.run(["create": "series", "timeseries": ["timeField": "t", "metaField": "m"]])
      }
      let plan = try fixture.migrator().planUp()
      #expect(plan.migrations[0].steps[1].inverse.hasPrefix("none"))
      _ = try fixture.migrator().up()
      #expect(try fixture.entry("001_x")?.steps.last?.undo?["kind"] == "none")
      #expect(throws: MigrationError.self) { try fixture.migrator().down(.all) }
      #expect(try fixture.documents("series").count == 1)
    }
  }

  // MARK: - Marks

  @Test func `the mark of a migration says which database it changes`() throws {
    try EngineFixture.run(["001_x.yaml": "up: [ { create: a } ]"]) { fixture in
      _ = try fixture.migrator().up()
      let marks = try fixture.server.pool.withClient {
        try $0.database("local").find(
          "oplog.rs",
          filter: ["op": "n", "o.martlet.database": .string(fixture.server.databaseName)]
        ).all()
      }
      #expect(marks.count == 1)
      #expect(marks.first?["o"]?.documentValue?["martlet"]?.documentValue?["migration"] == "001_x")
    }
  }
}
