import ArgumentParser
import Migration
import Validation

/// `martlet validate`: evidence before and after.
struct ValidateGroup: ParsableCommand {
  static let configuration = CommandConfiguration.martlet(
    "validate", "Checks before and after a window, and what changed in between.",
    subcommands: [
      ValidateBeforeCommand.self, ValidateAfterCommand.self, ValidateCompareCommand.self,
    ])
}

/// `martlet validate before`.
struct ValidateBeforeCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "before", "Is the data as it should be before migrations run? --save keeps how it is.",
    discussion: """
      Only reads. Makes the checks of doctor, of validation/rules.yaml, and of what pending migrations are \
      about to do. --save reads every document once, for counts and fingerprints.

      EXAMPLES:
        martlet validate before --save before.json --report reports
        martlet validate before --rules validation/rules.yaml --strict

      Exit 4 when a check fails; with --strict also for warnings and skipped checks.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var checking: CheckingOptions
  @OptionGroup var reporting: ReportingOptions

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let run = try ValidationRun(context, .before, checking, reporting, migrations)
    let next =
      checking.save.map { "martlet migrate up, then martlet validate after --against \($0)" }
      ?? "martlet migrate plan"
    return try context.deliver(try run.run(), reporting, next: next)
  }
}

/// `martlet validate after`.
struct ValidateAfterCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "after", "Did migrations do what they declare, and nothing else?",
    discussion: """
      Only reads. Compares every collection, index and option that applied migrations declare with the \
      server, makes the checks of validation/rules.yaml, and with --against compares counts, fingerprints, \
      indexes, plans and response times with the snapshot that `validate before` saved. What changed and was \
      not declared is a finding.

      EXAMPLES:
        martlet validate after --against before.json --report reports

      Exit 4 when a check fails; with --strict also for warnings and skipped checks.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var checking: CheckingOptions
  @OptionGroup var reporting: ReportingOptions

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let run = try ValidationRun(context, .after, checking, reporting, migrations)
    return try context.deliver(
      try run.run(), reporting, next: "nothing to do: the window can be closed")
  }
}

/// `martlet validate compare`.
struct ValidateCompareCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "compare", "Compare two snapshots, or a snapshot and a backup's manifest, without a server.",
    discussion: """
      What the migrations between the two declare is expected; everything else is a finding.

      EXAMPLES:
        martlet validate compare before.json after.json
        martlet validate compare backups/20260128T020000Z-full/manifest.json after.json
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var reporting: ReportingOptions

  @Argument(help: ArgumentHelp("Snapshot or manifest.", valueName: "file"), completion: .file())
  var before: String

  @Argument(help: ArgumentHelp("Snapshot or manifest.", valueName: "file"), completion: .file())
  var after: String

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let settings = try context.settings(migrations)
    func path(_ file: String) -> String {
      ConfigurationFile.resolve(file, from: context.surroundings.folder)
    }
    if let folder = reporting.report { try ReportFolder(path(folder)).prepare() }
    let started = Clock.now()
    // Of a manifest with several databases, the one that the other file, or --db, is about.
    let name = options.db
    var old = try SnapshotFile.read(path(before), database: name)
    let new = try SnapshotFile.read(
      path(after), database: name ?? (old.origin == .snapshot ? old.database : nil))
    if name == nil, old.origin == .manifest, new.origin == .snapshot, old.database != new.database {
      old = try SnapshotFile.read(path(before), database: new.database)
    }
    let files = try MigrationProject.load(settings, needed: false)
    let effects = MigrationEffects(
      migrations: files.migrations, applied: Set(new.migrations),
      ledger: settings.migrationsCollection.value, database: new.database)
    let comparison = Comparison(
      old, new, declared: effects.changes(since: Set(old.migrations)), own: [effects.ledger])
    var report = Report(
      kind: .compare, subject: "\(before) and \(after)", startedAt: started,
      finishedAt: Clock.now(), isStrict: reporting.strict)
    report.checks = comparison.checks
    report.metrics = comparison.metrics
    for (label, snapshot) in [("before", old), ("after", new)] {
      let time = snapshot.takenAt > 0 ? ", taken \(Words.instant(snapshot.takenAt))" : ""
      report.environment.append(Fact(label, "database \(snapshot.database)\(time)"))
    }
    return try context.deliver(
      report, reporting, next: "nothing to do: every difference is declared")
  }
}
