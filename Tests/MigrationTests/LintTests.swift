import BSON
import Migration
import Testing

@Suite("Lint")
struct LintTests {
  private static func lint(_ texts: [String], server: Release? = nil) throws -> [Finding] {
    let migrations = try texts.enumerated().map { index, text in
      try MigrationLoader.parse(text, file: "\(index + 1)_a.yaml")
    }
    return Lint.lint(migrations, server: server, database: "shop")
  }

  private static let things = "{ create: t }"
  private static func indexes(_ specs: String, on name: String = "t") -> String {
    "up: [{ create: t }, { createIndexes: \(name), indexes: [\(specs)] }]"
  }

  /// Code, what it finds, and a near miss that it must not find.
  static let table: [(code: String, bad: [String], good: String)] = [
    (
      "ML001", [indexes("{ key: { a: 1 } }, { key: { a: 1 }, expireAfterSeconds: 9 }")],
      indexes("{ key: { a: 1 } }, { key: { a: 1 }, name: x, collation: { locale: de } }")
    ),
    (
      "ML001", [indexes("{ key: { a: 1 } }, { key: { a: 1 }, name: other }")],
      indexes("{ key: { a: 1 } }, { key: { a: 1 }, name: a_1 }")
    ),
    (
      "ML001", [indexes("{ key: { a: 1 }, name: n }, { key: { b: 1 }, name: n }")],
      indexes("{ key: { a: 1 }, name: n }, { key: { b: 1 }, name: m }")
    ),
    (
      "ML001",
      [
        indexes("{ key: { a: 1 } }"),
        "up: [{ createIndexes: t, indexes: [{ key: { a: 1 }, expireAfterSeconds: 9 }] }]",
      ],
      "up: [{ createIndexes: t, indexes: [{ key: { a: 1 } }] }, { dropIndexes: t, index: a_1 }, { createIndexes: t, indexes: [{ key: { a: 1 }, hidden: true }] }]"
    ),
    (
      "ML002", ["up: [{ update: t, updates: [{ q: {}, u: { $set: { a: 1 } }, multi: true }] }]"],
      "up: [{ update: t, updates: [{ q: { a: { $exists: false } }, u: { $set: { a: 1 } }, multi: true }] }]"
    ),
    (
      "ML002",
      [
        "up: [{ update: t, updates: [{ q: { a: { $exists: false } }, u: { $set: { a: 1, b: 2 } }, multi: true }] }]"
      ],
      "up: [{ update: t, updates: [{ q: { $or: [{ a: old }, { a: older }] }, u: { $set: { a: new } }, multi: true }] }]"
    ),
    (
      "ML003", ["up: [{ update: t, updates: [{ q: {}, u: { $unset: { a: 1 } }, multi: true }] }]"],
      "up: [{ update: t, updates: [{ q: { a: { $exists: true } }, u: { $unset: { a: 1 } }, multi: true }] }]"
    ),
    (
      "ML004", ["up: [{ createIndexes: t, indexes: [{ key: { a: 1 }, unique: true }] }]"],
      indexes("{ key: { a: 1 }, unique: true }")
    ),
    ("ML005", ["up: [{ drop: t }]"], "up: [{ renameCollection: t, to: u }]"),
    ("ML006", ["up: [{ dropDatabase: 1 }]"], "up: [{ create: t }]"),
    ("ML007", ["up: [{ dropIndexes: t, index: \"*\" }]"], "up: [{ dropIndexes: t, index: [a_1] }]"),
    (
      "ML008", [indexes("{ key: { 2fa: true } }")],
      indexes("{ key: { 2fa: 1, l: text, h: hashed, g: 2dsphere } }")
    ),
    ("ML008", [indexes("{ key: name }")], indexes("{ key: { name: -1.0 } }")),
    ("ML008", [indexes("{ key: { a: 0 } }")], indexes("{ key: { a: 1 } }")),
    ("ML008", [indexes("{ key: { a: ascending } }")], indexes("{ key: { $**: 1 } }")),
    (
      "ML009", [indexes("{ key: { a: 1, b: 1 }, expireAfterSeconds: 9 }")],
      indexes("{ key: { a: 1 }, expireAfterSeconds: 0 }")
    ),
    (
      "ML009", [indexes("{ key: { _id: 1 }, expireAfterSeconds: 9 }")],
      indexes("{ key: { a: -1 }, expireAfterSeconds: 9 }")
    ),
    (
      "ML010", [indexes("{ key: { a: 1 }, expireAfterSeconds: -1 }")],
      indexes("{ key: { a: 1 }, expireAfterSeconds: 2147483647 }")
    ),
    (
      "ML010", ["up: [{ collMod: t, index: { name: a_1, expireAfterSeconds: 3000000000 } }]"],
      "up: [{ collMod: t, index: { name: a_1, expireAfterSeconds: 3 } }]"
    ),
    (
      "ML011", ["up: [{ create: t, createIndexes: t, indexes: [] }]"],
      "up: [{ findAndModify: t, update: { $set: { a: 1 } } }]"
    ),
    ("ML012", ["up: [{ creat: t }]"], "up: [{ createUser: u }]"),
    (
      "ML013", ["up: [{ create: t }]\ndown: [{ drop: other }]"],
      "up: [{ create: t }]\ndown: [{ drop: t }]"
    ),
    (
      "ML013",
      [
        "up: [{ createIndexes: t, indexes: [{ key: { a: 1 } }] }]\ndown: [{ dropIndexes: t, index: b_1 }]"
      ],
      "up: [{ createIndexes: t, indexes: [{ key: { a: 1 } }] }]\ndown: [{ dropIndexes: t, index: { a: 1 } }]"
    ),
    (
      "ML013",
      [
        "up: [{ update: t, updates: [{ q: { a: 1 }, u: { $set: { a: 2, b: 3 } }, multi: true }] }]\ndown: [{ update: t, updates: [{ q: { a: 2 }, u: { $unset: { a: 1 } }, multi: true }] }]"
      ],
      "up: [{ update: t, updates: [{ q: { a: 1 }, u: { $set: { a: 2 } }, multi: true }] }]\ndown: [{ update: t, updates: [{ q: { a: 2 }, u: { $set: { a: 1 } }, multi: true }] }]"
    ),
    (
      "ML013", ["up: [{ insert: t, documents: [{ a: 1 }] }]\ndown: [{ drop: x }]"],
      "up: [{ insert: t, documents: [{ a: 1 }] }]\ndown: [{ delete: t, deletes: [{ q: { a: 1 }, limit: 0 }] }]"
    ),
    (
      "ML013", ["up: [{ renameCollection: t, to: u }]\ndown: [{ renameCollection: t, to: u }]"],
      "up: [{ renameCollection: t, to: u }]\ndown: [{ renameCollection: u, to: t }]"
    ),
    (
      "ML013", ["up: [{ drop: t }]\ndown: [{ create: u }]"],
      "up: [{ drop: t }]\ndown: [{ create: t }]"
    ),
    (
      "ML013", ["up: [{ dropIndexes: t, index: a_1 }]\ndown: [{ drop: u }]"],
      "up: [{ dropIndexes: t, index: a_1 }]\ndown: [{ createIndexes: t, indexes: [{ key: { a: 1 } }] }]"
    ),
    (
      "ML013", ["up: [{ collMod: t, validationLevel: \"off\" }]\ndown: [{ drop: u }]"],
      "up: [{ collMod: t, validationLevel: \"off\" }]\ndown: [{ collMod: t, validationLevel: strict }]"
    ),
    ("ML014", ["up: [{ create: t }]\ndown: irreversible"], "up: [{ create: t }]"),
    ("ML014", ["up: [{ convertToCapped: t, size: 1 }]"], "up: [{ drop: t }]"),
    (
      "ML014",
      [
        "up: [{ update: t, updates: [{ q: { a: 1 }, u: { $set: { a: 2 } }, multi: true }], martlet: { undo: none } }]"
      ],
      "up: [{ update: t, updates: [{ q: { a: 1 }, u: { $set: { a: 2 } }, multi: true }] }]"
    ),
    (
      "ML015", ["up: [{ aggregate: t, pipeline: [{ $merge: u }], cursor: {} }]"],
      "up: [{ create: t }]"
    ),
    (
      "ML016", ["up: [{ createIndexes: t, indexes: [{ key: { a: 1 } }] }]\ntransaction: required"],
      indexes("{ key: { a: 1 } }") + "\ntransaction: required"
    ),
    (
      "ML016",
      [
        "up: [{ create: t }, { insert: t, documents: [{ a: 1 }] }, { createIndexes: t, indexes: [{ key: { a: 1 } }] }]\ntransaction: required"
      ],
      "up: [{ create: t }, { insert: t, documents: [{ a: 1 }] }, { createIndexes: t, indexes: [{ key: { a: 1 } }] }]"
    ),
    (
      "ML016", ["up: [{ create: v, viewOn: t }]\ntransaction: required"],
      "up: [{ create: v }]\ntransaction: required"
    ),
    (
      "ML016", ["up: [{ collMod: t, validationLevel: \"off\" }]\ntransaction: required"],
      "up: [{ update: t, updates: [{ q: { _id: 1 }, u: {} }] }]\ntransaction: required"
    ),
    (
      "ML017", ["up: [{ renameCollection: t, to: u, dropTarget: true }]"],
      "up: [{ renameCollection: t, to: u, dropTarget: false }]"
    ),
    (
      "ML018", ["up: [{ collMod: t, validator: { a: 1 } }]"],
      "up: [{ collMod: t, validator: { a: 1 }, validationAction: warn }]"
    ),
    (
      "ML018", ["up: [{ collMod: t, validator: { a: 1 }, validationAction: error }]"],
      "up: [{ create: t }, { collMod: t, validator: { a: 1 } }]"
    ),
    (
      "ML019",
      [
        "up: [{ delete: t, deletes: [{ q: { a: 1 }, limit: 0 }] }]\ndown: [{ insert: t, documents: [{ a: 1 }] }]"
      ],
      "up: [{ delete: t, deletes: [{ q: { a: 1 }, limit: 0 }] }]\ndown: [{ insert: t, documents: [{ _id: 5, a: 1 }] }]"
    ),
    ("ML020", [indexes("{ key: { _id: 1 } }")], indexes("{ key: { _id: hashed } }")),
    (
      "ML021", [indexes("{ key: { a: 1 } }, { key: { a: 1, b: 1 } }")],
      indexes("{ key: { a: 1 }, unique: true }, { key: { a: 1, b: 1 } }")
    ),
    (
      "ML022", [indexes("{ key: { a: 1 } }, { key: { a: -1 } }")],
      indexes("{ key: { a: 1, b: 1 } }, { key: { a: -1, b: 1 } }")
    ),
    ("ML023", [indexes("{ key: { a: 1 }, background: true }")], indexes("{ key: { a: 1 } }")),
    (
      "ML024", [indexes("{ key: { a: 1 }, name: \(String(repeating: "n", count: 128)) }")],
      indexes("{ key: { a: 1 }, name: \(String(repeating: "n", count: 127)) }")
    ),
    ("ML025", ["up: [{ drop: system.views }]"], "up: [{ drop: systems }]"),
    (
      "ML025", ["up: [{ aggregate: t, pipeline: [{ $out: { db: admin, coll: x } }] }]"],
      "up: [{ aggregate: t, pipeline: [{ $out: { db: shop, coll: x } }] }]"
    ),
    (
      "ML026", ["up: [{ delete: t, deletes: [{ q: {}, limit: 0 }] }]"],
      "up: [{ delete: t, deletes: [{ q: { a: 1 }, limit: 0 }] }]"
    ),
    (
      "ML027", ["up: [{ delete: t, deletes: [{ q: { a: 1 } }] }]"],
      "up: [{ delete: t, deletes: [{ q: { a: 1 }, limit: 1 }] }]"
    ),
    (
      "ML028", ["up: [{ update: t, updates: [{ q: { a: 1 }, u: { $set: { b: 1 } } }] }]"],
      "up: [{ update: t, updates: [{ q: { _id: 1 }, u: { $set: { b: 1 } } }] }]"
    ),
    (
      "ML029",
      [
        "up: [{ insert: t, documents: [\(Array(repeating: "{ a: 1 }", count: 1_001).joined(separator: ","))] }]"
      ], "up: [{ insert: t, documents: [{ a: 1 }] }]"
    ),
    (
      "ML030", ["up: [{ insert: t, documents: [{ user: a, password: hunter2 }] }]"],
      "up: [{ insert: t, documents: [{ password: null, title: hunter2 }] }]"
    ),
    (
      "ML030", ["up: [{ insert: t, documents: [{ url: \"mongodb://a:b@host/x\" }] }]"],
      "up: [{ insert: t, documents: [{ url: \"https://host/a@b:c/x\" }] }]"
    ),
    (
      "ML031", ["up: [{ create: things }]\nexpect: { thing: 0 }"],
      "up: [{ create: things }]\nexpect: { things: 0 }"
    ),
    (
      "ML032", ["up: [{ insert: t, documents: [{ a.b: 1 }] }]"],
      "up: [{ insert: t, documents: [{ a: { b: 1 } }] }]"
    ),
    (
      "ML033", [indexes("{ key: { a: 1 }, uniqe: true }")],
      indexes("{ key: { a: 1 }, sparse: true }")
    ),
    (
      "ML034", ["up: [{ create: t }]", "up: [{ create: t }]"],
      "up: [{ create: t }, { drop: t }, { create: t }]"
    ),
    (
      "ML035", ["up: [{ create: t, timeseries: { timeField: a } }]\nrequires: { server: 4.4 }"],
      "up: [{ create: t, timeseries: { timeField: a } }]\nrequires: { server: 5.0 }"
    ),
    ("ML036", ["up: [{ count: t }]"], "up: [{ aggregate: t, pipeline: [{ $out: u }] }]"),
    (
      "ML037", ["up: [{ update: t, updates: [{ q: { a: 1 }, u: { b: 1 }, multi: true }] }]"],
      "up: [{ update: t, updates: [{ q: { _id: 1 }, u: { b: 1 } }] }]"
    ),
    (
      "ML038", ["up: [{ renameCollection: shop.old, to: other.moved }]"],
      "up: [{ renameCollection: shop.old, to: shop.other.moved }, { renameCollection: a.b, to: c.d }, { renameCollection: shop.e, to: f }]"
    ),
  ]

  @Test("every rule finds what it is for and leaves a near miss alone", arguments: table.indices)
  func rules(row: Int) throws {
    let (code, bad, good) = Self.table[row]
    let found = try Self.lint(bad).filter { $0.code == code }
    #expect(found.count == 1, "\(code) \(bad): \(found)")
    #expect(found.allSatisfy { !$0.why.isEmpty && $0.safer?.isEmpty == false }, "\(found)")
    let clean = try Self.lint([good]).filter { $0.code == code }
    #expect(clean.isEmpty, "\(code) \(good): \(clean)")
  }

  @Test("every rule is in the table, with a code of its own and a reason")
  func complete() {
    #expect(Set(Self.table.map(\.code)) == Set(LintRule.all.map(\.code)))
    #expect(Set(LintRule.all.map(\.code)).count == LintRule.all.count)
    #expect(LintRule.all.allSatisfy { !$0.title.isEmpty && !$0.why.isEmpty })
    #expect(LintRule.named("ML005")?.severity == .warning)
  }

  @Test("the reference audit log's impossible pair is an error, and one index is the safer form")
  func auditPair() throws {
    let found = try Self.lint([
      Self.indexes(
        "{ key: { timestamp: 1 } }, { key: { timestamp: -1 } }, "
          + "{ key: { timestamp: 1 }, expireAfterSeconds: 7776000 }")
    ])
    let conflict = try #require(found.first { $0.code == "ML001" })
    #expect(conflict.severity == .error)
    #expect(conflict.safer?.contains("expireAfterSeconds: 7776000") == true)
    #expect(found.contains { $0.code == "ML022" })
  }

  @Test("a file can accept rules, for itself alone")
  func suppression() throws {
    #expect(try Self.lint(["up: [{ drop: t }]\nlint: { allow: [ML005] }"]).isEmpty)
    #expect(
      try Self.lint(["up: [{ create: x }]\nlint: { allow: [ML005] }", "up: [{ drop: t }]"])
        .map(\.code) == ["ML005"])
  }

  @Test("the release decides what a second index on a key is")
  func releases() throws {
    let text = Self.indexes(
      "{ key: { a: 1 } }, { key: { a: 1 }, name: p, partialFilterExpression: { b: 1 } }")
    #expect(try Self.lint([text], server: Release(major: 6)).isEmpty)
    #expect(try Self.lint([text], server: Release(major: 4, minor: 4)).map(\.code) == ["ML001"])
  }

  @Test("a finding says where, and never holds a value")
  func place() throws {
    let found = try Self.lint([
      "up:\n  - create: t\n  - insert: t\n    documents: [{ api_key: \"topsecretvalue\" }]"
    ])
    let finding = try #require(found.first)
    #expect(finding.step == 1)
    #expect(finding.location == Location(file: "1_a.yaml", line: 3, column: 5))
    #expect(finding.message.contains("documents[0].api_key"))
    #expect(!"\(finding)".contains("topsecretvalue"))
  }

  @Test("an empty filter or a whole pair of golang-migrate does not stop lint")
  func empty() throws {
    let migration = try MigrationLoader.parse("[]", file: "1_a.up.json")
    #expect(Lint.lint([migration]).isEmpty)
  }
}
