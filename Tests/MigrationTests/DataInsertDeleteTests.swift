import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

@Suite struct DataInsertDeleteTests {
  static let both = [TestServer.Kind.replicaSet, .standalone]

  @Test("taking an insert back deletes what is unchanged and lists the rest", arguments: both)
  func insert(kind: TestServer.Kind) throws {
    try DataFixture.run(kind) { fixture in
      let documents = (0..<25).map { n -> Value in
        ["b": .timestamp(Timestamp(rawValue: 0)), "_id": .integer(n), "a": .double(.nan)]
      }
      let outcome = try fixture.run(["insert": "c", "documents": .array(documents)])
      #expect(outcome.inserted == 25)
      try fixture.withDatabase { database in
        _ = try database.update("c", [["q": ["_id": 3], "u": ["$set": ["a": 1]]]])
        _ = try database.delete("c", [["q": ["_id": 20], "limit": 1]])
      }
      let undone = try fixture.undo()
      #expect(undone.restored == 23)
      #expect(undone.samples == [.init(id: 20, reason: .gone), .init(id: 3, reason: .changed)])
      #expect(try fixture.documents().map { $0["_id"] } == [3])
    }
  }

  @Test(
    "a duplicate key of a foreign document fails the step, naming the index and no value",
    arguments: both)
  func duplicate(kind: TestServer.Kind) throws {
    try DataFixture.run(kind) { fixture in
      _ = try fixture.withDatabase {
        try $0.run([
          "createIndexes": "c",
          "indexes": [["key": ["email": 1], "name": "email_1", "unique": true]],
        ])
      }
      try fixture.insert([["_id": "foreign", "email": "secret@example.com"]])
      let documents = (0..<25).map { n -> Value in
        ["_id": .integer(n), "email": n == 14 ? "secret@example.com" : .integer(n)]
      }
      let command: Document = ["insert": "c", "documents": .array(documents)]
      for _ in 0..<2 {
        let error = #expect(throws: DataStepError.self) { try fixture.run(command) }
        #expect(error?.server?.isDuplicateKey == true)
        #expect(error?.description.contains("email_1") == true)
        #expect(error?.description.contains("secret") == false)
      }
      #expect(try fixture.undo().skipped == 0)
      #expect(try fixture.documents() == [["_id": "foreign", "email": "secret@example.com"]])
      // The same, with an _id that is taken: the foreign document is never ours.
      let taken: Document = ["insert": "c", "documents": [["_id": "foreign", "email": 1]]]
      #expect(throws: DataStepError.self) { try fixture.run(taken) }
      #expect(throws: DataStepError.self) { try fixture.run(taken) }
      _ = try fixture.undo()
      #expect(try fixture.documents().count == 1)
    }
  }

  @Test(
    "deleted documents come back whole, past a validator, unless their _id is there",
    arguments: both)
  func delete(kind: TestServer.Kind) throws {
    try DataFixture.run(kind) { fixture in
      try fixture.insert(count: 25)
      let zero = Value.timestamp(Timestamp(rawValue: 0))
      _ = try fixture.withDatabase {
        try $0.update("c", [["q": ["_id": 9], "u": ["$set": ["t": zero, "u": .undefined]]]])
      }
      let before = try fixture.documents()
      _ = try fixture.withDatabase {
        try $0.run(["collMod": "c", "validator": ["n": ["$type": "string"]]])
      }
      #expect(try fixture.run(fixture.delete([:])).deleted == 25)
      #expect(try fixture.documents().isEmpty)
      try fixture.insert([["_id": 4, "n": "theirs"]])
      let undone = try fixture.undo()
      #expect(undone.restored == 24)
      #expect(undone.samples == [.init(id: 4, reason: .existing)])
      var expected = before
      expected[4] = ["_id": 4, "n": "theirs"]
      #expect(try fixture.documents() == expected)
    }
  }

  @Test("what a unique index refuses on the way back is listed", arguments: both)
  func refused(kind: TestServer.Kind) throws {
    try DataFixture.run(kind) { fixture in
      try fixture.insert(count: 25)
      _ = try fixture.withDatabase {
        try $0.run([
          "createIndexes": "c", "indexes": [["key": ["n": 1], "name": "n_1", "unique": true]],
        ])
      }
      try fixture.run([
        "update": "c", "updates": [["q": [:], "u": ["$inc": ["n": 100]], "multi": true]],
      ])
      try fixture.insert([["_id": "theirs", "n": 5], ["_id": "theirs too", "n": 7]])
      let undone = try fixture.undo()
      #expect(undone.restored == 23)
      #expect(undone.skipped == 2)
      #expect(undone.samples.allSatisfy { $0.reason == .existing })
      #expect(try fixture.documents()[5]["n"] == 105)

      var next = fixture
      next.step = 1
      try next.run(next.delete(["_id": ["$in": [10, 11, 12]]]))
      try next.insert([["_id": "third", "n": 11]])
      #expect(try next.undo().samples == [.init(id: 11, reason: .existing)])
    }
  }

  @Test("documents of nearly 16 MiB are changed, deleted and restored", arguments: both)
  func large(kind: TestServer.Kind) throws {
    try DataFixture.run(kind) { fixture in
      let size = (16 << 20) - 100
      let large = Value.binary(Binary(bytes: [UInt8](repeating: 7, count: size)))
      let documents: [Document] = [
        ["_id": 1, "x": 1], ["_id": 2, "d": large], ["_id": 3, "x": 1], ["_id": 4, "d": large],
        ["_id": 5, "x": 1],
      ]
      let insert: Document = ["insert": "c", "documents": .array(documents.map { .document($0) })]
      #expect(try fixture.run(insert).inserted == 5)
      var second = fixture
      second.step = 1
      try second.run(second.update([:], [["$replaceWith": ["_id": "$_id"]]]))
      #expect(try second.documents() == (1...5).map { ["_id": .integer($0)] })
      #expect(try second.undo().restored == 5)
      let same = try fixture.documents() == documents
      #expect(same)
      var third = fixture
      third.step = 2
      try third.run(third.delete([:]))
      #expect(try third.undo().restored == 5)
      let sameAgain = try fixture.documents() == documents
      #expect(sameAgain)
      #expect(try fixture.undo().restored == 5)
      let left = try fixture.documents().count
      #expect(left == 0)
    }
  }

  @Test(
    "a capped collection takes an insert once; time-series too",
    .enabled(
      if: TestServer.release >= ServerVersion(6, 0),
      "before 6.0 nothing can be deleted from a capped collection"))
  func capped() throws {
    try DataFixture.run { fixture in
      try fixture.withDatabase { database in
        _ = try database.run(["create": "c", "capped": true, "size": 1_048_576])
        _ = try database.run(["create": "t", "timeseries": ["timeField": "at"]])
      }
      let at = Value.date(DateTime(milliseconds: 1_700_000_000_000))
      let documents = (0..<25).map { n -> Value in ["_id": .integer(n), "at": at] }
      for (step, name) in ["c", "t"].enumerated() {
        var fixture = fixture
        fixture.step = step
        let command: Document = ["insert": .string(name), "documents": .array(documents)]
        #expect(try fixture.crashing(at: 6) { _ = try $0.run(command) })
        #expect(try fixture.run(command).inserted == 25)
        #expect(try fixture.documents(name).map { $0["_id"] } == (0..<25).map { .integer($0) })
      }
      #expect(try fixture.undo().restored == 25)
      #expect(try fixture.documents().isEmpty)
    }
  }
}
