import BSON
import MongoDB
import TestSupport
import Testing

@testable import Validation

/// Indexes that are declared or planned, beside those that are there.
@Suite struct IndexCheckTests {
  private func build(_ database: Database, _ collection: String, _ specs: [Document]) throws {
    _ = try database.run([
      "createIndexes": .string(collection), "indexes": .array(specs.map { .document($0) }),
    ])
  }

  private func planned(_ server: TestServer, _ specs: Document...) throws -> [CheckResult] {
    var expectations = Expectations()
    expectations.plannedIndexes = specs.map { .init("a", $0, source: "009") }
    return try Validator(
      server.pool, database: server.databaseName, phase: .before, expectations: expectations
    ).checkPlan()
  }

  private func statuses(_ results: [CheckResult], _ id: String) -> [CheckResult.Status] {
    results.filter { $0.id == id }.map(\.status)
  }

  @Test("an index without a collation has that of its collection, in rules and declarations")
  func inherited() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.run(["create": "a", "collation": ["locale": "en", "strength": 2]])
        let simple: Document = ["locale": "simple"]
        try build(
          database, "a",
          [
            ["key": ["e": 1], "name": "e_1"],
            ["key": ["f": 1], "name": "f_1", "collation": .document(simple)],
          ])
      }
      func findings(_ field: String, _ collation: Document? = nil) throws -> [String] {
        var spec: Document = ["key": [field: 1], "name": .string("\(field)_1")]
        if let collation { spec.append("collation", .document(collation)) }
        var expectations = Expectations()
        expectations.indexes = [.init("a", spec, source: "001")]
        let said = collation == nil ? "" : ", collation: { locale: simple }"
        let rules = try RulesLoader().parse(
          "indexes: [ { collection: a, key: { \(field): 1 }\(said) } ]", file: "rules.yaml")
        return try Validator(
          server.pool, database: server.databaseName, phase: .after, rules: rules,
          expectations: expectations
        ).run(takesSnapshot: false).findings.filter { $0.contains("index") }
      }
      let options = ["declared-index-options", "index-options"]
      #expect(try findings("e") == [])
      #expect(try findings("f") == options)
      #expect(try findings("e", ["locale": "simple"]) == options)
      #expect(try findings("f", ["locale": "simple"]) == [])
    }
  }

  /// An option of a planned index beside the plain one that is there.
  struct Beside: Sendable, CustomTestStringConvertible {
    var name: String
    var options: Document

    var testDescription: String { "\(name) \(options.extendedJSON(.relaxed))" }

    static let all = [
      Beside(name: "x", options: [:]), Beside(name: "x", options: ["unique": true]),
      Beside(name: "e_1", options: ["unique": true]), Beside(name: "x", options: ["sparse": true]),
      Beside(name: "x", options: ["expireAfterSeconds": 5]),
      Beside(name: "e_1", options: ["expireAfterSeconds": 5]),
      Beside(name: "x", options: ["partialFilterExpression": ["a": 1]]),
      Beside(name: "x", options: ["unique": true, "partialFilterExpression": ["a": 1]]),
      Beside(name: "e_1", options: ["partialFilterExpression": ["a": 1]]),
      Beside(name: "x", options: ["collation": ["locale": "fr"]]),
      Beside(name: "x", options: ["unique": true, "collation": ["locale": "fr"]]),
      Beside(name: "e_1", options: ["unique": true, "collation": ["locale": "fr"]]),
      Beside(name: "x", options: ["collation": ["locale": "simple"]]),
      Beside(name: "x", options: ["collation": ["locale": "en", "strength": 2]]),
      Beside(name: "e_1", options: ["collation": ["locale": "en", "strength": 2]]),
    ]
  }

  @Test(
    "a planned index conflicts where the server refuses it, and nowhere else",
    arguments: Beside.all, [false, true])
  func conflicts(_ beside: Beside, _ hasCollation: Bool) throws {
    try TestServer.run { server in
      var create: Document = ["create": "a"]
      if hasCollation { create.append("collation", ["locale": "en", "strength": 2]) }
      var spec: Document = ["key": ["e": 1], "name": .string(beside.name)]
      spec.append(contentsOf: beside.options)
      try server.withDatabase { database in
        _ = try database.run(create)
        try build(database, "a", [["key": ["e": 1], "name": "e_1"]])
      }
      let said = statuses(try planned(server, spec), "index-conflict")
      try server.withDatabase { database in
        do {
          try build(database, "a", [spec])
          #expect(said == [.passed])
        } catch let error as MongoError {
          #expect([85, 86].contains(error.code))
          #expect(said == [.failed])
        }
      }
    }
  }

  @Test("the limit of 64 counts what else is planned, and not what is there already")
  func limit() throws {
    try TestServer.run { server in
      func spec(_ number: Int) -> Document {
        ["key": ["f\(number)": 1], "name": .string("f\(number)_1")]
      }
      try server.withDatabase { database in try build(database, "a", (1...61).map(spec)) }
      #expect(
        statuses(try planned(server, spec(62), spec(63), spec(64)), "index-limit")
          == [.passed, .passed, .failed])
      try server.withDatabase { database in try build(database, "a", [spec(62), spec(63)]) }
      #expect(
        statuses(try planned(server, spec(7), spec(64)), "index-limit") == [.passed, .failed])
    }
  }

  @Test("a TTL index with a partial filter deletes only what the filter matches")
  func partialTTL() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let old = Value.date(DateTime(milliseconds: 0))
        _ = try database.insert(
          "a", (0..<10).map { ["_id": .integer($0), "at": old, "done": .bool($0 < 3)] })
      }
      let ttl: Document = [
        "key": ["at": 1], "name": "at_1", "expireAfterSeconds": 60,
        "partialFilterExpression": ["done": true],
      ]
      let blast = try planned(server, ttl).first { $0.id == "ttl-blast" }
      #expect(blast?.findings == 3)
      // As a file may say it; the server would refuse it.
      for seconds: Double in [-.infinity, -1e300, .nan, 1e300] {
        var odd = ttl
        odd["expireAfterSeconds"] = .double(seconds)
        #expect(statuses(try planned(server, odd), "ttl-blast").count == 1)
      }
    }
  }
}
