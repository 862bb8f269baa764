import ArgumentParser
import BSON
import Backup
import Foundation
import Migration
import MongoDB

/// `martlet migrate test`: up, down and up again on a throwaway server.
struct TestCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "test", "Try every migration up, down and up again on a throwaway server.",
    discussion: """
      Starts a private mongod (MARTLET_MONGOD, or one on PATH) with its data in a temporary folder, takes \
      each migration up, down and up again, and compares collections, options, indexes and documents at \
      each stage. Nothing is left behind, and your database is not touched. Exit 4 when a `down` does not \
      lead back. Made for CI.

      With --sample the definitions and so many documents of each collection are copied from your \
      database first (reading only), and what is applied there counts as applied.

      EXAMPLES:
        martlet migrate test
        martlet migrate test --sample 1000 --uri mongodb://db.example/ --db shop
        martlet migrate test --test-uri mongodb://127.0.0.1:27017/ --json
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions

  @Option(
    help: ArgumentHelp(
      "Use this server instead of starting one; a database of a random name is made and dropped.",
      valueName: "uri"))
  var testURI: String?

  @Option(
    help: ArgumentHelp("Copy so many documents of each collection first.", valueName: "number"))
  var sample: Int?

  func validate() throws {
    if let sample, !(1...10_000_000).contains(sample) {
      throw ValidationError("--sample is 1 to 10000000")
    }
  }

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let settings = try context.settings(migrations)
    let files = try MigrationProject.load(settings)
    _ = try files.validated()
    let results = try onServer(context, settings) { pool, database in
      let names = LedgerNames(ledger: settings.migrationsCollection.value)
      if let sample { try copy(sample, settings, context, pool, database, names) }
      let migrator = try Migrator(
        pool: pool, database: database, files: files, names: names,
        tool: "martlet \(Version.text) test")
      return try RoundTrip(
        migrator: migrator, cancellation: context.cancellation, console: context.console
      ).run()
    }
    let page = TestPage(results: results)
    context.console.show(page)
    context.console.next(
      page.failed ? "mend the file, then martlet migrate test" : "martlet migrate plan")
    return page.failed ? .checksFailed : .done
  }

  /// Lends a database that is gone afterwards, with its server if that was started here.
  private func onServer<R>(
    _ context: CommandContext, _ settings: Settings, _ body: (ClientPool, String) throws -> R
  ) throws -> R {
    if let testURI {
      let pool = try ClientPool(try ConnectionSettings(uri: testURI))
      let database = "martlet_test_\(UInt32.random(in: 0 ... .max))"
      context.console.detail("testing in database \(database)")
      defer { try? pool.withClient { try $0.database(database).dropDatabase() } }
      return try body(pool, database)
    }
    guard let binary = MongodSearch.find(context.surroundings) else {
      throw CommandError(
        .notReady, "no mongod found to test on",
        hint: "put mongod on PATH, name one with MARTLET_MONGOD, or a server with --test-uri")
    }
    context.console.detail("starting \(binary)")
    let server = try ThrowawayServer(
      program: binary, replicaSet: "throwaway", cancellation: context.cancellation)
    defer { server.stop() }
    let pool = try server.pool()
    // The same name as the real one: `renameCollection` and views by name hold it.
    return try body(pool, settings.database?.value ?? "shop")
  }

  private func copy(
    _ size: Int, _ settings: Settings, _ context: CommandContext, _ pool: ClientPool,
    _ database: String, _ names: LedgerNames
  ) throws {
    let source = try context.pool(settings)
    let name = try settings.requiredDatabase()
    let copied = try source.withClient { from in
      try pool.withClient { to in
        try SampleCopy(
          source: from.database(name), target: to.database(database), names: names, size: size,
          cancellation: context.cancellation
        ).run()
      }
    }
    context.console.status(
      "copied \(copied.documents) documents of \(copied.collections) collections from \(name)")
  }
}

private struct TestPage: CommandOutput {
  let results: [RoundTrip.Result]

  var failed: Bool { results.contains { $0.verdict == .failed } }

  var json: JSONValue {
    [
      "passed": .bool(!failed),
      "migrations": .array(
        results.map {
          [
            "name": .string($0.name), "result": .string($0.verdict.rawValue),
            "stage": .string(optional: $0.stage), "problems": .strings($0.problems),
            "hint": .string(optional: $0.hint), "durationMilliseconds": .integer($0.milliseconds),
          ]
        }),
    ]
  }

  func write(to page: inout Page) {
    var table = Table(["migration", "result", .number("took")])
    for result in results {
      table.add(
        "\(result.name)", Self.words(result),
        "\(result.verdict == .skipped ? "" : Quantity.time(.milliseconds(result.milliseconds)))")
    }
    if !results.isEmpty { page.table(table) }
    for result in results where !result.problems.isEmpty {
      page.line()
      page.line("\(result.name, .name): \(Self.stage(result))")
      for problem in result.problems {
        page.line("  \(problem, result.verdict == .failed ? .bad : .plain)")
      }
      if let hint = result.hint { page.line("  \("HINT:", .bold) \(hint)") }
    }
    page.line(StyledText(summary, .bold))
  }

  private static func words(_ result: RoundTrip.Result) -> StyledText {
    switch result.verdict {
    case .passed: StyledText(result.words, .good)
    case .irreversible: StyledText("up; irreversible", .warning)
    case .failed: StyledText("failed: \(result.stage ?? "")", .bad)
    case .skipped: StyledText("not tried", .dim)
    }
  }

  private static func stage(_ result: RoundTrip.Result) -> String {
    switch result.stage {
    case "compare down": "down does not lead back"
    case "compare up again": "the second up does not do what the first did"
    case let stage?: "\(stage) failed"
    case nil: "has no way back"
    }
  }

  private var summary: String {
    if results.isEmpty { return "nothing is pending: nothing to test" }
    return failed ? "failed" : "every way back leads back"
  }
}
