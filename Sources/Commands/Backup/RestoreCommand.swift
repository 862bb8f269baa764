import ArgumentParser
import BSON
import Backup
import Dump
import Fingerprint
import MongoDB

/// `martlet restore`.
struct RestoreCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "restore",
    "Restore a backup, or go back to a moment, without touching live data before it is proven.",
    discussion: """
      Collections are loaded beside the live ones, indexed, compared with the manifest, and swapped into \
      place by rename; what they replace is backed up first. Time-series are dropped and loaded again, \
      views dropped and made again, behind the same safety backup. Collections that are only in the server \
      stay as they are. migrations.lock and migrations.history are never replaced. Users and roles stay as \
      they are too; --users merges those of the backup in.

      The newest backup that has the database of --db, or those of --only, serves; --db takes nothing else \
      out of it. Slices that `oplog run --only-db` made lead to a moment of their databases only.

      A time is inclusive: 'YYYY-MM-DD HH:MM:SS' is local, 2026-01-28T10:00:00Z has its zone, \
      seconds:increment is an entry of the oplog. --only means names at that moment, however they came about.

      EXAMPLES:
        martlet restore --latest --dry-run
        martlet restore 20260128T020000Z-full --only 'shop.orders' --rename shop.orders=shop.orders_old
        martlet restore --to-time '2026-01-28 10:00:00' --yes
        martlet restore --to-time '2026-01-28 10:00:00' --only shop.orders --yes
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions
  @OptionGroup var confirmation: ConfirmationOptions

  @Argument(help: "The backup's id, or the beginning of it.")
  var id: String?

  @Flag(help: "The newest good one.")
  var latest = false

  @Option(
    name: .customLong("to-time"), help: ArgumentHelp("Go back to this moment.", valueName: "time"))
  var toTime: String?

  @Option(
    name: .customLong("before-migration"),
    help: ArgumentHelp("Go back to just before this migration.", valueName: "name"))
  var beforeMigration: String?

  @Option(
    help: ArgumentHelp("Only these; may be repeated, * is any run of characters.", valueName: "ns"))
  var only: [String] = []

  @Option(help: ArgumentHelp("Another name: shop.a=shop.b; may be repeated.", valueName: "a=b"))
  var rename: [String] = []

  @Flag(name: .customLong("in-place"), help: "Drop and load, for those without the disk.")
  var inPlace = false

  @Flag(name: .customLong("no-safety-backup"), help: "Do not back up what is replaced.")
  var noSafetyBackup = false

  @Flag(help: "Merge the backup's users and roles in; others stay.")
  var users = false

  @Flag(name: .customLong("writers-stopped"), help: "Nobody writes to what is replaced.")
  var writersStopped = false

  @Flag(
    name: .customLong("take-over"),
    help: "An unfinished restore is dead: complete what can be completed of it.")
  var takeOver = false

  @Flag(help: "Choose from a list.")
  var interactive = false

  @Flag(
    name: [.customLong("dry-run"), .customShort("n")],
    help: "Say what would happen; change nothing.")
  var dryRun = false

  @Option(
    help: ArgumentHelp(
      "Unpack the application files into this folder instead.", valueName: "folder"))
  var files: String?

  @Option(
    help: ArgumentHelp(
      "Run the restore command of this stream instead; may be repeated.", valueName: "name"))
  var commands: [String] = []

  func validate() throws {
    let given = [id != nil, latest, interactive].filter(\.self).count
    if given > 1 { throw ValidationError("give one of: an id, --latest, --interactive") }
    if given == 0, toTime == nil, beforeMigration == nil {
      throw ValidationError("say what to restore: an id, --latest, --interactive or --to-time")
    }
    if toTime != nil, beforeMigration != nil {
      throw ValidationError("--to-time and --before-migration exclude each other")
    }
    if files != nil || !commands.isEmpty {
      // Each of these says something about data, and would be passed over in silence.
      let others = [
        ("--to-time", toTime != nil), ("--before-migration", beforeMigration != nil),
        ("--only", !only.isEmpty), ("--rename", !rename.isEmpty), ("--users", users),
        ("--in-place", inPlace),
      ].filter(\.1).map(\.0)
      guard others.isEmpty else {
        throw ValidationError(
          "--files and --commands restore no data: leave out \(others.joined(separator: ", "))")
      }
    }
    for name in only where !name.contains(".") && !name.contains("*") {
      throw ValidationError("--only '\(name)' names no collection; all of a database is \(name).*")
    }
    for pair in rename where pair.split(separator: "=").count != 2 {
      throw ValidationError("--rename '\(pair)' is not of the form a=b")
    }
  }

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let base = try BackupSettings(context, stores)
    let store = try base.store()
    if files != nil || !commands.isEmpty {
      return try parts(store, latest ? nil : try choose(store, context), base)
    }
    let chosen = try choose(store, context)

    let pool = try context.pool(base.settings)
    var restore = try restoreOptions(base, store)
    let progress = Progress(context.console, "restore", unit: .bytes)
    restore.progress = { progress.update(done: $0.bytes, total: $0.expectedBytes) }
    let runner = RestoreRunner(store, pool: pool, options: restore)
    let plan = try runner.plan(chosen)
    try checkNames(plan, restore)
    guard !dryRun else {
      warnOfOthers(plan, base.settings, context.console)
      context.console.show(RestorePlanPage(plan: plan))
      return .done
    }
    warnOfOthers(plan, base.settings, context.console)
    let replaced = (plan.items + plan.made).filter { $0.liveCount != nil }
    if !replaced.isEmpty {
      if !noSafetyBackup, store.isReadOnly() {
        throw CommandError(
          .refused, "the store cannot be written, so what is replaced cannot be backed up in it",
          hint: "martlet backup copy \(plan.backup.id) FOLDER and restore from there, or "
            + "--no-safety-backup")
      }
      try context.confirm(
        "\(replaced.count) collections are replaced by \(plan.backup.id).", confirmation,
        base.settings)
    }
    do {
      let report = try runner.run(chosen)
      progress.finish()
      context.console.show(RestoreReportPage(report: report))
      if report.endsTimeline {
        context.console.warn(
          "the old timeline ends here: recovery to a later moment needs a new base")
      }
      if let failure = report.usersFailure {
        let words = ErrorReport(failure, stopped: context.cancellation.reason)
        context.console.warn(
          "all is restored but users and roles, which were not all merged in: \(words.message)")
        return .partlyDone
      }
      context.console.next(report.endsTimeline ? "martlet backup run" : "martlet validate after")
      return .done
    } catch {
      progress.finish()
      throw error
    }
  }

  /// Nil lets the time choose.
  private func choose(_ store: any Store, _ context: CommandContext) throws -> String? {
    if let id { return try Catalog(store).find(id).id }
    guard interactive else { return nil }
    guard context.person.isPresent else {
      throw CommandError(.usage, "nobody is there to choose", hint: "name the backup, or --latest")
    }
    let sets = try Catalog(store).sets().filter { $0.isGood && $0.manifest?.data != nil }
    guard !sets.isEmpty else {
      throw BackupError(
        .notFound, "there is no good backup with data in \(store.location)",
        hint: "martlet backup list")
    }
    var table = Table([
      .number(""), "backup", "when (local)", "database", .number("documents"), "state", "",
    ])
    for (index, set) in sets.enumerated() {
      let manifest = set.manifest
      table.add(
        "\(String(index + 1), .bold)", "\(set.id)", "\(Moment.text(set.time))",
        "\(manifest?.database ?? "all")", "\(Quantity.grouped(manifest?.documents ?? 0))",
        "\(set.state.word)",
        "\(manifest?.safetyFor.map { "before " + $0 } ?? manifest?.tags.joined(separator: ", ") ?? "")"
      )
    }
    var page = Page()
    page.table(table)
    context.console.ask(page)
    context.console.ask("which one? ")
    let answer = try context.person.readLine(secret: false, cancellation: context.cancellation)
    guard let number = answer.flatMap({ Int($0) }), sets.indices.contains(number - 1) else {
      throw CommandError(.declined, "nothing was chosen, nothing was changed")
    }
    return sets[number - 1].id
  }

  private func restoreOptions(_ base: BackupSettings, _ store: any Store) throws -> RestoreOptions {
    var out = RestoreOptions()
    out.only = try only.map { try NamespacePattern($0) }
    out.databases = databases(base.settings)
    if only.isEmpty, case .flag? = base.settings.database?.source, let db = out.databases?.first {
      out.only = [try NamespacePattern(NamespacePattern.escape(db) + ".*")]
    }
    out.renames = try rename.map { pair in
      let sides = pair.split(separator: "=").map(String.init)
      return try NamespaceRename(from: sides[0], to: sides[1])
    }
    out.ledger = base.settings.migrationsCollection.value
    out.inPlace = inPlace
    out.users = users
    out.safetyBackup = !noSafetyBackup
    out.writersAreStopped = writersStopped
    out.takesOver = takeOver
    out.age = base.age
    out.safety = base.backupOptions()
    out.cancellation = base.context.cancellation
    let console = base.context.console
    out.notice = { console.status("note: \($0)") }
    if let toTime {
      let time = try RecoveryTime.parse(toTime)
      out.time = time
      if case .moment(let seconds) = time {
        console.status("to \(Moment.text(seconds)) local time, \(Moment.iso(seconds)), inclusive")
      }
    }
    if let beforeMigration {
      let mark = try MigrationMark.find(
        beforeMigration, in: store, age: base.age, pool: base.context.pool(base.settings),
        ledger: ledgerMark(beforeMigration, base), databases: project(base.settings))
      out.before = mark.time
      out.replicaSetID = mark.replicaSetID
      let seconds = Int64(mark.time.seconds)
      console.status(
        "to just before \(OplogTime.text(mark.time)), \(Moment.text(seconds)) local time, \(Moment.iso(seconds))"
      )
    }
    return out
  }

  /// Those that a backup must have: what is selected is in them, or what the project is about.
  private func databases(_ settings: Settings) -> Set<String>? {
    let named = only.map { String($0.prefix { $0 != "." }) }
    if !named.isEmpty, !named.contains(where: { $0.contains("*") || $0.contains("\\") }) {
      return Set(named)
    }
    return project(settings)
  }

  /// The database that the project is about.
  private func project(_ settings: Settings) -> Set<String>? {
    // A name in the URI may be where the user is looked up, or the new home of what is renamed.
    guard let database = settings.database, database.source != .uri else { return nil }
    return [database.value]
  }

  /// As the ledger has it; a ledger that was restored since may not.
  private func ledgerMark(_ name: String, _ base: BackupSettings) throws -> Timestamp? {
    guard let database = base.settings.database?.value else { return nil }
    let ledger = base.settings.migrationsCollection.value
    return try base.context.pool(base.settings).withClient { client in
      try client.database(database).findOne(ledger, filter: ["name": .string(name)])?["oplog_mark"]?
        .timestampValue
    }
  }
}

struct RestorePlanPage: CommandOutput {
  let plan: RestorePlan

  var json: JSONValue {
    [
      "backup": .string(plan.backup.id),
      "items": .array(plan.items.map(Self.json)),
      "madeAfterBackup": .array(plan.made.map(Self.json)),
      "loadedBesides": .strings(plan.origins.map(\.source.description)),
      "users": .integer(plan.users), "untouched": .strings(plan.untouched.map(\.description)),
      "left": .strings(plan.left),
      "bytes": .integer(plan.bytes), "freeDisk": .integer(optional: plan.freeDisk),
      "warnings": .strings(plan.warnings),
    ]
  }

  private static func json(_ item: RestorePlan.Item) -> JSONValue {
    [
      "source": .string(item.source.description), "target": .string(item.target.description),
      "way": .string(item.way.rawValue), "documents": .integer(item.count),
      "bytes": .integer(item.bytes), "liveDocuments": .integer(optional: item.liveCount),
    ]
  }

  func write(to page: inout Page) {
    page.line("from \(plan.backup.id, .bold); nothing is changed by this")
    var table = Table(["collection", "becomes", "how", .number("backup"), .number("now")])
    for item in plan.items {
      table.add(
        "\(item.source.description)", "\(item.target.description)", "\(item.way.rawValue)",
        "\(Quantity.grouped(item.count))", "\(item.liveCount.map(Quantity.grouped) ?? "-")")
    }
    for item in plan.made {
      table.add(
        "\(item.source.description)", "\(item.target.description)", "\(item.way.rawValue)",
        "made later", "\(item.liveCount.map(Quantity.grouped) ?? "-")")
    }
    page.table(table)
    page.line(
      "needs \(Quantity.bytes(plan.bytes)) of documents; free on the server: \(plan.freeDisk.map(Quantity.bytes) ?? "unknown")"
    )
    if !plan.untouched.isEmpty {
      page.line("stay as they are: \(plan.untouched.map(\.description).joined(separator: ", "))")
    }
    if !plan.left.isEmpty {
      page.line("in the backup, not restored: \(plan.left.joined(separator: ", "))")
    }
    for warning in plan.warnings {
      page.line(StyledText("warning: ", .warning) + StyledText(warning))
    }
  }
}

struct RestoreReportPage: CommandOutput {
  let report: RestoreReport

  var json: JSONValue {
    [
      "backup": .string(report.backup), "safetyBackup": .string(optional: report.safetyBackup),
      "restored": .strings(report.restored.map(\.description)),
      "documents": .integer(report.documents), "replayed": .integer(report.replayed),
      "kept": .strings(report.kept.map(\.description)), "users": .bool(report.users),
      "usersFailure": .string(optional: report.usersFailure.map { ErrorReport($0).message }),
      "lateWrites": .integer(report.lateWrites), "endsTimeline": .bool(report.endsTimeline),
      "notices": .strings(report.notices),
      "compared": ComparedPart(compared: report.compared, replayed: report.replayed).json,
      "durationMs": .integer(report.durationMilliseconds),
    ]
  }

  func write(to page: inout Page) {
    page.line(
      "restored \(String(report.restored.count), .bold) collections, \(Quantity.grouped(report.documents)) documents, from \(report.backup) in \(Quantity.time(.milliseconds(report.durationMilliseconds)))"
    )
    if report.replayed > 0 {
      page.line("\(Quantity.grouped(report.replayed)) entries of the oplog replayed")
    }
    ComparedPart(compared: report.compared, replayed: report.replayed).write(to: &page)
    if let safety = report.safetyBackup { page.line("what was replaced is in \(safety, .bold)") }
    if report.lateWrites > 0 {
      page.line("\(Quantity.grouped(report.lateWrites)) writes during the restore were added to it")
    }
    if report.users { page.line("users and roles were merged in") }
    for name in report.kept { page.line("kept, written to meanwhile: \(name.description)") }
  }
}
