import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// One row a kind of step: what is there before, the step, and `down` has to bring it all back.
@Suite struct InverseTests {
  static let rows: [(name: String, step: String)] = [
    ("create", "create: fresh"),
    ("create with options", "{ create: fresh, capped: true, size: 4096, max: 10 }"),
    ("create a view", "{ create: seen, viewOn: things, pipeline: [ { $match: { a: 1 } } ] }"),
    ("an index", "{ createIndexes: things, indexes: [ { key: { b: 1 } } ] }"),
    (
      "two indexes, one there",
      "{ createIndexes: things, indexes: [ { key: { a: 1 } }, { key: { c: -1 } } ] }"
    ),
    ("drop an index", "{ dropIndexes: things, index: text_index }"),
    ("a validator", "{ collMod: strict, validator: { a: { $type: int } } }"),
    ("a level", "{ collMod: strict, validationLevel: moderate }"),
    ("a longer TTL", "{ collMod: things, index: { name: at_1, expireAfterSeconds: 200 } }"),
    ("a hidden index", "{ collMod: things, index: { name: a_1, hidden: true } }"),
    (
      "a plain index made TTL",
      "{ collMod: things, index: { name: a_1, expireAfterSeconds: 2000000 } }"
    ),
    ("rename", "{ renameCollection: things, to: renamed }"),
    ("rename onto another", "{ renameCollection: things, to: strict, dropTarget: true }"),
    ("drop", "drop: things"),
    ("drop a view", "drop: view"),
    ("insert", "{ insert: things, documents: [ { _id: 100, a: 1 }, { a: 2 } ] }"),
    ("insert into nothing", "{ insert: fresh, documents: [ { a: 2 } ] }"),
    ("update one", "{ update: things, updates: [ { q: { a: 1 }, u: { $inc: { a: 5 } } } ] }"),
    (
      "update all",
      "{ update: things, updates: [ { q: {}, u: { $set: { z: 1 }, $unset: { a: 1 } }, multi: true } ] }"
    ),
    ("replace", "{ update: things, updates: [ { q: { _id: 3 }, u: { other: true } } ] }"),
    (
      "a pipeline",
      "{ update: things, updates: [ { q: {}, u: [ { $set: { a2: '$a' } } ], multi: true } ] }"
    ),
    (
      "upsert",
      "{ update: things, updates: [ { q: { _id: 500 }, u: { $set: { a: 1 } }, upsert: true } ] }"
    ),
    ("delete", "{ delete: things, deletes: [ { q: { a: { $gt: 1 } }, limit: 0 } ] }"),
  ]

  /// What the servers of this run can do.
  static let possible = rows.indices.filter { row in
    switch rows[row].name {
    case "a hidden index": TestServer.release >= ServerVersion(4, 4)
    case "a plain index made TTL": TestServer.release >= ServerVersion(6, 0)
    default: true
    }
  }

  static let kinds: [TestServer.Kind] = [.replicaSet, .standalone]

  @Test(arguments: possible, kinds)
  func `down brings back what was there`(row: Int, kind: TestServer.Kind) throws {
    let (name, step) = Self.rows[row]
    try EngineFixture.run(["001_step.yaml": "up:\n  - \(step)\n"], on: kind) { fixture in
      try prepare(fixture)
      let before = try fixture.picture()
      _ = try fixture.migrator().up()
      #expect(try fixture.picture() != before, "\(name) did nothing")
      let report = try fixture.migrator().down(.count(1))
      #expect(!report.isPartial, "\(name)")
      #expect(try fixture.picture() == before, "\(name)")
    }
  }

  @Test func `the ledger holds no names with a dollar, which older servers refuse`() throws {
    var line = JournalStep(command: "collMod", collection: "strict", hash: "x")
    let plain: Document = ["kind": "rename", "from": "a", "to": "b"]
    line.undo = plain
    #expect(line.document["undo"] == .document(plain))
    let validator: Document = ["validator": ["$or": [["a": ["$gt": 1]]]]]
    line.undo = ["kind": "commands", "commands": [.document(validator)]]
    let stored = line.document
    #expect(stored["undo"]?.documentValue?["kind"] == "commands")
    #expect(stored["undo"]?.documentValue?.has("commands") == false)
    #expect(JournalStep(stored)?.undo == line.undo)
  }

  private func prepare(_ fixture: EngineFixture) throws {
    try fixture.insert(
      "things",
      (0..<20).map {
        [
          "_id": .int32($0), "a": .int32($0 % 3), "text": "word",
          "at": .date(.init(milliseconds: 0)),
        ]
      })
    try fixture.database { database in
      // The date is far from expiring: TTL counts from it.
      _ = try database.update(
        "things",
        [
          [
            "q": [:], "u": ["$set": ["at": .date(.init(milliseconds: 4_000_000_000_000))]],
            "multi": true,
          ]
        ])
      _ = try database.run([
        "createIndexes": "things",
        "indexes": [
          ["key": ["a": 1], "name": "a_1"],
          ["key": ["text": "text"], "name": "text_index", "weights": ["text": 3]],
          ["key": ["at": 1], "name": "at_1", "expireAfterSeconds": 100],
        ],
      ])
      _ = try database.run([
        "create": "strict", "validator": ["b": ["$exists": true]], "validationLevel": "strict",
        "validationAction": "error",
      ])
      _ = try database.run(["create": "view", "viewOn": "things", "pipeline": []])
    }
  }
}
