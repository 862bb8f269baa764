import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// Behind a step whose effect only a run shows: nothing is believed that the server does not say.
@Suite struct UncertainTests {
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
