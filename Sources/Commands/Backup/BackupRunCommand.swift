public import ArgumentParser
public import Backup
import Fingerprint
import MongoDB

extension Manifest.Kind: ExpressibleByArgument {}
extension Verifier.Depth: ExpressibleByArgument {}

/// `martlet backup run`.
struct BackupRunCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "run", "Make a backup set and read it back.",
    discussion: """
      Without --db, and with no database configured, the whole server is backed up. The set appears in \
      the list only when all of it is written; what a run that died has left is removed by the next.

      EXAMPLES:
        martlet backup run --kind database --db shop
        martlet backup run --store rclone:s3:bucket/backups --tag before-release
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Option(help: "full, database or files.")
  var kind: Manifest.Kind = .full

  @Option(
    help: ArgumentHelp(
      "A word for it; may be repeated. 'keep' keeps it for ever.", valueName: "tag"))
  var tag: [String] = []

  @Option(help: ArgumentHelp("gzip or none.", valueName: "name"))
  var compression: String?

  @Option(help: ArgumentHelp("1 (fast) to 9.", valueName: "n"))
  var level: Int?

  @Option(help: ArgumentHelp("Reading back: manifest, checksums or documents.", valueName: "depth"))
  var verify: Verifier.Depth = .checksums

  func validate() throws {
    if let compression, !["gzip", "none"].contains(compression) {
      throw ValidationError("--compression is gzip or none")
    }
    if let level, !(1...9).contains(level) { throw ValidationError("--level is 1 to 9") }
  }

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let base = try BackupSettings(context, stores)
    let store = try base.store()
    let progress = Progress(context.console, "backup", unit: .bytes)
    var backup = base.backupOptions(progress)
    backup.kind = kind
    backup.tags = tag
    if let level { backup.compressionLevel = level }
    if compression == "none" { backup.compressionLevel = nil }
    if compression == "gzip", backup.compressionLevel == nil { backup.compressionLevel = 6 }
    return try base.telling("backup run", store: store) {
      defer { progress.finish() }
      let pool = kind == .files ? nil : try context.pool(base.settings)
      let manifest = try BackupRunner(store, pool: pool, options: backup).run()
      progress.finish()
      context.console.status("reading it back (\(verify.rawValue))")
      try Verifier(store, age: base.age, cancellation: context.cancellation)
        .verify(manifest.id, depth: verify)
      base.announce(.succeeded(manifest), store: store)
      context.console.show(BackupSetPage(set: try Catalog(store).find(manifest.id)))
      context.console.next("martlet backup drill \(manifest.id)")
      return .done
    }
  }
}
