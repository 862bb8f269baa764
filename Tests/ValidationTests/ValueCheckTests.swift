import BSON
import MongoDB
import TestSupport
import Testing

@testable import Validation

/// Rules about values that lie in arrays, in nested documents, or nowhere.
@Suite struct ValueCheckTests {
  /// The results of one rule on these documents, without what is checked anyway.
  private func check(
    _ rules: String, _ collections: [String: [Document]],
    prepare: (Database) throws -> Void = { _ in },
    options: CheckOptions = CheckOptions()
  ) throws -> [CheckResult] {
    var results: [CheckResult] = []
    try TestServer.run { server in
      try server.withDatabase { database in
        for (name, documents) in collections { _ = try database.insert(name, documents) }
        try prepare(database)
      }
      let rules = try RulesLoader().parse(rules, file: "rules.yaml")
      results = try Validator(
        server.pool, database: server.databaseName, phase: .before, rules: rules, options: options
      ).run(takesSnapshot: false).checks
    }
    return results
  }

  /// How many documents break a rule about a field of `a`.
  private func broken(_ rule: String, _ values: [Value?], _ field: String = "f") throws -> Int64 {
    let documents = values.enumerated().map { n, value -> Document in
      var document: Document = ["_id": .integer(n)]
      if let value { document.append(field, value) }
      return document
    }
    let ids = ["field-type", "field-value", "field-range"]
    return try check("fields: [ { collection: a, \(rule) } ]", ["a": documents])
      .filter { ids.contains($0.id) && $0.status != .passed }.reduce(0) { $0 + $1.findings }
  }

  @Test("every element of an array on the way to a field has its type")
  func types() throws {
    let values: [Value?] = [
      [["p": "x"], ["p": "y"]], [["p": "x"], ["p": 5]], [["p": "x"], [:]], [], nil, nil,
      ["p": "x"], ["p": 5], ["p": nil], "x", [["p": ["x"]]], [5, ["p": "x"]],
    ]
    // 5 twice, null once, and an array.
    #expect(try broken("field: f.p, type: string", values) == 4)
    #expect(try broken("field: f.p, type: [string, 'null', int]", values) == 1)
    #expect(try broken("field: f.p, type: [string, 'null', number, array]", values) == 0)
    let deep: [Value?] = [
      ["g": [["h": ["p": 1]], ["h": ["p": 2]]]], ["g": [["h": ["p": 1]], ["h": ["p": "2"]]]],
      [["g": ["h": [["p": 1.5]]]], ["g": ["h": [["p": true]]]]],
    ]
    #expect(try broken("field: f.g.h.p, type: number", deep) == 2)
    #expect(try broken("field: f, type: [array, string]", [[1], "x", 5]) == 1)
  }

  @Test("every element of an array is in the list")
  func lists() throws {
    let tags: [Value?] = [["good"], ["good", "bad"], "good", "bad", nil, [], ["bad"], nil]
    #expect(try broken("field: f, one_of: [good]", tags) == 4)
    let nested: [Value?] = [
      [["s": "a"], ["s": "b"]], [["s": "a"], ["s": "c"]], ["s": "c"], [["s": ["a", "c"]]],
      [["s": ["a", "b"]]],
    ]
    #expect(try broken("field: f.s, one_of: [a, b]", nested) == 3)
    #expect(try broken("field: f, one_of: [[1, 2], 3]", [[1, 2], [1], 3, [3, 3]]) == 1)
  }

  @Test("what shows a finding is written as mongosh reads it, and shows the same")
  func shell() throws {
    let values: Value = [
      .double(.nan), .double(-.infinity), .date(DateTime(milliseconds: 1_769_594_400_005)),
      .date(DateTime(milliseconds: -1)), .int64(.max), .int64(5), .int32(5), .minKey, "a\"b", .null,
      .binary(Binary(bytes: [1, 2, 3], subtype: 0)), .regex(RegularExpression(pattern: "a/b")),
    ]
    #expect(
      Words.find("a", ["f": ["$in": values]])
        == #"db.getCollection("a").find({"f":{"$in":[NaN,-Infinity,"#
        + #"ISODate("2026-01-28T10:00:00.005Z"),ISODate("1969-12-31T23:59:59.999Z"),"#
        + #"NumberLong("9223372036854775807"),5,5,MinKey(),"a\"b",null,BinData(0, "AQID"),"#
        + #"BSONRegExp("a/b", "")]}})"#)
    func command(_ rules: String, _ documents: [Document]) throws -> String {
      try check(rules, ["a": documents]).first { $0.status == .failed }?.command ?? ""
    }
    let range = try command("fields: [ { collection: a, field: f, minimum: 0 } ]", [["f": -1]])
    #expect(range.contains("NaN") && !range.contains("numberDouble"), "\(range)")
    let unique =
      "unique: [ { collection: a, fields: [f], collation: { locale: en, strength: 2 } } ]"
    let equal = try command(unique, [["f": "a"], ["f": "A"]])
    #expect(equal.hasSuffix(#"], {"collation":{"locale":"en","strength":2}})"#), "\(equal)")
    let nested = try command(
      "unique: [ { collection: a, fields: [s.n] } ]",
      [["s": [["n": 1], ["n": 2]]], ["s": [["n": 2]]]])
    #expect(nested.contains("$unwind"), "\(nested)")
  }

  @Test("a value that cannot be compared with the bound is not in range")
  func ranges() throws {
    #expect(try broken("field: f, minimum: 0", [1, -1, "5", nil, .null, [1, -1], [1, "x"]]) == 4)
    #expect(try broken("field: f.x, minimum: 0", [[["x": 1], ["x": "1"]], ["x": 1]]) == 1)
    // What has another type is told by its own check.
    let rule = "fields: [ { collection: a, field: f, type: int, minimum: 0 } ]"
    let results = try check(rule, ["a": [["f": 1], ["f": "5"]]])
    #expect(results.filter { $0.status == .failed }.map(\.id) == ["field-type"])
  }

  @Test(
    "a bound that can never be compared with the field's type is a mistake",
    arguments: [
      "type: number, minimum: '0'", "type: date, minimum: 2026-01-01", "type: [int], maximum: x",
      "minimum: 0, maximum: z",
    ])
  func bounds(_ rule: String) {
    let error = #expect(throws: ValidationError.self) {
      _ = try RulesLoader().parse(
        "fields:\n  - { collection: a, field: b, \(rule) }", file: "rules.yaml")
    }
    #expect(error?.line == 2 && error?.message.contains("imum`") == true)
  }

  @Test("a reference finds its target inside an array, with and without an index")
  func arrayTargets() throws {
    let products: [Document] = [
      ["_id": 1, "variants": [["sku": "a"], ["sku": "b"]]], ["_id": 2, "variants": [["sku": "c"]]],
      ["_id": 3, "variants": ["sku": "d"]], ["_id": 4],
    ]
    let lines = ["a", "b", "c", "d", "nope"].map { ["sku": .string($0)] as Document }
    let rule = "references: [ { from: lines.sku, to: products.variants.sku } ]"
    for hasIndex in [false, true] {
      let results = try check(rule, ["products": products, "lines": lines]) { database in
        guard hasIndex else { return }
        for (name, key) in [("products", "variants.sku"), ("lines", "sku")] {
          _ = try database.run([
            "createIndexes": .string(name),
            "indexes": [["key": .document([key: 1]), "name": "x"]],
          ])
        }
      }
      let orphans = results.first { $0.id == "orphaned-references" }
      #expect(orphans?.findings == 1, "\(String(describing: orphans))")
      #expect(orphans?.evidence.rows.first?.dropFirst().first == .value("nope"))
      #expect(!results.contains { $0.id == "reference-types" })
    }
  }

  @Test("a sparse unique index refuses two nulls, and not two missing fields")
  func sparse() throws {
    func surplus(_ documents: [Document], _ indexed: Bool) throws -> [CheckResult.Status] {
      try check(
        "unique: [ { collection: a, fields: x, sparse: true } ]", ["a": documents]
      ) { database in
        guard indexed else { return }
        _ = try database.run(["createIndexes": "a", "indexes": [["key": ["x": 1], "name": "x"]]])
      }.filter { $0.id == "duplicate-keys" }.map(\.status)
    }
    for indexed in [false, true] {
      let missing: [Document] = [["_id": 1], ["_id": 2], ["_id": 3, "x": nil]]
      #expect(try surplus(missing, indexed) == [.passed])
      #expect(try surplus(missing + [["_id": 4, "x": nil]], indexed) == [.failed])
    }
  }

  @Test("duplicates under the collection's own collation are found, whatever index there is")
  func collated() throws {
    var statuses: [CheckResult.Status] = []
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.run(["create": "a", "collation": ["locale": "en", "strength": 2]])
        _ = try database.insert("a", [["_id": 1, "x": "A"], ["_id": 2, "x": "a"]])
        let simple: Document = ["locale": "simple"]
        _ = try database.run([
          "createIndexes": "a",
          "indexes": [["key": ["x": 1], "name": "x", "collation": .document(simple)]],
        ])
      }
      var expectations = Expectations()
      expectations.plannedIndexes = [
        .init("a", ["key": ["x": 1], "name": "u", "unique": true], source: "002")
      ]
      statuses = try Validator(
        server.pool, database: server.databaseName, phase: .before, expectations: expectations
      ).checkPlan().filter { $0.id == "duplicate-keys" }.map(\.status)
    }
    #expect(statuses == [.failed])
  }

  @Test("what a pipeline makes an _id of is a value, and is not shown")
  func redacted() throws {
    let documents: [Document] = [["_id": "k1", "email": "ada@example.com"]]
    func text(_ pipeline: String) throws -> String {
      let results = try check(
        "empty: [ { name: n, collection: a, pipeline: \(pipeline) } ]", ["a": documents])
      var report = Report(kind: .before, subject: "x", startedAt: 0, finishedAt: 1)
      report.checks = results.filter { $0.id == "unwanted-documents" }
      #expect(report.checks.map(\.status) == [.failed])
      return JSONReport(report).text + TerminalReport(report).text + HTMLReport(report).text
    }
    for pipeline in [
      "[ { $group: { _id: $email, n: { $sum: 1 } } } ]", "[ { $sortByCount: $email } ]",
      "[ { $project: { _id: $email } } ]", "[ { $set: { _id: $email } } ]",
      "[ { $addFields: { _id.x: $email } } ]", "[ { $replaceWith: { _id: $email } } ]",
      "[ { $match: {} }, { $group: { _id: { e: $email } } }, { $limit: 5 } ]",
    ] {
      #expect(!(try text(pipeline)).contains("ada@"), "\(pipeline)")
    }
    for pipeline in [
      "[ { $match: { email: { $exists: true } } } ]",
      "[ { $project: { email: 1 } }, { $limit: 1 } ]",
      "[ { $set: { n: 1 } } ]",
    ] {
      #expect(try text(pipeline).contains("k1"), "\(pipeline)")
    }
  }

  @Test("a pipeline that the time budget cuts off is skipped, not an error")
  func budget() throws {
    var options = CheckOptions()
    options.timeBudget = .milliseconds(800)
    let slow = """
      empty:
        - name: slow
          collection: a
          pipeline:
            - { $match: { $expr: { $function: { lang: js, args: [], body: 'function() { sleep(100); return false }' } } } }
        - { name: quick, collection: a, pipeline: [ { $match: { x: 1 } } ] }
      """
    let results = try check(
      slow, ["a": (0..<40).map { ["_id": .integer($0)] }], options: options
    ).filter { $0.id == "unwanted-documents" }
    #expect(results.map(\.status) == [.skipped, .skipped])
    #expect(results.allSatisfy { $0.message.contains("time budget") && $0.applies })
  }
}
