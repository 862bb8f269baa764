import BSON
import Foundation
import Migration
import Testing

@Suite("Loading one file")
struct LoadingTests {
  private func parse(_ text: String, file: String = "001_a.yaml") throws -> Migration {
    try MigrationLoader.parse(text, file: file)
  }

  private func failure(_ text: String, file: String = "001_a.yaml") -> MigrationError? {
    do {
      _ = try MigrationLoader.parse(text, file: file)
      return nil
    } catch { return error }
  }

  @Test("steps keep their keys in order, and options of ours are taken out")
  func steps() throws {
    let migration = try parse(
      """
      description: Things
      transaction: never
      requires: { server: ">=4.4 <7.0", topology: [replicaSet, sharded] }
      expect: { things: +3, others: any }
      lint: { allow: [ML005] }
      up:
        - create: things
        - update: things
          updates: [{ q: {}, u: { $set: { a: 1 } }, multi: true }]
          martlet: { chunk: 500, parallel: 2, undo: document, pause: 2s, unless: { collection: x } }
        - ping: 1
      """)
    #expect(migration.name == "001_a")
    #expect(migration.id.number == "1")
    #expect(migration.up.map(\.name) == ["create", "update", "ping"])
    #expect(migration.up.map(\.target) == ["things", "things", nil])
    #expect(migration.up[1].command.keys == ["update", "updates"])
    #expect(
      migration.up[1].options
        == StepOptions(
          chunk: 500, parallel: 2, undo: .document, pause: 2_000,
          unless: .init(collection: "x")))
    #expect(migration.up[1].location == Location(file: "001_a.yaml", line: 8, column: 5))
    #expect(migration.transaction == .never)
    #expect(migration.requires.minimum == Release(major: 4, minor: 4))
    #expect(migration.requires.below == Release(major: 7))
    #expect(migration.requires.topologies == [.replicaSet, .sharded])
    #expect(migration.expect == ["things": 3, "others": "any"])
    #expect(migration.allowedFindings == ["ML005"])
    #expect(migration.down == .derived)
  }

  @Test(
    "plain scalars follow the core schema of YAML 1.2",
    arguments: [
      ("no", Value.string("no")), ("on", "on"), ("yes", "yes"), ("y", "y"),
      ("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("12:30", "12:30"), ("0o14", 12),
      ("014", 14), ("0x1F", 31), ("-7", -7), ("+3", 3), ("2147483648", .int64(2_147_483_648)),
      ("1.5", .double(1.5)), ("1.0", .double(1)), ("1e3", .double(1000)), (".5", .double(0.5)),
      (".", "."), ("1.2.3", "1.2.3"), ("0o9", "0o9"), ("0xg", "0xg"), ("-", "-"),
      (".inf", .double(.infinity)), ("-.Inf", .double(-.infinity)), (".nan", .double(.nan)),
      ("true", true), ("True", true), ("tRue", "tRue"), ("~", nil), ("null", nil), ("", nil),
      ("\"1\"", "1"), ("'true'", "true"), ("!!str 5", "5"), ("!!int \"5\"", 5),
      ("!!float 1", .double(1)), ("nan", "nan"), ("infinity", "infinity"),
    ] as [(String, Value)])
  func scalars(text: String, value: Value) throws {
    guard text != "-" else { return }
    let migration = try parse("up: [{ ping: 1 }, { insert: a, documents: [{ v: \(text) }] }]")
    let document = migration.up[1].command["documents"]?.arrayValue?.first?.documentValue
    #expect(document?["v"] == value, "\(text)")
  }

  @Test(
    "Extended JSON values are read in YAML and in JSON",
    arguments: [
      (
        "{ $oid: 5e1234567890123456789012 }",
        Value.objectID(.init(seconds: 0x5e12_3456, random: 0x78_9012_3456, counter: 0x78_9012))
      ),
      ("{ $numberLong: 5 }", .int64(5)), ("{ $numberLong: \"5\" }", .int64(5)),
      ("{ $numberDouble: \"1\" }", .double(1)), ("{ $numberInt: \"1\" }", .int32(1)),
      ("{ $date: 2026-01-31T12:00:00Z }", .date(.init(milliseconds: 1_769_860_800_000))),
      ("{ $date: { $numberLong: \"5\" } }", .date(.init(milliseconds: 5))),
      ("{ $timestamp: { t: 1, i: 2 } }", .timestamp(.init(seconds: 1, increment: 2))),
      ("{ $minKey: 1 }", .minKey), ("{ $maxKey: 1 }", .maxKey),
      ("{ $undefined: true }", .undefined),
      (
        "{ $binary: { base64: AQI=, subType: \"00\" } }",
        .binary(Binary(bytes: [1, 2]))
      ),
      (
        "{ $regularExpression: { pattern: \"a\\\\d\", options: i } }",
        .regex(.init(pattern: "a\\d", options: "i"))
      ),
      ("{ $regex: a }", ["$regex": "a"]), ("{ $date: now }", RunTime.marker),
    ] as [(String, Value)])
  func extendedJSON(text: String, value: Value) throws {
    let migration = try parse("up: [{ insert: a, documents: [{ v: \(text) }] }]")
    let document = migration.up[0].command["documents"]?.arrayValue?.first?.documentValue
    #expect(document?["v"] == value, "\(text)")
  }

  @Test("the run's start and missing ids are put in when a step is resolved")
  func resolving() throws {
    let step = try parse(
      "up: [{ insert: a, documents: [{ x: { $date: now } }, { _id: 1, l: [{ $date: now }] }] }]"
    ).up[0]
    #expect(step.usesNow)
    let now = DateTime(milliseconds: 7)
    let id = try #require(ObjectID("5e1234567890123456789012"))
    #expect(
      step.resolved(now: now, makeID: { id })["documents"]
        == [["_id": .objectID(id), "x": .date(now)], ["_id": 1, "l": [.date(now)]]])
    #expect(step.command(now: now)["documents"]?.arrayValue?.first == ["x": .date(now)])
  }

  @Test("JSON is the same migration as YAML")
  func json() throws {
    let yaml = try parse("up: [{ create: a, n: 1.0, e: \"\u{1F600}/\" }]\ndown: irreversible")
    let json = try parse(
      #"{"up": [{"create": "a", "n": 1.0, "e": "\uD83D\uDE00\/"}], "down": "irreversible"}"#,
      file: "001_a.json")
    #expect(yaml.checksum == json.checksum)
    #expect(json.source.format == .json)
  }

  @Test("only content changes the checksum")
  func checksum() throws {
    let text = "up:\n  - create: a\n    capped: true\n    size: 1\n"
    let same = [
      "# note\ndescription: x\nup: [{ \"create\": 'a', capped: true, size: 0x1 }]\n",
      text + "down: derived\ntransaction: auto\n", text + "lint: { allow: [ML001] }\n",
      text + "    martlet: { chunk: 5, pause: 1s }\n",
      text.replacing("\n", with: "\r\n"),
    ]
    let original = try parse(text).checksum
    // As pymongo's bson module and Python's hashlib make it of the same document.
    #expect(
      original == "v1:sha256:8298409798250c9e61164b082a647e0501069db4e0780b763cdb2659e1939e1a")
    for other in same { #expect(try parse(other).checksum == original, "\(other)") }
    let different = [
      "up: [{ create: a, size: 1, capped: true }]", "up: [{ create: a, capped: true, size: 1.0 }]",
      text + "down: irreversible", text + "transaction: never", text + "expect: { a: 1 }",
      text + "requires: { server: 5 }", text + "    martlet: { undo: none }\n",
    ]
    for other in different { #expect(try parse(other).checksum != original, "\(other)") }
  }

  /// Text, code, line, column, and a part of the message or the hint.
  static let broken: [(String, MigrationError.Code, Int, Int, String)] = [
    ("", .emptyFile, 1, 1, "empty"),
    ("# nothing\n", .emptyFile, 1, 1, "empty"),
    ("- create: a", .wrongType, 1, 1, "put the list under `up:`"),
    ("just text", .wrongType, 1, 1, "expected a mapping"),
    ("up:\n\t- create: a", .syntax, 2, 1, "tab"),
    ("up:\r\n\t- create: a\r\n", .syntax, 2, 1, "tab"),
    ("up: [", .syntax, 1, 6, "not valid YAML"),
    ("up:\n  - create: a: b", .syntax, 2, 14, "quoted"),
    ("up:\n  - create: @a", .syntax, 2, 13, "quote"),
    ("up:\n  - create: a\n---\nup: []", .multipleDocuments, 3, 1, "second"),
    ("up:\n  - create: a\nup: []", .duplicateKey, 1, 1, "`up`"),
    ("up:\n  - create: a\n    create: b", .duplicateKey, 2, 5, "`create`"),
    ("up:\n  - create: a\ndwon: []", .unknownKey, 3, 1, "did you mean `down`"),
    ("up:\n  - create: a\nzzz: 1", .unknownKey, 3, 1, "expected one of"),
    ("description: a", .missingKey, 1, 1, "`up:` is missing"),
    ("up: 5", .wrongType, 1, 5, "expected a list of steps, found an integer"),
    ("up: []", .invalidValue, 1, 5, "at least one"),
    (
      "up:\n  - drop users", .wrongType, 2, 5, "step 1: expected a database command, found a string"
    ),
    ("up:\n  - {}", .missingKey, 2, 5, "step 1"),
    ("up:\n  - martlet: {}", .missingKey, 2, 5, "found nothing"),
    ("up:\n  - create:", .wrongType, 2, 12, "expected the collection's name, found null"),
    ("up:\n  - create: 2024", .wrongType, 2, 13, "quote the name"),
    ("up:\n  - ping:", .wrongType, 2, 10, "found null"),
    ("up:\n  - $set: 1", .invalidValue, 2, 5, "not a command"),
    (
      "up:\n  - insert: a\n    documents: {}", .wrongType, 3, 16,
      "step 1, documents: expected a list"
    ),
    ("up:\n  - insert: a", .missingKey, 2, 5, "`documents:` is missing"),
    ("up:\n  - insert: a\n    documents: [1]", .wrongType, 3, 17, "documents[0]"),
    ("up:\n  - insert: a\n    documents: []", .invalidValue, 3, 16, "empty"),
    ("up:\n  - update: a\n    updates: [{ u: {} }]", .missingKey, 3, 15, "updates[0].q is missing"),
    ("up:\n  - update: a\n    updates: [{ q: 1, u: {} }]", .wrongType, 3, 20, "updates[0].q"),
    ("up:\n  - update: a\n    updates: [{ q: {}, u: 1 }]", .wrongType, 3, 27, "pipeline"),
    ("up:\n  - delete: a\n    deletes: [{ q: [] }]", .wrongType, 3, 20, "deletes[0].q"),
    ("up:\n  - renameCollection: a", .missingKey, 2, 5, "`to:`"),
    ("up:\n  - dropIndexes: a", .missingKey, 2, 5, "`index:`"),
    ("up:\n  - aggregate: a\n    pipeline: {}", .wrongType, 3, 15, "pipeline"),
    ("up:\n  - create: a\n    lsid: 1", .unknownKey, 3, 5, "driver"),
    ("up: [{ create: a }]\ndown: maybe", .wrongType, 2, 7, "irreversible"),
    ("up: [{ create: a }]\ndown: []", .invalidValue, 2, 7, "irreversible"),
    ("up: [{ create: a }]\ndown: [5]", .wrongType, 2, 8, "down, step 1"),
    ("up: [{ create: a }]\ntransaction: maybe", .invalidValue, 2, 14, "auto, required, never"),
    ("up: [{ create: a }]\ntransaction: true", .wrongType, 2, 14, "found a boolean"),
    ("up: [{ create: a }]\ndescription: [a]", .wrongType, 2, 14, "expected a string"),
    ("up: [{ create: a }]\nexpect: 5", .wrongType, 2, 9, "collection to change"),
    ("up: [{ create: a }]\nexpect: { a: some }", .wrongType, 2, 14, "expect.a"),
    ("up: [{ create: a }]\nexpect: { a: { mim: 1 } }", .unknownKey, 2, 16, "`min`"),
    ("up: [{ create: a }]\nrequires: 5", .wrongType, 2, 11, "mapping"),
    ("up: [{ create: a }]\nrequires: { server: new }", .invalidValue, 2, 21, "releases"),
    ("up: [{ create: a }]\nrequires: { topology: big }", .invalidValue, 2, 23, "replicaSet"),
    ("up: [{ create: a }]\nrequires: { os: x }", .unknownKey, 2, 13, "server, topology"),
    ("up: [{ create: a }]\nlint: { allow: [ML999] }", .invalidValue, 2, 17, "codes"),
    ("up: [{ create: a }]\nlint: { deny: [] }", .unknownKey, 2, 9, "allow"),
    ("up: [{ create: a, martlet: 5 }]", .wrongType, 1, 28, "martlet"),
    ("up: [{ create: a, martlet: { chunks: 5 } }]", .unknownKey, 1, 30, "`chunk`"),
    ("up: [{ create: a, martlet: { chunk: 5000 } }]", .invalidValue, 1, 37, "1 to 2000"),
    ("up: [{ create: a, martlet: { chunk: many } }]", .wrongType, 1, 37, "integer"),
    ("up: [{ create: a, martlet: { pause: 2h } }]", .invalidValue, 1, 37, "milliseconds"),
    ("up: [{ create: a, martlet: { undo: some } }]", .invalidValue, 1, 36, "document"),
    ("up: [{ create: a, martlet: { unless: x } }]", .wrongType, 1, 38, "collection"),
    ("up: [{ create: a, martlet: { unless: { index: x } } }]", .missingKey, 1, 38, "collection"),
    ("up: [{ create: !thing a }]", .unknownTag, 1, 16, "!thing"),
    ("up: [{ create: a, size: !!int x }]", .invalidValue, 1, 25, "!!int"),
    ("up: [{ create: a, size: 9223372036854775808 }]", .invalidValue, 1, 25, "64 bits"),
    ("up: [{ create: a, v: { $oid: x } }]", .invalidValue, 1, 22, "step 1: not a valid Extended"),
    ("up: [{ create: a, v: { $date: yesterday } }]", .invalidValue, 1, 22, "2026-01-31"),
    ("a: &a { create: x }\nup: [{ <<: *a }]", .unknownKey, 2, 8, "merge keys"),
    ("up: [{ create: a, ? [x] : 1 }]", .wrongType, 1, 21, "plain name"),
    ("up: *a", .syntax, 1, 5, "alias"),
    ("up: [{ create: a, \"b\\0\": 1 }]", .invalidValue, 1, 19, "NUL"),
  ]

  @Test("what is wrong is named with line, column and what was expected", arguments: broken)
  func errors(
    text: String, code: MigrationError.Code, line: Int, column: Int, part: String
  ) throws {
    let error = try #require(failure(text))
    #expect(error.code == code, "\(error)")
    #expect("\(error.line ?? 0):\(error.column ?? 0)" == "\(line):\(column)", "\(error)")
    #expect((error.message + (error.hint ?? "")).contains(part), "\(error)")
    #expect(error.file == "001_a.yaml")
  }

  @Test("all problems of a file are listed, not only the first")
  func many() throws {
    let error = try #require(failure("up:\n  - create: 5\n  - insert: a\nfoo: 1\nexpect: 3"))
    #expect(error.others.count == 3)
  }

  @Test(
    "JSON errors have their place too",
    arguments: [
      ("", .emptyFile, 1, 1), ("{\"up\": [}", .syntax, 1, 9), ("{\"up\" 1}", .syntax, 1, 7),
      ("{\n \"up\": 01}", .syntax, 2, 8), ("{'up': 1}", .syntax, 1, 2),
      ("{\"up\": 1, \"up\": 2}", .duplicateKey, 1, 11), ("{} {}", .multipleDocuments, 1, 4),
      ("{\"up\": \"a\n\"}", .syntax, 1, 10), ("{\"up\": \"\\uD800\"}", .syntax, 1, 15),
      ("{\"up\": nul}", .syntax, 1, 8), ("{\"up\": [1,]}", .syntax, 1, 11),
      ("{\"\u{e9}\": .5}", .syntax, 1, 7), ("{\"up\": \"\\x\"}", .syntax, 1, 11),
      ("{\"up\": \"a", .syntax, 1, 10), ("{\"up\": 9223372036854775808}", .invalidValue, 1, 8),
    ] as [(String, MigrationError.Code, Int, Int)])
  func jsonErrors(text: String, code: MigrationError.Code, line: Int, column: Int) throws {
    let error = try #require(failure(text, file: "001_a.json"))
    #expect(error.code == code, "\(error)")
    #expect("\(error.line ?? 0):\(error.column ?? 0)" == "\(line):\(column)", "\(error)")
  }

  @Test("aliases are expanded, but not without end, and depth is limited")
  func limits() throws {
    let migration = try parse("up: [&a { create: x }, *a]")
    #expect(migration.up.count == 2)
    var bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for (name, last) in zip("bcdefghi", "abcdefgh") {
      bomb +=
        "\(name): &\(name) [" + Array(repeating: "*\(last)", count: 10).joined(separator: ",")
        + "]\n"
    }
    #expect(failure(bomb)?.code == .tooLarge)
    let deep = "up: " + String(repeating: "[", count: 400) + String(repeating: "]", count: 400)
    #expect(failure(deep)?.code == .tooLarge)
    #expect(failure(deep.replacing("up: ", with: ""), file: "001_a.json")?.code == .tooLarge)
    let deeper = "up: " + String(repeating: "[", count: 100_000)
    #expect(failure(deeper) != nil)
    #expect(failure(String(repeating: "[", count: 100_000), file: "001_a.json")?.code == .tooLarge)
  }
}
