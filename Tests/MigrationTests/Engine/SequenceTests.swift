import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// Steps whose meaning depends on the steps before them: what `up` leaves is what the commands leave.
@Suite struct SequenceTests {
  private func prepare(_ database: Database) throws {
    let commands: [Document] = [
      ["create": "checked", "validator": ["a": ["$gte": 0]]],
      ["create": "capped", "capped": true, "size": 4096],
      ["create": "view", "viewOn": "orders"],
      [
        "createIndexes": "orders",
        "indexes": [["key": ["user": 1], "name": "user_1"], ["key": ["at": 1], "name": "at_1"]],
      ],
    ]
    for command in commands { _ = try database.run(command) }
    _ = try database.insert(
      "orders", (0..<20).map { ["_id": .int32($0), "user": .int32($0 % 3), "s": "new"] })
    _ = try database.insert("checked", [["_id": 1, "a": 1], ["_id": 2, "a": 2]])
  }

  static let sequences: [[Document]] = [
    [
      ["collMod": "checked", "validationLevel": "off"],
      ["insert": "checked", "documents": [["_id": 9, "a": -1]]],
      ["collMod": "checked", "validationLevel": "strict"],
    ],
    [
      ["collMod": "checked", "validationAction": "warn"],
      ["collMod": "checked", "validationAction": "error"],
    ],
    [
      ["convertToCapped": "orders", "size": 1_000_000],
      ["createIndexes": "orders", "indexes": [["key": ["user": 1], "name": "user_1"]]],
    ],
    [
      [
        "aggregate": "orders", "cursor": [:],
        "pipeline": [["$match": ["user": 1]], ["$project": ["s": "old"]], ["$out": "staged"]],
      ],
      ["aggregate": "staged", "cursor": [:], "pipeline": [["$merge": "orders"]]],
      ["drop": "staged"],
    ],
    [
      [
        "aggregate": "orders", "cursor": [:],
        "pipeline": [["$match": ["user": 1]], ["$out": "staged"]],
      ],
      ["renameCollection": "staged", "to": "orders", "dropTarget": true],
    ],
    [
      [
        "aggregate": "checked", "cursor": [:],
        "pipeline": [["$project": ["code": ["$toString": "$_id"]]], ["$merge": "checked"]],
      ],
      [
        "createIndexes": "checked",
        "indexes": [["key": ["code": 1], "name": "code", "unique": true]],
      ],
    ],
    [
      [
        "update": "fresh",
        "updates": [["q": ["_id": 1], "u": ["$set": ["a": 1]], "upsert": true]],
      ],
      ["drop": "fresh"],
    ],
    [
      ["create": "ring", "capped": true, "size": 4096],
      ["insert": "ring", "documents": [["_id": 1]]],
    ],
    [
      ["drop": "capped"], ["create": "capped"], ["insert": "capped", "documents": [["_id": 1]]],
    ],
    [
      ["drop": "orders"], ["create": "orders", "capped": true, "size": 4096],
      ["insert": "orders", "documents": [["_id": 1]]],
    ],
    [["dropIndexes": "orders", "index": ["user_1", "at_1"]]],
    [["dropIndexes": "checked", "index": "*"]],
  ]

  @Test(arguments: sequences) func `what up leaves is what the commands leave`(
    _ commands: [Document]
  ) throws {
    let steps = ExtendedJSON.text(.array(commands.map { .document($0) }), .canonical)
    try EngineFixture.run(["001_x.json": "{\"up\": \(steps)}"]) { fixture in
      try fixture.database { try prepare($0) }
      _ = try fixture.migrator().up()
      let migrated = try fixture.picture().filter { isOfApplication($0.key) }
      try EngineFixture.run([:]) { bare in
        try bare.database { database in
          try prepare(database)
          for command in commands { try run(command, database) }
        }
        #expect(try bare.picture().filter { isOfApplication($0.key) } == migrated)
      }
    }
  }

  private func isOfApplication(_ name: String) -> Bool {
    name != "system.views" && !name.contains("__kept_")
  }

  private func run(_ command: Document, _ database: Database) throws {
    if command.has("renameCollection") {
      return try database.rename("staged", to: "orders", dropTarget: true)
    }
    guard command.has("aggregate") else {
      _ = try database.run(command)
      return
    }
    let cursor = try database.client.cursor(command, on: database.name)
    while try cursor.next() != nil {}
  }

  @Test func `the migration after one that makes a capped collection or a time-series fills it`()
    throws
  {
    var files = [
      "001_x.yaml": "up: [ { create: ring, capped: true, size: 4096 } ]",
      "002_y.yaml": "up: [ { insert: ring, documents: [ { _id: 1 } ] } ]",
    ]
    if TestServer.hasTimeseries {
      files["003_z.yaml"] = """
        up:
          - { create: series, timeseries: { timeField: t, metaField: m } }
          - { insert: series, documents: [ { t: { $date: now }, m: 1 } ] }
        """
    }
    try EngineFixture.run(files) { fixture in
      _ = try fixture.migrator().up()
      let filled = TestServer.hasTimeseries ? ["ring", "series"] : ["ring"]
      for name in filled { #expect(try fixture.documents(name).count == 1) }
      guard TestServer.hasTimeseries else { return }
      #expect(try fixture.migrator().planDown(.count(1)).conflicts.isEmpty)
    }
  }

  @Test(.enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"))
  func `an insert into a time-series that was there has no way back, and says so first`() throws {
    let files = [
      "001_x.yaml": "up: [ { insert: series, documents: [ { t: { $date: now }, m: 1 } ] } ]"
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.database {
        _ = try $0.run(["create": "series", "timeseries": ["timeField": "t", "metaField": "m"]])
      }
      let plan = try fixture.migrator().planUp()
      #expect(plan.migrations[0].steps[0].inverse.hasPrefix("none"))
      _ = try fixture.migrator().up()
      #expect(throws: MigrationError.self) { try fixture.migrator().down(.all) }
      #expect(try fixture.entry("001_x")?.status == .success)
    }
  }

  @Test(.enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"))
  func `a time-series is changed by the server's own command where no pre-images are asked for`()
    throws
  {
    let delete = "{ delete: series, deletes: [ { q: { m: 1 }, limit: 0 } ]"
    try EngineFixture.run(["001_x.yaml": "up: [ \(delete) } ]"]) { fixture in
      try fixture.database {
        _ = try $0.run(["create": "series", "timeseries": ["timeField": "t", "metaField": "m"]])
      }
      try fixture.insert(
        "series", (0..<4).map { ["t": .date(DateTime(milliseconds: 1000)), "m": .int32($0 % 2)] })
      #expect(try fixture.migrator().planUp().conflicts.count == 1)
      try fixture.write("001_x.yaml", "up: [ \(delete), martlet: { undo: none } } ]")
      _ = try fixture.migrator().up()
      #expect(try fixture.documents("series").count == 2)
    }
  }

  @Test(arguments: [
    ("{ dropIndexes: orders, index: [ user_1, none_such ] }", "none_such"),
    ("{ dropIndexes: orders, index: _id_ }", "72"), ("{ dropIndexes: nothing, index: a }", "26"),
    ("{ dropIndexes: orders, index: { b: 1 } }", "27"), ("{ dropDatabase: 1 }", "ledger"),
    ("{ update: view, updates: [ { q: {}, u: { $set: { a: 1 } }, multi: true } ] }", "166"),
    ("{ insert: view, documents: [ { _id: 1 } ] }", "166"),
    ("{ createIndexes: view, indexes: [ { key: { a: 1 } } ] }", "166"),
    ("{ renameCollection: view, to: other }", "166"),
    ("{ dropIndexes: view, index: '*' }", "166"),
  ])
  func `what the server would refuse, or do in part, is a conflict`(
    _ step: String, _ part: String
  ) throws {
    try EngineFixture.run(["001_x.yaml": "up: [ \(step) ]"]) { fixture in
      try fixture.database { try prepare($0) }
      let before = try fixture.picture()
      let plan = try fixture.migrator().planUp()
      #expect(plan.conflicts.count == 1)
      #expect(plan.conflicts.first?.message.contains(part) == true)
      #expect(throws: MigrationError.self) { try fixture.migrator().up() }
      #expect(try fixture.picture() == before)
    }
  }

  @Test func `a written down behind a derived one meets what that has brought back`() throws {
    let files = [
      "001_x.yaml": "up: [ { create: staged } ]\ndown: [ { drop: staged } ]",
      "002_y.yaml": "up: [ { drop: staged } ]",
    ]
    try EngineFixture.run(files) { fixture in
      _ = try fixture.migrator().up()
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.picture().isEmpty)
    }
  }

  @Test func `a name that somebody uses again is not taken back silently`() throws {
    try EngineFixture.run(["001_x.yaml": "up: [ { renameCollection: old, to: new } ]"]) { fixture in
      try fixture.insert("old", [["_id": 1]])
      _ = try fixture.migrator().up()
      try fixture.insert("old", [["_id": 2]])
      #expect(throws: (any Error).self) { try fixture.migrator().down(.all) }
      #expect(try fixture.entry("001_x")?.status == .reverting)
      try fixture.database { try $0.drop("old") }
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.documents("old") == [["_id": 1]])
    }
  }

  @Test func `a collection that appears after the plan is not dropped by the way back`() throws {
    try EngineFixture.run([
      "001_x.yaml": """
      up:
        - aggregate: source
          pipeline: [ { $out: made } ]
          cursor: {}
          martlet: { unless: { collection: nothing } }
        - create: made
      down: [ { drop: made } ]
      """
    ]) { fixture in
      try fixture.insert("source", [["_id": 1]])
      try fixture.insert("made", [["_id": 5]])
      _ = try fixture.migrator().up()
      #expect(try fixture.entry("001_x")?.steps.last?.undo?["kind"] == "nothing")
    }
  }

  @Test func `what one transaction does not hold is done step by step, and taken back`() throws {
    let files = [
      "001_x.yaml": """
      up:
        - { insert: other, documents: [ { _id: 1 } ] }
        - { delete: large, deletes: [ { q: {}, limit: 0 } ] }
      """
    ]
    try EngineFixture.run(files) { fixture in
      // 36 MB of pre-images: more than a transaction keeps.
      let filler = String(repeating: "x", count: 3 << 20)
      for id in 0..<12 as Range<Int32> {
        try fixture.insert("large", [["_id": .int32(id), "s": .string(filler)]])
      }
      _ = try fixture.migrator().up()
      #expect(try fixture.documents("large").isEmpty)
      #expect(try fixture.documents("other").count == 1)
      _ = try fixture.migrator().down(.all)
      #expect(
        try fixture.documents("large").map { $0["s"]?.stringValue?.utf8.count }
          == Array(
            repeating: 3 << 20, count: 12))
      #expect(try fixture.picture()["other"] == nil)
    }
  }

  @Test(arguments: [false, true])
  func `a collection that came with its indexes goes with them, unless it was filled`(
    filled: Bool
  ) throws {
    let files = ["001_x.yaml": "up: [ { createIndexes: fresh, indexes: [ { key: { a: 1 } } ] } ]"]
    try EngineFixture.run(files) { fixture in
      _ = try fixture.migrator().up()
      if filled { try fixture.insert("fresh", [["_id": 1]]) }
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.picture().keys.sorted() == (filled ? ["fresh"] : []))
    }
  }

  static let ownSteps = [
    "{ drop: migrations }", "{ delete: migrations.history, deletes: [ { q: {}, limit: 0 } ] }",
    "{ create: migrations.kept }", "{ renameCollection: orders, to: migrations.lock }",
    "{ createIndexes: migrations, indexes: [ { key: { a: 1 } } ] }",
    "{ collMod: migrations, validator: {} }", "{ convertToCapped: migrations, size: 4096 }",
    "{ aggregate: orders, pipeline: [ { $out: migrations } ], cursor: {} }",
    "{ aggregate: orders, pipeline: [ { $merge: { into: migrations.kept } } ], cursor: {} }",
    "{ findAndModify: migrations, query: {}, remove: true }",
    "{ cloneCollectionAsCapped: orders, toCollection: migrations.undo.x, size: 4096 }",
  ]

  @Test(arguments: ownSteps, ["", "{ create: x, martlet: { unless: { collection: none } } }, "])
  func `a step that touches what the run rests on is a conflict`(
    _ step: String, _ first: String
  ) throws {
    try EngineFixture.run(["001_x.yaml": "up: [ \(first)\(step) ]"]) { fixture in
      try fixture.database { try prepare($0) }
      let conflicts = try fixture.migrator().planUp().conflicts
      #expect(conflicts.contains { $0.message.contains("Martlet's own") })
      #expect(throws: MigrationError.self) { try fixture.migrator().up() }
      #expect(try fixture.entry("001_x") == nil)
    }
  }
}
