import ArgumentParser
import Migration

/// `martlet migrate lint`: looks for dangerous steps without a server.
struct LintCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "lint", "Find dangerous or impossible steps, and files that cannot be read.",
    discussion: """
      Needs no server. Exit 4 when there is an error; with --strict for a warning too. A rule that does \
      not apply to a file is switched off there: `lint: { allow: [ML002] }`.

      EXAMPLES:
        martlet migrate lint --explain
        martlet migrate lint --strict --json      # in CI
        martlet migrate lint 004
        martlet migrate lint --rules
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions

  @Flag(help: "Say why each finding is dangerous, and show the safer form.")
  var explain = false

  @Flag(help: "Exit 4 for warnings too.")
  var strict = false

  @Flag(help: "List the rules.")
  var rules = false

  @Option(
    help: ArgumentHelp(
      "Release of the server that the rules assume, for example 4.4.", valueName: "release")
  )
  var server: String?

  @Argument(help: ArgumentHelp("Only this migration: its name or number.", valueName: "id"))
  var id: String?

  func validate() throws {
    if let server, Release(server) == nil {
      throw ValidationError("--server takes a release such as 6.0")
    }
  }

  func execute(_ context: CommandContext) throws -> CommandStatus {
    if rules {
      context.console.show(RulesPage())
      return .done
    }
    let settings = try context.settings(migrations)
    let loaded = try MigrationProject.load(settings)
    var findings = Lint.lint(
      loaded.migrations, server: server.flatMap { Release($0) }, database: settings.database?.value)
    var count = loaded.migrations.count
    if let id {
      let name = try Self.name(id, loaded)
      findings = findings.filter { $0.migration == name }
      count = 1
    }
    context.console.show(
      FindingPage(findings: findings, problems: loaded.problems, files: count, explains: explain))
    let worst = findings.map(\.severity).max() ?? .notice
    let failed = !loaded.errors.isEmpty || worst >= (strict ? .warning : .error)
    if !findings.isEmpty, !explain { context.console.next("martlet migrate lint --explain") }
    return failed ? .checksFailed : .done
  }

  private static func name(_ id: String, _ loaded: LoadedMigrations) throws -> String {
    let digits = id.drop { $0 == "0" }
    guard
      let found = loaded.migrations.first(where: { $0.name == id || $0.id.number == digits })
    else {
      throw CommandError(.usage, "no migration file is called \(id)")
    }
    return found.name
  }
}

private struct RulesPage: CommandOutput {
  var json: JSONValue {
    [
      "rules": .array(
        LintRule.all.map {
          [
            "code": .string($0.code), "severity": .string($0.severity.rawValue),
            "title": .string($0.title), "why": .string($0.why),
          ]
        })
    ]
  }

  func write(to page: inout Page) {
    var table = Table(["code", "severity", "what"])
    for rule in LintRule.all {
      table.add("\(rule.code)", "\(rule.severity.rawValue)", "\(rule.title)")
    }
    page.table(table)
  }
}
