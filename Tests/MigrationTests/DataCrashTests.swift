import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// Every crash point of a run, and of the way back, is died at; a second run has to end in the same
/// documents as one that was never interrupted.
@Suite struct DataCrashTests {
  static let commands: [Document] = [
    ["update": "c", "updates": [["q": [:], "u": ["$inc": ["n": 1000]], "multi": true]]],
    [
      "update": "c",
      "updates": [
        ["q": ["n": ["$lt": 15]], "u": [["$set": ["n": ["$add": ["$n", 1]]]]], "multi": true],
        ["q": ["_id": 3], "u": ["$inc": ["n": 1]]],
        ["q": ["_id": "made"], "u": ["$inc": ["n": 1]], "upsert": true],
        ["q": ["_id": "made"], "u": ["$inc": ["n": 1]], "upsert": true],
        ["q": ["s": "x", "n": 5], "u": ["$set": ["n": 5]], "multi": true],
        ["q": [:], "u": ["$push": ["a": 1]], "multi": true],
      ],
    ],
    [
      "delete": "c",
      "deletes": [["q": ["n": ["$gte": 3]], "limit": 0], ["q": ["n": 1], "limit": 1]],
    ],
    [
      "insert": "c",
      "documents": .array((100..<135).map { ["n": 1, "_id": .integer($0), "s": "new"] }),
    ],
  ]

  @Test(
    "a run that dies anywhere is completed by the next",
    arguments: [TestServer.Kind.replicaSet, .standalone], [0, 1, 2, 3])
  func run(kind: TestServer.Kind, number: Int) throws {
    let command = Self.commands[number]
    var expected: [Document] = []
    var outcome = DataOutcome()
    var points = 0
    try DataFixture.run(kind) { fixture in
      while true {
        try fixture.clear()
        try fixture.insert(count: 32)
        let before = try fixture.documents()
        let died = try fixture.crashing(at: points) { _ = try $0.run(command) }
        let again = try fixture.run(command)
        if points == 0 {
          expected = try fixture.documents()
          outcome = again
          #expect(expected != before)
        }
        #expect(try fixture.documents() == expected, "died at point \(points)")
        #expect(again.modified == outcome.modified, "died at point \(points)")
        #expect(again.touched == outcome.touched, "died at point \(points)")
        let undone = try fixture.undo()
        #expect(undone.skipped == 0, "died at point \(points)")
        #expect(try fixture.documents() == before, "died at point \(points)")
        points += 1
        guard died || points == 1 else { break }
      }
    }
    #expect(points > 3)
  }

  @Test(
    "a way back that dies anywhere is completed by the next, also from the middle of a step",
    arguments: [TestServer.Kind.replicaSet, .standalone], [0, 1, 2, 3])
  func undo(kind: TestServer.Kind, number: Int) throws {
    let command = Self.commands[number]
    try DataFixture.run(kind) { fixture in
      for forward in [0, 3] {
        var points = 1
        while true {
          try fixture.clear()
          try fixture.insert(count: 32)
          let before = try fixture.documents()
          _ = try fixture.crashing(at: forward) { _ = try $0.run(command) }
          let died = try fixture.crashing(at: points) { _ = try $0.undo() }
          if died, points < 3 {
            #expect(throws: DataStepError.self) { try fixture.run(command) }
          }
          #expect(try fixture.undo().skipped == 0, "died at \(forward) and \(points)")
          #expect(try fixture.documents() == before, "died at \(forward) and \(points)")
          #expect(try fixture.records().isEmpty)
          points += 1
          guard died else { break }
        }
        #expect(points > 2)
      }
    }
  }
}
