import BSON
import Foundation
import Migration
import MongoDB
import Synchronization
import Validation

/// One validation of a database: what both phases have in common.
struct ValidationRun {
  let context: CommandContext
  let settings: Settings
  let phase: Phase
  let checking: CheckingOptions
  let reporting: ReportingOptions
  let database: String
  /// False while a window has stopped them: what needs them is checked when they run again.
  var servicesRun = true
  /// Nobody else needs the collections: the server may lock them to look.
  var isAlone = false

  init(
    _ context: CommandContext, _ phase: Phase, _ checking: CheckingOptions,
    _ reporting: ReportingOptions, _ migrations: MigrationsOptions
  ) throws {
    self.context = context
    self.phase = phase
    self.checking = checking
    self.reporting = reporting
    settings = try context.settings(migrations)
    database = try settings.requiredDatabase()
  }

  /// Checks, compares, writes what was asked for; the report is shown by the caller. Blocks.
  func run() throws -> Report {
    let rules = try loadRules()
    try prepareFiles()
    let old = try checking.against.map { file in
      let snapshot = try SnapshotFile.read(path(file), database: database)
      try snapshot.require(database: database, file: file)
      return snapshot
    }
    let started = Clock.now()
    let pool = try context.pool(settings)
    let (effects, found) = try pool.withClient { try self.effects($0) }
    var checks = phase == .before ? try pool.withClient { try serverChecks($0) } : []
    if phase != .started { checks += found }
    let outcome = try validator(pool, rules, effects.expectations(since: old?.migrations)).run(
      takesSnapshot: checking.save != nil, against: old)
    var report = Report(
      kind: phase == .before ? .before : .after, subject: database, startedAt: started,
      finishedAt: Clock.now(), isStrict: reporting.strict)
    report.checks = checks + outcome.checks
    report.metrics = outcome.metrics
    report.timeline = outcome.timeline
    report.notes = outcome.notes
    report.environment = outcome.environment + [Fact("martlet", Version.text)]
    if let file = checking.save, let snapshot = outcome.snapshot {
      try SnapshotFile.write(snapshot, to: path(file))
      context.console.status("snapshot written to \(file, .name)")
    }
    return report
  }

  private func path(_ file: String) -> String {
    ConfigurationFile.resolve(file, from: context.surroundings.folder)
  }

  /// A full disk or a wrong folder is found before the long part, not after it.
  private func prepareFiles() throws {
    if let folder = reporting.report { try ReportFolder(path(folder)).prepare() }
    if let file = checking.save { try SnapshotFile.prepare(path(file)) }
  }

  private func loadRules() throws -> Rules {
    if let file = checking.rules { return try RulesLoader().load(path(file)) }
    let file = settings.validationRules.value
    guard settings.validationRules.source == .standard,
      !FileManager.default.fileExists(atPath: file)
    else { return try RulesLoader().load(file) }
    context.console.warn("there is no \(file): only the checks that need no rules are made")
    return Rules()
  }

  private func validator(
    _ pool: ClientPool, _ rules: Rules, _ expectations: Expectations
  ) -> Validator {
    var options = CheckOptions(cancellation: context.cancellation)
    options.readPreference = checking.secondary ? .secondaryPreferred : .primary
    options.timeBudget = checking.timeBudget?.duration
    if checking.integrity { options.integrity = isAlone ? .full : .background }
    options.servicesRun = servicesRun
    options.stateFile = checking.state.map(path)
    options.folder = settings.folder
    let progress = CheckDisplay(context.console)
    options.progress = { progress.show($0) }
    let console = context.console
    options.noted = { console.status("\($0)") }
    return Validator(
      pool, database: database, phase: phase, rules: rules, expectations: expectations,
      options: options)
  }

  // MARK: -

  /// The same checks as `doctor`, in the same words.
  private func serverChecks(_ client: Client) throws -> [CheckResult] {
    let checks = ServerChecks(
      client: client, server: try client.hello(), database: database,
      collection: settings.migrationsCollection.value, cancellation: context.cancellation,
      runtime: checking.maxRuntime?.duration)
    return try checks.all(write: checking.writeCheck).map(\.result)
  }

  /// What the ledger says is applied, and what the files say that means.
  private func effects(_ client: Client) throws -> (MigrationEffects, [CheckResult]) {
    let name = settings.migrationsCollection.value
    var checks: [CheckResult] = []
    let files = try MigrationProject.load(settings, needed: false)
    let folder = settings.migrationsDirectory.value
    if phase == .before, FileManager.default.fileExists(atPath: folder) {
      checks += FileChecks.check(folder, database: database).map(\.result)
      let migrator = try Migrator(
        pool: try context.pool(settings), database: database, files: files,
        names: LedgerNames(ledger: name))
      checks += LedgerChecks(migrator: migrator).all().map(\.result)
    } else if let error = files.errors.first {
      checks.append(
        .broken(
          "migration-files", folder, ErrorReport(error).message, fix: "martlet migrate lint"))
    }
    var applied: Set<String> = []
    do {
      let names = LedgerNames(ledger: name)
      for entry in try Ledger(client.database(database), names: names).load().values {
        if entry.isApplied {
          applied.insert(entry.name)
          continue
        }
        checks.append(
          .found(
            "migration-unfinished", entry.name, .error, "its state is \(entry.status.rawValue)",
            cause: "a run died or failed in the middle of it",
            command: "martlet migrate show \(entry.name)",
            fix: "martlet migrate up goes on, martlet migrate down takes it back"))
      }
    } catch let error as MigrationError {
      if phase != .before { checks.append(.broken("ledger", name, error.message, fix: error.hint)) }
    }
    return (
      MigrationEffects(
        migrations: files.migrations, applied: applied, ledger: name, database: database), checks
    )
  }
}

extension Check {
  /// As the report tells it.
  fileprivate var result: CheckResult {
    switch state {
    case .ok: return .passed(id, "", detail)
    case .warning: return .found(id, "", .warning, detail, fix: fix)
    case .failed: return .found(id, "", .error, detail, fix: fix)
    case .skipped:
      // What nobody asked for, or what a standalone does not have, leaves nothing unknown.
      let applies =
        id != "write-check" && !["no replica set", "standalone"].contains(where: detail.contains)
      return .skipped(id, "", detail, applies: applies, fix: fix)
    }
  }
}

/// Shows what is being checked: how many checks are made, and how far a long one is.
private final class CheckDisplay: Sendable {
  private let console: Console
  private let progress: Progress
  private let scan = Mutex<(name: String, progress: Progress)?>(nil)

  init(_ console: Console) {
    self.console = console
    progress = Progress(console, "checking", unit: .items)
  }

  func show(_ now: CheckProgress) {
    progress.update(
      done: Int64(now.checksDone), total: now.checks > 0 ? Int64(now.checks) : nil)
    scan.withLock { scan in
      guard now.done > 0 else {
        scan = nil
        return
      }
      let name = [now.id, now.subject].filter { !$0.isEmpty }.joined(separator: " ")
      if scan?.name != name {
        // The one before it goes first.
        scan = nil
        scan = (name, Progress(console, name, unit: .documents, total: now.total))
      }
      scan?.progress.update(done: now.done, total: now.total)
    }
  }
}
