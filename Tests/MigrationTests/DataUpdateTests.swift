import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

@Suite struct DataUpdateTests {
  @Test(
    "an update whose filter still matches afterwards changes each document once, whenever it stops",
    arguments: [1, 2, 3, 6])
  func exactlyOnce(stop: Int) throws {
    try DataFixture.run { fixture in
      try fixture.insert(count: 57)
      let before = try fixture.documents()
      let command = fixture.update([:], ["$inc": ["n": 1000]])
      if stop < 6 { try fixture.run(command, stoppingAfter: stop) }
      let outcome = try fixture.run(command)
      #expect(outcome.matched == 57)
      #expect(outcome.modified == 57)
      #expect(try fixture.documents().map { $0["n"] } == (1000..<1057).map { .integer($0) })
      #expect(try fixture.run(command) == outcome)
      #expect(try fixture.documents().map { $0["n"] } == (1000..<1057).map { .integer($0) })
      let undone = try fixture.undo()
      #expect(undone.restored == 57)
      #expect(undone.skipped == 0)
      #expect(try fixture.documents() == before)
      #expect(try fixture.records().isEmpty)
    }
  }

  @Test("a step can be run again after it was taken back")
  func again() throws {
    try DataFixture.run { fixture in
      try fixture.insert(count: 25)
      let before = try fixture.documents()
      let command = fixture.update([:], ["$inc": ["n": 1]])
      for _ in 0..<2 {
        #expect(try fixture.run(command).modified == 25)
        #expect(try fixture.documents() != before)
        #expect(try fixture.undo().restored == 25)
        #expect(try fixture.undo().restored == 25)
        #expect(try fixture.documents() == before)
      }
    }
  }

  static let ids: [Value] = [
    .minKey, .null, 7, .int64(1 << 40), 2.5, .double(.nan), "a", "b", ["x": 1], ["x": ["y": nil]],
    .binary(Binary(bytes: [1, 2, 3], subtype: 0)), .binary(Binary(bytes: [9], subtype: 128)),
    .objectID(ObjectID(seconds: 5, random: 7, counter: 9)), false, true,
    .date(DateTime(milliseconds: -5)), .timestamp(Timestamp(seconds: 1, increment: 2)),
    .decimal128(Decimal128("1.5") ?? Decimal128(high: 0, low: 0)), .symbol("s"),
    .javascript("function() {}"), .javascriptWithScope("x", ["y": 1]),
    .dbPointer(DBPointer(namespace: "a.b", id: ObjectID(seconds: 1, random: 2, counter: 3))),
    .maxKey,
  ]

  @Test("_ids of every type are walked, changed and restored", arguments: [1, 2, 5, 22, 23, 100])
  func everyType(chunk: Int) throws {
    try DataFixture.run { fixture in
      var fixture = fixture
      fixture.chunk = chunk
      try fixture.insert(Self.ids.map { ["_id": $0, "n": 1] })
      let before = try fixture.documents()
      #expect(try fixture.run(fixture.update(["n": 1], ["$inc": ["n": 1]])).modified == 23)
      #expect(try fixture.documents().allSatisfy { $0["n"] == 2 })
      #expect(try fixture.undo().restored == 23)
      #expect(try fixture.documents() == before)
    }
  }

  @Test(
    "collated and clustered collections are walked too",
    arguments: [
      ["collation": ["locale": "en", "strength": 1]],
      ["clusteredIndex": ["key": ["_id": 1], "unique": true, "name": "other"]],
    ] as [Document])
  func options(options: Document) throws {
    if options.has("clusteredIndex"), TestServer.release < ServerVersion(6, 0) { return }
    try DataFixture.run { fixture in
      var create: Document = ["create": "c"]
      create.append(contentsOf: options)
      _ = try fixture.withDatabase { try $0.run(create) }
      let letters = ["Zebra", "apple", "Äpfel", "Banana", "cherry", "Öl", "zoo", "éclair"]
      try fixture.insert((0..<40).map { ["_id": .string("\(letters[$0 % 8])\($0)"), "n": 1] })
      try fixture.insert([["_id": .maxKey, "n": 1]])
      let before = try fixture.documents()
      #expect(try fixture.run(fixture.update([:], ["$inc": ["n": 1]])).modified == 41)
      #expect(try fixture.documents().allSatisfy { $0["n"] == 2 })
      #expect(try fixture.undo().restored == 41)
      #expect(try fixture.documents() == before)
    }
  }

  @Test("documents changed or deleted since are left alone and listed")
  func changedSince() throws {
    try DataFixture.run { fixture in
      try fixture.insert(count: 40)
      try fixture.run(fixture.update([:], ["$set": ["s": "new"], "$inc": ["n": 1]]))
      try fixture.withDatabase { database in
        _ = try database.update("c", [["q": ["_id": 3], "u": ["$set": ["s": "theirs"]]]])
        _ = try database.update("c", [["q": ["_id": 4], "u": ["$set": ["other": 1]]]])
        _ = try database.delete("c", [["q": ["_id": 30], "limit": 1]])
      }
      let undone = try fixture.undo()
      #expect(undone.restored == 38)
      #expect(undone.skipped == 2)
      #expect(
        undone.samples == [.init(id: 30, reason: .gone), .init(id: 3, reason: .changed)])
      let after = try fixture.documents()
      #expect(after[3] == ["_id": 3, "n": 4, "s": "theirs"])
      #expect(after[4] == ["_id": 4, "n": 4, "s": "x", "other": 1])
      // What was left alone keeps its undo data.
      #expect(try fixture.records().count == 2)
    }
  }

  @Test("values of every type come back byte for byte")
  func values() throws {
    try DataFixture.run { fixture in
      var document: Document = ["_id": 1]
      for (index, value) in Self.ids.enumerated() { document.append("f\(index)", value) }
      document.append("r", .regex(RegularExpression(pattern: "a", options: "im")))
      document.append("u", .undefined)
      document.append("z", .timestamp(Timestamp(rawValue: 5)))
      document.append("a", [1, ["b": [.undefined, .null]], .double(-0.0)])
      try fixture.insert([document, ["_id": 2]])
      let before = try fixture.documents()
      var unset = Document()
      for key in document.keys.dropFirst() { unset.append(key, "") }
      try fixture.run(fixture.update([:], ["$unset": .document(unset)]))
      #expect(try fixture.documents() == [["_id": 1], ["_id": 2]])
      // The second document had nothing to unset.
      #expect(try fixture.undo().restored == 1)
      #expect(
        try fixture.documents().map { Set($0.map(\.self)) } == before.map { Set($0.map(\.self)) })
    }
  }

  /// Before 5.0 an update stores no name with `$`.
  private static let strange = TestServer.hasTimeseries ? "$y" : "y"

  @Test("a replacement and a pipeline restore the whole document, its order too")
  func whole() throws {
    try DataFixture.run { fixture in
      let zero = Value.timestamp(Timestamp(rawValue: 0))
      try fixture.insert([
        ["_id": 1, "b": 1, "a": .undefined, "t": 1],
        ["_id": 2, "z": [Self.strange: 1], "a": "$notAField"],
      ])
      _ = try fixture.withDatabase {
        try $0.update("c", [["q": ["_id": 1], "u": ["$set": ["t": zero]]]])
      }
      let before = try fixture.documents()
      let replace: Value = ["q": ["_id": 1], "u": ["x": 1]]
      let pipeline: Value = [
        "q": [:],
        "u": [["$replaceWith": ["_id": "$_id", "n": ["$literal": 1]]], ["$set": ["m": 2]]],
        "multi": true,
      ]
      try fixture.run(["update": "c", "updates": [replace, pipeline]])
      #expect(
        try fixture.documents() == [["_id": 1, "n": 1, "m": 2], ["_id": 2, "n": 1, "m": 2]])
      #expect(try fixture.undo().restored == 3)
      #expect(try fixture.documents() == before)
    }
  }

  @Test(
    "array filters, the positional operator, $rename and let work by chunks",
    .enabled(if: TestServer.release >= ServerVersion(5, 0), "let needs MongoDB 5.0"))
  func operators() throws {
    try DataFixture.run { fixture in
      try fixture.insert(
        (0..<30).map { ["_id": .integer($0), "a": [1, 5, 9], "o": ["x": 1], "k": .integer($0)] })
      let before = try fixture.documents()
      var command: Document = [
        "update": "c",
        "updates": [
          [
            "q": [:], "u": ["$set": ["a.$[big]": 0]], "multi": true,
            "arrayFilters": [["big": ["$gt": 4]]],
          ],
          ["q": ["a": 1], "u": ["$set": ["a.$": 2], "$rename": ["o": "p"]], "multi": true],
          ["q": ["$expr": ["$eq": ["$k", "$$seven"]]], "u": ["$set": ["k": "found"]]],
        ],
      ]
      command.append("let", ["seven": 7])
      #expect(try fixture.run(command).modified == 61)
      let after = try fixture.documents()
      #expect(after[7]["a"] == [2, 0, 0])
      #expect(after[7]["p"] == ["x": 1])
      #expect(after[7]["o"] == nil)
      #expect(after[7]["k"] == "found")
      #expect(after[8]["k"] == 8)
      #expect(try fixture.undo().restored == 61)
      #expect(
        try fixture.documents().map { Set($0.map(\.self)) } == before.map { Set($0.map(\.self)) })
    }
  }

  @Test("an update that changes nothing keeps nothing")
  func noChange() throws {
    try DataFixture.run { fixture in
      try fixture.insert(count: 20)
      let outcome = try fixture.run(fixture.update([:], ["$set": ["s": "x"]]))
      #expect(outcome.matched == 20)
      #expect(outcome.modified == 0)
      #expect(try fixture.records().isEmpty)
      #expect(try fixture.undo().restored == 0)
    }
  }
}
