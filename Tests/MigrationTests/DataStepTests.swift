import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Migration

@Suite struct DataStepTests {
  @Test("an upsert's document is deleted again, unless it was changed; a match is restored")
  func upsert() throws {
    for kind in [TestServer.Kind.replicaSet, .standalone] {
      try DataFixture.run(kind) { fixture in
        try fixture.insert(count: 3)
        let statements: [Value] = [
          ["q": ["k": 1], "u": ["$set": ["v": 1], "$setOnInsert": ["w": 2]], "upsert": true],
          ["q": ["k": 1], "u": ["$inc": ["v": 1]], "upsert": true],
          ["q": ["k": 2], "u": ["k": 2, "v": 1], "upsert": true],
          ["q": ["k": 3], "u": [["$set": ["v": 1]]], "upsert": true, "multi": true],
          ["q": ["_id": ["$eq": "x"]], "u": ["$set": ["v": 1]], "upsert": true],
          ["q": ["n": 1], "u": ["$set": ["n": 11]], "upsert": true],
        ]
        let outcome = try fixture.run(["update": "c", "updates": .array(statements)])
        #expect(outcome.upserted == 4)
        #expect(outcome.modified == 2)
        let made = try fixture.withDatabase { try $0.findOne("c", filter: ["k": 1]) }
        #expect(made?["v"] == 2)
        #expect(made?["w"] == 2)
        _ = try fixture.withDatabase {
          try $0.update("c", [["q": ["k": 2], "u": ["$set": ["v": 9]]]])
        }
        let undone = try fixture.undo()
        #expect(undone.restored == 5)
        #expect(undone.samples.map(\.reason) == [.changed])
        let left = try fixture.documents()
        #expect(left.count == 4)
        #expect(left.first { $0["_id"] == 1 } == ["_id": 1, "n": 1, "s": "x"])
        #expect(left.contains { $0["k"] == 2 })
      }
    }
  }

  @Test("one document is updated and deleted where only one is meant")
  func one() throws {
    try DataFixture.run { fixture in
      try fixture.insert(count: 30)
      let before = try fixture.documents()
      let update = fixture.update(["s": "x"], ["$set": ["s": "y"]], multi: false)
      #expect(try fixture.run(update).modified == 1)
      var second = fixture
      second.step = 1
      #expect(try second.run(second.delete(["s": "x"], limit: 1)).deleted == 1)
      #expect(try second.undo().restored == 1)
      #expect(try fixture.undo().restored == 1)
      #expect(try fixture.documents() == before)
    }
  }

  static let special: [Document] = [
    [
      "q": ["s": "X"], "u": ["$inc": ["n": 1]], "multi": true,
      "collation": ["locale": "en", "strength": 2],
    ],
    ["q": ["n": ["$gte": 0]], "u": ["$inc": ["n": 1]], "multi": true, "hint": ["n": 1]],
    ["q": ["$text": ["$search": "x"]], "u": ["$inc": ["n": 1]], "multi": true],
  ]

  @Test("a statement that cannot be walked is done in one go, up to a limit", arguments: special)
  func oneGo(statement: Document) throws {
    try DataFixture.run { fixture in
      _ = try fixture.withDatabase {
        try $0.run([
          "createIndexes": "c",
          "indexes": [["key": ["n": 1], "name": "n"], ["key": ["s": "text"], "name": "s"]],
        ])
      }
      let many = (0..<10_000).map { n -> Document in
        ["_id": n % 2 == 0 ? .string("a\(n)") : .string("A\(n)"), "n": .integer(n), "s": "x"]
      }
      try fixture.insert(many)
      let command: Document = ["update": "c", "updates": [.document(statement)]]
      #expect(try fixture.run(command).modified == 10_000)
      #expect(try fixture.undo().restored == 10_000)
      let same = try fixture.documents() == many.sorted { $0.id < $1.id }
      #expect(same)

      try fixture.insert([["_id": "more", "n": 1, "s": "x"]])
      let error = #expect(throws: DataStepError.self) { try fixture.run(command) }
      #expect(error?.code == .tooMany)
      #expect(error?.hint?.contains("undo: none") == true)
      var careless = fixture
      careless.step = 1
      careless.keeps = .nothing
      #expect(try careless.run(command).modified == 10_001)
    }
  }

  @Test("a run whose lease was stolen cannot go on, and changes nothing")
  func fence() throws {
    for kind in [TestServer.Kind.replicaSet, .standalone] {
      try DataFixture.run(kind) { fixture in
        try fixture.insert(count: 40)
        let command = fixture.update([:], ["$inc": ["n": 1]])
        var thief = fixture
        thief.fence = 2
        let other = thief
        let owner = fixture.runner(crashPoint: { point in
          guard point == "data.chunk.committed:2" else { return }
          try other.run(command, stoppingAfter: 1)
        })
        let error = #expect(throws: MongoError.self) { try owner.run(command) }
        #expect(error?.kind == .leaseLost)
        #expect(throws: MongoError.self) { try fixture.run(command) }
        #expect(throws: MongoError.self) { try fixture.undo() }
        if kind == .replicaSet {
          #expect(
            try fixture.documents().map { $0["n"] }
              == (0..<40).map { .integer($0 < 30 ? $0 + 1 : $0) })
          #expect(try thief.run(command).modified == 40)
          #expect(try thief.undo().restored == 40)
        }
      }
    }
  }

  @Test("the small form runs in the caller's transaction and leaves nothing when that is aborted")
  func small() throws {
    struct Abort: Error {}
    try DataFixture.run { fixture in
      try fixture.insert(count: 25)
      // A transaction of 4.2 makes no collections.
      _ = try fixture.withDatabase { try $0.run(["create": .string(DataFixture.undoCollection)]) }
      let before = try fixture.documents()
      let runner = fixture.runner()
      let update = fixture.update([:], ["$inc": ["n": 1]])
      #expect(throws: Abort.self) {
        try fixture.server.pool.withClient { client in
          try client.withTransaction { session in
            _ = try runner.run(update, in: session, client: client)
            throw Abort()
          }
        }
      }
      #expect(try fixture.documents() == before)
      #expect(try fixture.undo() == UndoOutcome())
      let inserted: Document = ["insert": "c", "documents": [["_id": "new"]]]
      for _ in 0..<2 {
        var second = fixture
        second.step = 1
        let other = second.runner()
        let outcome = try fixture.server.pool.withClient { client in
          try client.withTransaction { session in
            let first = try runner.run(update, in: session, client: client)
            _ = try other.run(inserted, in: session, client: client)
            return first
          }
        }
        #expect(outcome.modified == 25)
        #expect(try second.undo().restored == 1)
        #expect(try fixture.undo().restored == 25)
        #expect(try fixture.documents() == before)
      }
    }
  }

  @Test("without undo data an update is still done once, and nothing is left of it")
  func nothingKept() throws {
    for kind in [TestServer.Kind.replicaSet, .standalone] {
      try DataFixture.run(kind) { fixture in
        var fixture = fixture
        fixture.keeps = .nothing
        try fixture.insert(count: 40)
        let command = fixture.update([:], ["$inc": ["n": 1]])
        for point in [2, 3] {
          #expect(try fixture.crashing(at: point) { _ = try $0.run(command) })
        }
        #expect(try fixture.run(command).modified == 40)
        #expect(try fixture.documents().map { $0["n"] } == (1...40).map { .integer($0) })
        #expect(try fixture.records().isEmpty)
        // What an insert made is known all the same.
        fixture.step = 1
        try fixture.run(["insert": "c", "documents": [["_id": "new"]]])
        #expect(try fixture.undo().restored == 1)
        #expect(try fixture.documents().count == 40)
      }
    }
  }

  @Test("whole documents are kept when asked, and restored past a validator")
  func wholeDocuments() throws {
    try DataFixture.run { fixture in
      var fixture = fixture
      fixture.keeps = .wholeDocument
      try fixture.insert(count: 12)
      let before = try fixture.documents()
      try fixture.run(fixture.update([:], ["$unset": ["n": ""], "$set": ["s": "y"]]))
      _ = try fixture.withDatabase {
        try $0.run(["collMod": "c", "validator": ["s": "y"]])
      }
      #expect(try fixture.records().allSatisfy { $0["fields"] == nil })
      #expect(try fixture.undo().restored == 12)
      #expect(try fixture.documents() == before)
    }
  }

  @Test("writers at the same time disturb neither: every change counts once")
  func writers() async throws {
    try await TestServer.run { (server: TestServer) in
      var fixture = DataFixture(server: server)
      fixture.chunk = 50
      try fixture.insert(count: 500)
      let command = fixture.update([:], ["$inc": ["n": 1000]])
      let frozen = fixture
      async let changes: Void = Self.increment(frozen)
      #expect(try frozen.run(command).matched == 500)
      try await changes
      #expect(try frozen.documents().map { $0["n"] } == (1000..<1500).map { .integer($0) })
      #expect(try frozen.documents().allSatisfy { $0["w"] == 1 })
    }
  }

  @concurrent
  private static func increment(_ fixture: DataFixture) async throws {
    try fixture.withDatabase { database in
      for id in 0..<500 {
        _ = try database.update("c", [["q": ["_id": .integer(id)], "u": ["$inc": ["w": 1]]]])
      }
    }
  }

  @Test("what cannot be run is refused before anything is written")
  func refused() throws {
    try DataFixture.run { fixture in
      let commands: [Document] = [
        ["aggregate": "c", "pipeline": []],
        ["insert": "c", "documents": [["a": 1]]],
        ["update": "c", "updates": [["q": [:]]]],
        ["delete": "c", "deletes": [["q": [:]]]],
        ["delete": 1, "deletes": []],
      ]
      for command in commands {
        let error = #expect(throws: DataStepError.self) { try fixture.run(command) }
        #expect(error?.code == .invalidCommand)
      }
      let collections = try fixture.withDatabase { try $0.listCollections() }
      #expect(collections.isEmpty)
    }
  }

  @Test("what the server refuses leaves nothing of its chunk, and tells the statement")
  func serverRefuses() throws {
    try DataFixture.run { fixture in
      try fixture.insert(count: 25)
      let before = try fixture.documents()
      let command: Document = [
        "update": "c",
        "updates": [
          ["q": ["_id": 1], "u": ["$inc": ["n": 1]]],
          ["q": [:], "u": ["$inc": ["s": 1]], "multi": true],
        ],
      ]
      let error = #expect(throws: DataStepError.self) { try fixture.run(command) }
      #expect(error?.code == .server)
      #expect(error?.server?.writeErrors.first?.code == 14)
      #expect(error?.description.hasPrefix("step 1, statement ") == true)
      #expect(try fixture.undo().skipped == 0)
      #expect(try fixture.documents() == before)
    }
  }

  @Test("the undo log says how much it keeps and since when, and forgets")
  func log() throws {
    try DataFixture.run { fixture in
      try fixture.withDatabase { database in
        let none = try UndoLog.usage(database, DataFixture.undoCollection)
        #expect(none == nil)
      }
      try fixture.insert(count: 25)
      try fixture.run(fixture.update([:], ["$inc": ["n": 1]]))
      try fixture.withDatabase { database in
        let usage = try #require(try UndoLog.usage(database, DataFixture.undoCollection))
        #expect(usage.documents == 4)
        #expect(usage.bytes > 1000)
        let age = Date().timeIntervalSince1970 - Double(usage.since?.milliseconds ?? 0) / 1000
        #expect(age > -60 && age < 600)
        try UndoLog.drop(database, DataFixture.undoCollection)
      }
      #expect(try fixture.undo() == UndoOutcome())
    }
  }
}

extension Document {
  fileprivate var id: String { self["_id"]?.stringValue ?? "" }
}
