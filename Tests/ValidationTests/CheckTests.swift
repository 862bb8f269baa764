import BSON
import MongoDB
import TestSupport
import Testing

@testable import Validation

@Suite struct CheckTests {
  private func context(_ database: Database, slice: Int64 = 50_000) throws -> CheckContext {
    var options = CheckOptions()
    options.sliceSize = slice
    return try CheckContext(database, .before, options)
  }

  private func references(_ from: String, _ to: String) -> ReferenceRule {
    ReferenceRule(
      header: RuleHeader(), from: FieldPath("a", from), to: FieldPath("b", to), isNullable: false,
      filter: nil)
  }

  @Test("merged index scans and $lookup find the same orphans, whatever the types")
  func methods() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let targets: [Value] = [
          1, .double(2), "x", .objectID(.generate(seconds: 1)), .date(DateTime(milliseconds: 5)),
          .bool(true), ["k": 1], .int64(1 << 40),
        ]
        let others = (0..<16).map { Value.string("other \($0)") }
        _ = try database.insert("b", (targets + others).map { ["_id": $0] })
        let references: [Value?] =
          targets.map { $0 } + [
            .double(1), .int32(2), .null, nil, "y", "y", 3, .objectID(.generate(seconds: 2)),
            ["k": 2], .bool(false), .maxKey, .minKey,
          ]
        let documents = references.enumerated().map { n, value -> Document in
          var document: Document = ["_id": .integer(n)]
          if let value { document.append("r", value) }
          return document
        }
        _ = try database.insert("a", documents)
        let plain = References(context: try context(database), rule: self.references("r", "_id"))
        let (slow, looked) = try plain.join()
        _ = try database.run(["createIndexes": "a", "indexes": [["key": ["r": 1], "name": "r_1"]]])
        let indexed = References(context: try context(database), rule: self.references("r", "_id"))
        let (fast, merged) = try indexed.join()
        #expect(slow == .lookup && fast == .merge)
        // Many documents for each target: from value to value.
        let more = (0..<40).map { n -> Document in
          [
            "_id": .integer(1000 + n),
            "r": n.isMultiple(of: 4) ? .regex(RegularExpression(pattern: "^")) : 1,
          ]
        }
        _ = try database.insert("a", more)
        let (skips, counted) = try References(
          context: try context(database), rule: self.references("r", "_id")
        ).join()
        #expect(skips == .distinct)
        #expect(counted.orphans == 18 && counted.nulls == 2)
        #expect(counted.samples.first { $0.value == "y" }?.count == 2)
        #expect(counted.samples.first { $0.value.type == .regex }?.count == 10)
        #expect(merged.orphans == 8 && looked.orphans == 8)
        #expect(merged.nulls == 2 && looked.nulls == 2)
        #expect(merged.lookedAt == Int64(documents.count))
        #expect(Set(merged.samples.map(\.value)) == Set(looked.samples.map(\.value)))
        #expect(merged.samples.first { $0.value == "y" }?.count == 2)
      }
    }
  }

  @Test("references nested in arrays, and between dotted fields with indexes")
  func nested() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.insert(
          "b", (0..<5).map { ["_id": .integer($0), "k": ["n": .integer($0 * 10)]] })
        _ = try database.insert(
          "a",
          [
            ["_id": 1, "list": [["r": 1], ["r": [2, 9]]], "o": ["r": 10]],
            ["_id": 2, "list": [], "o": ["r": 11]], ["_id": 3, "o": ["r": 40]],
          ])
        let lists = References(context: try context(database), rule: references("list.r", "_id"))
        #expect(try lists.join().1.orphans == 1)
        for (collection, key) in [("a", "o.r"), ("b", "k.n")] {
          let index: Document = ["key": [key: -1], "name": .string(key)]
          _ = try database.run([
            "createIndexes": .string(collection), "indexes": [.document(index)],
          ])
        }
        let (method, tally) = try References(
          context: try context(database), rule: references("o.r", "k.n")
        ).join()
        #expect(method == .merge)
        #expect(tally.orphans == 1 && tally.samples.first?.id == 2)
      }
    }
  }

  @Test("duplicates by index scan and by $group are the same; arrays count once in a document")
  func duplicates() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.insert(
          "a",
          [
            ["_id": 1, "x": 1, "t": ["p", "p"]], ["_id": 2, "x": .double(1), "t": ["q", "r"]],
            ["_id": 3, "t": ["r"]], ["_id": 4, "x": nil, "t": []], ["_id": 5, "x": 2],
          ])
        func rule(_ field: String, sparse: Bool = false) -> UniqueRule {
          UniqueRule(
            header: RuleHeader(), collection: "a", fields: [field], filter: nil, collation: nil,
            isSparse: sparse)
        }
        let slow = try Duplicates(context: try context(database), rule: rule("x")).search()
        #expect(slow.values == 2 && slow.surplus == 2 && !slow.isCovered)
        // r twice; null and the empty array are keys too, as null and undefined are for the index.
        let tags = try Duplicates(context: try context(database), rule: rule("t")).search()
        #expect(tags.samples.contains { $0.key["k0"] == "r" && $0.count == 2 })
        #expect(!tags.samples.contains { $0.key["k0"] == "p" })
        _ = try database.run(["createIndexes": "a", "indexes": [["key": ["x": 1], "name": "x_1"]]])
        let fast = try Duplicates(context: try context(database), rule: rule("x")).search()
        #expect(fast.values == 2 && fast.surplus == 2 && fast.isCovered)
        #expect(fast.samples.allSatisfy { $0.ids.count == 2 })
        let sparse = try Duplicates(context: try context(database), rule: rule("x", sparse: true))
          .search()
        #expect(sparse.values == 1)
      }
    }
  }

  @Test("a sliced search sees every type of _id, and MaxKey")
  func slices() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let ids: [Value] = [
          .minKey, .null, 1, .double(2.5), .int64(1 << 50), "a", "b", ["x": 1],
          .objectID(.generate(seconds: 3)), .bool(true), .date(DateTime(milliseconds: 1)),
          .timestamp(Timestamp(seconds: 1, increment: 1)), .maxKey,
        ]
        _ = try database.insert("a", ids.map { ["_id": $0, "bad": true] })
        for slice: Int64 in [1, 2, 5, 12, 100] {
          let found = try Search(context: try context(database, slice: slice), collection: "a")
            .run(["bad": true])
          #expect(found.count == Int64(ids.count), "slices of \(slice)")
          #expect(found.isComplete)
        }
        var options = CheckOptions()
        options.sliceSize = 2
        options.findingsLimit = 5
        let limited = try Search(
          context: try CheckContext(database, .before, options), collection: "a"
        ).run(["bad": true])
        #expect(limited.count == 5 && !limited.isComplete)
        #expect(limited.words == "at least 5 documents")
      }
    }
  }

  @Test("what does not fit the time budget is skipped, and says so")
  func budget() throws {
    try Shop.run { shop in
      let outcome = try shop.validate { $0.timeBudget = .zero }
      #expect(!outcome.checks.contains { $0.status == .passed })
      #expect(
        outcome.checks.contains { $0.status == .skipped && $0.message.contains("time budget") })
      #expect(outcome.snapshot?.collections.allSatisfy { $0.fingerprint == nil } == true)
    }
  }

  @Test("a cancelled run ends with its reason")
  func cancelled() throws {
    try Shop.run { shop in
      let error = #expect(throws: MongoError.self) {
        _ = try shop.validate { $0.cancellation.cancel(.stopped) }
      }
      #expect(error?.kind == .cancelled)
    }
  }

  @Test("a check only reads: the database is as it was, byte for byte")
  func readsOnly() throws {
    try Shop.run { shop in
      let first = try #require(try shop.validate().snapshot)
      _ = try shop.validate(.after, against: first)
      let second = try #require(try shop.validate().snapshot)
      #expect(first.collections.map(\.fingerprint) == second.collections.map(\.fingerprint))
      #expect(first.collections.map(\.name) == second.collections.map(\.name))
    }
  }

  @Test("a rule about a missing collection is not carried out, and no pass")
  func missing() throws {
    try TestServer.run { server in
      try server.withDatabase { database in _ = try database.insert("a", [["_id": 1]]) }
      let text = """
        references: [ { from: nope.x, to: a._id } ]
        unique: [ { collection: nope, fields: x } ]
        schemas: [ { collection: nope, validator: { x: 1 } } ]
        fields: [ { collection: nope, field: x, required: true } ]
        empty: [ { name: e, collection: nope, pipeline: [ { $match: {} } ] } ]
        queries: [ { name: q, collection: nope } ]
        """
      let rules = try RulesLoader().parse(text, file: "rules.yaml")
      let outcome = try Validator(
        server.pool, database: server.databaseName, phase: .before, rules: rules
      ).run(takesSnapshot: false)
      let errors = outcome.checks.filter { $0.status == .error }
      #expect(errors.count == 6)
      #expect(errors.allSatisfy { $0.message.contains("nope does not exist") })
    }
  }

  @Test(
    "checks run on a standalone server and on views and time-series",
    .enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"))
  func standalone() throws {
    try TestServer.run(.standalone) { server in
      try server.withDatabase { database in
        _ = try database.run([
          "create": "weather", "timeseries": ["timeField": "t", "metaField": "m"],
        ])
        let time = DateTime(milliseconds: 1_760_000_000_000)
        _ = try database.insert("weather", [["t": .date(time), "m": 1, "v": 2]])
        _ = try database.run(["create": "v", "viewOn": "weather", "pipeline": []])
      }
      let rules = try RulesLoader().parse(
        "fields: [ { collection: weather, field: v, type: int } ]\n"
          + "unique: [ { collection: v, fields: v } ]", file: "rules.yaml")
      let outcome = try Validator(
        server.pool, database: server.databaseName, phase: .after, rules: rules
      ).run(takesSnapshot: true)
      #expect(outcome.findings == [])
      let weather = try #require(outcome.snapshot?.collections.first { $0.name == "weather" })
      #expect(weather.kind == "timeseries" && weather.count == 1)
    }
  }
}
