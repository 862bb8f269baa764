import Testing

@testable import Commands

private func parse(
  _ text: String, _ environment: [String: String] = [:]
) throws(CommandError) -> Configuration {
  try ConfigurationFile(path: "/srv/shop/martlet.yaml", environment: environment).parse(text)
}

@Suite("martlet.yaml")
struct ConfigurationTests {
  @Test("the example of the design is understood whole")
  func example() throws {
    let configuration = try parse(
      """
      uri: ${MARTLET_URI:-mongodb://127.0.0.1:27017}
      database: kiranast
      environment: production
      migrations: { directory: migrations, collection: migrations, backup: auto }
      backup:
        store: ./backups
        compression: gzip
        level: 6
        encrypt: { recipients: [age1abc] }
        keep: { within: 30d, last: 4, daily: 7, weekly: 4, monthly: 12 }
        files: [config]
        commands:
          - { name: postgres, dump: "pg_dump -Fc shop", restore: "pg_restore -d shop" }
      oplog: { slice: 60s }
      validation: { rules: validation/rules.yaml }
      window: { stop: [a], start: [b, c], health: [d], on_failure: restore, max_runtime: 1h30m }
      notify: { email: ops@example.com, webhook: https://example.com, metrics: /var/m.prom }
      """)
    #expect(configuration.uri == "mongodb://127.0.0.1:27017")
    #expect(configuration.environment == .production)
    #expect(configuration.migrations.directory == "/srv/shop/migrations")
    #expect(configuration.migrations.backup == .auto)
    #expect(configuration.backup.store == "/srv/shop/backups")
    #expect(configuration.backup.keep.within == .seconds(30 * 86_400))
    #expect(configuration.backup.keep.monthly == 12)
    #expect(configuration.backup.commands.first?.restore == "pg_restore -d shop")
    #expect(configuration.backup.files == ["/srv/shop/config"])
    #expect(configuration.oplog.slice == .seconds(60))
    #expect(configuration.window.start == ["b", "c"])
    #expect(configuration.window.onFailure == .restore)
    #expect(configuration.window.maxRuntime == .seconds(5400))
    #expect(configuration.notify.metrics == "/var/m.prom")
  }

  @Test("an empty file says nothing", arguments: ["", "# nothing\n", "backup:\n", "---\n"])
  func empty(text: String) throws {
    #expect(try parse(text) == Configuration())
  }

  struct Mistake: Sendable {
    var text: String
    var line: Int
    var column: Int
    var says: String
    var hint: String? = nil
  }

  @Test(
    "a mistake is refused with line and column",
    arguments: [
      Mistake(
        text: "uri: x\ndatabse: y", line: 2, column: 1, says: "unknown key \"databse\"",
        hint: "did you mean database?"),
      Mistake(
        text: "backup:\n  keep: { dayly: 7 }", line: 2, column: 11,
        says: "unknown key \"dayly\" in backup.keep", hint: "did you mean daily?"),
      Mistake(
        text: "xyzzy: 1", line: 1, column: 1, says: "unknown key \"xyzzy\"", hint: "known: uri"),
      Mistake(
        text: "database: [a]", line: 1, column: 11, says: "database must be a text, not a list"),
      Mistake(text: "database:", line: 1, column: 10, says: "database must be a text, not nothing"),
      Mistake(text: "migrations: no", line: 1, column: 13, says: "migrations must be a mapping"),
      Mistake(
        text: "backup: { level: 11 }", line: 1, column: 18,
        says: "backup.level must be a whole number from 1 to 9"),
      Mistake(
        text: "oplog: { slice: 5 parsecs }", line: 1, column: 17, says: "oplog.slice must be a time"
      ),
      Mistake(
        text: "environment: prodction", line: 1, column: 14, says: "environment must be one of",
        hint: "did you mean production?"),
      Mistake(text: "a: b\n\tc: d", line: 2, column: 1, says: "tab character"),
      Mistake(text: "uri: a\nuri: b", line: 1, column: 1, says: "written twice: uri"),
      Mistake(
        text: "backup:\n  commands:\n    - { dump: x }", line: 3, column: 7, says: "needs a name"),
      Mistake(
        text: "backup: { encrypt: { recipients: [] } }", line: 1, column: 20,
        says: "backup.encrypt names no recipients", hint: "leave encrypt out"),
      Mistake(
        text: "backup:\n  encrypt:\n  level: 3", line: 2, column: 11,
        says: "backup.encrypt names no recipients"),
      Mistake(text: "uri: ${NOT_SET}", line: 1, column: 6, says: "NOT_SET is not set"),
      Mistake(text: "- a", line: 1, column: 1, says: "the file must be a mapping, not a list"),
    ])
  func mistakes(mistake: Mistake) throws {
    let error = try #require(throws: CommandError.self) { try parse(mistake.text) }
    #expect(error.code == .configuration)
    #expect(error.message.contains(mistake.says))
    #expect(error.location?.line == mistake.line)
    #expect(error.location?.column == mistake.column)
    if let hint = mistake.hint { #expect(error.hint?.contains(hint) == true) }
    #expect(ErrorReport(error).status == .usage)
  }

  @Test(
    "variables are replaced as the shell would",
    arguments: [
      ("${A}", "1"), ("x${A}y", "x1y"), ("${A:-d}", "1"), ("${EMPTY:-d}", "d"), ("${EMPTY}", ""),
      ("${NONE:-a:-b}", "a:-b"), ("${NONE:-}", ""), ("$${A}", "${A}"), ("$A", "$A"), ("5$", "5$"),
    ])
  func replacement(text: String, expected: String) throws {
    #expect(
      try EnvironmentReplacement.replace(text, from: ["A": "1", "EMPTY": ""]) == expected)
  }

  @Test("a broken variable is refused", arguments: ["${", "${}", "${1A}", "${A-b}", "${A:b}"])
  func brokenVariables(text: String) {
    #expect(throws: CommandError.self) {
      try EnvironmentReplacement.replace(text, from: ["A": "1"])
    }
  }

  @Test("a variable cannot add keys to the file")
  func injection() throws {
    let configuration = try parse("database: ${DB}", ["DB": "shop\nenvironment: development"])
    #expect(configuration.environment == nil)
  }

  @Test(
    "times are read",
    arguments: [
      ("500ms", 0.5), ("60s", 60), ("5m", 300), ("2h", 7200), ("30d", 2_592_000), ("1h30m", 5400),
      ("", nil), ("5", nil), ("m5", nil), ("-5s", nil), ("5 s", nil), ("99999999999999999w", nil),
    ] as [(String, Double?)])
  func durations(text: String, seconds: Double?) {
    #expect(Quantity.duration(text)?.seconds == seconds)
  }

  @Test(
    "sizes are read",
    arguments: [
      ("512", 512), ("64k", 64_000), ("100MB", 100_000_000), ("1GiB", 1 << 30), ("2 tib", 1 << 41),
      ("x", nil), ("", nil), ("1.5g", nil), ("99999999999t", nil),
    ] as [(String, Int64?)])
  func sizes(text: String, bytes: Int64?) {
    #expect(Quantity.size(text) == bytes)
  }
}
