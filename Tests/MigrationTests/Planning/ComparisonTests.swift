import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// What the plan says of a definition, and what the server then does.
@Suite struct ComparisonTests {
  private static let options: [(name: String, options: Document)] = [
    ("plain", [:]), ("unique", ["unique": true]), ("sparse", ["sparse": true]),
    ("ttl", ["expireAfterSeconds": 100]), ("longer", ["expireAfterSeconds": 200.0]),
    ("partial", ["partialFilterExpression": ["b": 1, "c": true]]),
    ("partial otherwise", ["partialFilterExpression": ["c": ["$eq": true], "b": 1]]),
    ("french", ["collation": ["locale": "fr"]]),
    ("full french", ["collation": ["locale": "fr", "strength": 3, "backwards": false]]),
    ("loose french", ["collation": ["locale": "fr", "strength": 1]]),
    ("simple", ["collation": ["locale": "simple"]]),
    ("rare", ["unique": true, "sparse": true]),
    ("sparse ttl", ["sparse": true, "expireAfterSeconds": 100]),
  ]

  private static func spec(_ key: Document, _ name: String, _ options: Document = [:]) -> Document {
    Document(
      [("key", .document(key)), ("name", .string(name))] + options.map { ($0.key, $0.value) })
  }

  private static let pairs: [(Document, Document)] = [
    (spec(["t": "text"], "i"), spec(["t": "text", "b": "text"], "i")),
    (spec(["t": "text", "b": "text"], "i"), spec(["b": "text", "t": "text"], "i")),
    (spec(["t": "text"], "i"), spec(["t": "text"], "j")),
    (spec(["t": "text"], "i"), spec(["b": "text"], "j", ["unique": true])),
    (spec(["t": "text"], "i", ["weights": ["t": 5]]), spec(["t": "text"], "i")),
    (
      spec(["t": "text"], "i", ["weights": ["t": 5]]),
      spec(["t": "text"], "i", ["weights": ["t": 5.0]])
    ),
    (spec(["t": "text"], "i", ["default_language": "french"]), spec(["t": "text"], "i")),
    (spec(["t": "text"], "i"), spec(["t": "text"], "i", ["default_language": "english"])),
    (spec(["a": 1, "t": "text"], "i"), spec(["t": "text"], "i")),
    (spec(["a": 1, "t": "text"], "i"), spec(["a": 1, "t": "text"], "i")),
    (spec(["$**": 1], "i", ["wildcardProjection": ["a": 1]]), spec(["$**": 1], "i")),
    (spec(["$**": 1], "i", ["wildcardProjection": ["a": 1]]), spec(["$**": 1], "j")),
    (
      spec(["$**": 1], "i", ["wildcardProjection": ["a": 1]]),
      spec(["$**": 1], "i", ["wildcardProjection": ["a": 1]])
    ),
    (spec(["a": "2d"], "i", ["bits": 20]), spec(["a": "2d"], "i")),
    (spec(["a": "2d"], "i", ["bits": 20]), spec(["a": "2d"], "j")),
    (spec(["a": "2dsphere"], "i"), spec(["a": "2dsphere"], "i")),
    (spec(["a": "hashed"], "i"), spec(["a": "hashed"], "j")),
    (spec(["a": 1], "i"), spec(["a": 2], "j")),
    (spec(["a": 1], "i"), spec(["a": 2], "i")),
    (spec(["a": 1], "i"), spec(["a": 1.0], "i", ["background": true])),
    (spec(["a": 1], "i"), spec(["_id": 1], "j")),
    (spec(["a": 1], "i"), spec(["_id": 1], "_id_", ["unique": true])),
    (spec(["a": 1, "b": 1], "i"), spec(["b": 1, "a": 1], "j")),
  ]

  private static func same(_ names: [String]) -> [(Document, Document)] {
    names.flatMap { name in
      let first = options.first { $0.name == name }?.options ?? [:]
      return options.flatMap { other in
        ["i", "j"].map { (spec(["a": 1], "i", first), spec(["a": 1], $0, other.options)) }
      }
    }
  }

  @Test(arguments: [nil, ["locale": "fr"]] as [Document?])
  func `an index is missing, there or in the way exactly where the server says so`(
    collation: Document?
  ) throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let pairs =
          collation == nil
          ? Self.pairs + Self.same(["plain", "unique", "partial", "french"])
          : Self.same(["simple", "french"])
        for (first, second) in pairs {
          try database.drop("c")
          _ = try database.run(
            Document(
              [("create", "c")] + (collation.map { [("collation", Value.document($0))] } ?? [])))
          _ = try database.run(["createIndexes": "c", "indexes": [.document(first)]])
          let comparison = IndexComparison.compare(
            second, with: try database.listIndexes("c").map(\.spec),
            collation: try database.listCollections()[0].options["collation"]?.documentValue,
            release: Release(TestServer.release))
          let word =
            switch comparison {
            case .missing: "built"
            case .identical: "there"
            case .conflict: "refused"
            }
          #expect(try word == answer(database, second), "\(first) \(second)")
        }
      }
    }
  }

  private func answer(_ database: Database, _ spec: Document) throws -> String {
    do {
      let reply = try database.run(["createIndexes": "c", "indexes": [.document(spec)]])
      return reply["numIndexesBefore"] == reply["numIndexesAfter"] ? "there" : "built"
    } catch {
      guard error.code != 0 else { throw error }
      return "refused"
    }
  }

  @Test func `a second index over one key is built and taken back, the first stays`() throws {
    let files = [
      "001_x.yaml": """
      up:
        - createIndexes: c
          indexes: [ { key: { a: 1 }, name: strict, collation: { locale: fr, strength: 1 } } ]
      """
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.database {
        _ = try $0.run([
          "createIndexes": "c",
          "indexes": [["key": ["a": 1], "name": "french", "collation": ["locale": "fr"]]],
        ])
      }
      let before = try fixture.picture()
      _ = try fixture.migrator().up()
      #expect(try fixture.database { try $0.listIndexes("c").count } == 3)
      _ = try fixture.migrator().down(.all)
      #expect(try fixture.picture() == before)
    }
  }

  @Test(arguments: [
    ("{ create: plain }", nil), ("{ create: plain, capped: false }", nil),
    ("{ create: plain, capped: true, size: 4096 }", "capped, size"),
    ("{ create: capped }", "capped, size"), ("{ create: capped, capped: true, size: 4000 }", nil),
    ("{ create: view }", "is a view"), ("{ create: view, viewOn: plain }", nil),
    ("{ create: view, viewOn: capped }", "viewOn"),
    ("{ create: plain, viewOn: capped }", "is a collection"),
    ("{ create: checked }", "validator"), ("{ create: checked, validator: { a: 1 } }", nil),
    ("{ create: french, collation: { locale: fr } }", "collation"),
    ("{ create: french, collation: { locale: fr, strength: 1 } }", nil),
    ("{ create: french }", "collation"), ("{ create: plain, collation: { locale: simple } }", nil),
  ])
  func `a collection that is there is as asked, or what differs is named`(
    _ step: String, _ differing: String?
  ) throws {
    try EngineFixture.run(["001_x.yaml": "up: [ \(step) ]"]) { fixture in
      try fixture.database { database in
        let commands: [Document] = [
          ["create": "plain"], ["create": "capped", "capped": true, "size": 4096],
          ["create": "view", "viewOn": "plain"], ["create": "checked", "validator": ["a": 1]],
          ["create": "french", "collation": ["locale": "fr", "strength": 1]],
        ]
        for command in commands { _ = try database.run(command) }
      }
      let plan = try fixture.migrator().planUp()
      if let differing {
        #expect(plan.conflicts.count == 1)
        #expect(plan.conflicts.first?.message.contains(differing) == true)
      } else {
        #expect(plan.conflicts.isEmpty)
        #expect(plan.migrations[0].steps[0].effect != .change)
      }
    }
  }
}
