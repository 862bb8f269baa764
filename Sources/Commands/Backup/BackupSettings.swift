import ArgumentParser
import BSON
import Backup
import Dump
import MongoDB

/// Where backups are, and the key that opens them.
struct StoreOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Folder, or rclone:REMOTE:PATH.", valueName: "store"))
  var store: String?

  @Option(
    help: ArgumentHelp(
      "File with the secret age key; MARTLET_AGE_IDENTITY does the same.", valueName: "file"),
    completion: .file())
  var identity: String?

  init() {}

  /// For a command with a flag of its own.
  init(store: String?) {
    self.store = store
    identity = nil
  }
}

/// What the commands around backups take from flags, environment and configuration.
struct BackupSettings {
  let settings: Settings
  let options: StoreOptions
  let context: CommandContext

  init(_ context: CommandContext, _ options: StoreOptions) throws(CommandError) {
    settings = try context.settings()
    self.options = options
    self.context = context
  }

  /// For a command that has read its settings already.
  init(_ context: CommandContext, _ options: StoreOptions, _ settings: Settings) {
    self.settings = settings
    self.options = options
    self.context = context
  }

  private var configuration: Configuration.Backup { settings.configuration.backup }

  /// The store: `--store`, BACKUP_DIR, the file, or `backups` beside it.
  func store() throws -> any Store {
    open(try Self.location(options.store ?? remote ?? settings.backupStore.value, context))
  }

  /// Opens a store that must be the one that was in this place before.
  func open(_ location: StoreLocation) -> any Store {
    location.open(remembering: settings.folder + "/.martlet/stores")
  }

  /// A remote must not be taken for a path that starts at a folder.
  private var remote: String? {
    let named = context.surroundings.environment["BACKUP_DIR"] ?? configuration.store
    return named?.hasPrefix("rclone:") == true ? named : nil
  }

  static func location(_ text: String, _ context: CommandContext) throws -> StoreLocation {
    try StoreLocation(text, relativeTo: context.surroundings.folder)
  }

  var age: Age {
    Age(
      recipients: configuration.recipients,
      identity: options.identity ?? context.surroundings.sourced("MARTLET_AGE_IDENTITY")?.value)
  }

  func backupOptions(_ progress: Progress? = nil) -> BackupOptions {
    var out = BackupOptions()
    out.database = settings.database?.value
    out.compressionLevel =
      configuration.compression == Configuration.Compression.none
      ? nil : configuration.level ?? 6
    out.age = age
    out.files = configuration.files.map(relative)
    out.folder = settings.folder
    out.streams = configuration.commands.map {
      StreamCommand(name: $0.name, dump: $0.dump, restore: $0.restore)
    }
    if let database = settings.database?.value {
      out.ledger = Namespace(database, settings.migrationsCollection.value)
    }
    out.tool = "martlet " + Version.text
    out.cancellation = context.cancellation
    let console = context.console
    out.notice = { console.status("note: \($0)") }
    if let progress { out.progress = { progress.update(done: $0.bytes, total: $0.expectedBytes) } }
    return out
  }

  /// What lies beside the configuration is stored by its name there, so that it can be unpacked anywhere.
  private func relative(_ path: String) -> String {
    let prefix = settings.folder + "/"
    return path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
  }

  /// RETENTION_DAYS and `keep`.
  var policy: RetentionPolicy {
    let keep = configuration.keep
    return RetentionPolicy(
      within: settings.backupKeepWithin?.value, last: keep.last ?? 0, hourly: keep.hourly ?? 0,
      daily: keep.daily ?? 0, weekly: keep.weekly ?? 0, monthly: keep.monthly ?? 0,
      yearly: keep.yearly ?? 0)
  }

  var notifier: Notifier {
    Notifier(
      email: settings.notifyEmail?.value, webhook: settings.configuration.notify.webhook,
      notice: { [console = context.console] in console.warn("\($0)") })
  }

  /// Does something; tells of its failure and throws it on.
  func telling<Result>(_ work: String, store: any Store, _ body: () throws -> Result) throws
    -> Result
  {
    do { return try body() } catch {
      let report = ErrorReport(error, stopped: context.cancellation.reason)
      announce(
        .failed(work, report.message, exitCode: Int(report.status.rawValue)), store: store)
      throw error
    }
  }

  /// Writes the textfile and tells whoever wants to know; failures are told and nothing more.
  func announce(_ event: NotifierEvent, store: any Store) {
    notifier.send(event)
    writeMetrics(event, store: store)
  }

  /// Writes the textfile, if there is to be one.
  func writeMetrics(_ event: NotifierEvent?, store: any Store) {
    guard let path = settings.configuration.notify.metrics else { return }
    do { try BackupMetrics(store).write(to: path, event: event) } catch {
      context.console.warn("the metrics could not be written: \(ErrorReport(error).message)")
    }
  }
}
