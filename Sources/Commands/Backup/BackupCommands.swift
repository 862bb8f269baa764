import ArgumentParser
import Backup
import Dump
import Fingerprint
import MongoDB

/// `martlet backup list`.
struct BackupListCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "list", "What can be recovered to, and the backups. Needs no server.")

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let store = try BackupSettings(context, stores).store()
    let sets = try Catalog(store).sets()
    let chains = try SliceCatalog(store).chains()
    for chain in chains where !chain.newer.isEmpty {
      context.console.warn(
        "\(chain.newer.count) slices of \(chain.replicaSetID) were written by a newer version: not looked at"
      )
    }
    let windows = RestorableWindows.all(sets, chains)
    context.console.show(
      BackupListPage(location: store.location, sets: sets, windows: windows, now: Moment.now()))
    if sets.isEmpty { context.console.next("martlet backup run") }
    return .done
  }
}

/// `martlet backup show`.
struct BackupShowCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "show", "What one backup holds. Needs no server.")

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Argument(help: "Its id, or the beginning of it.")
  var id: String

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let store = try BackupSettings(context, stores).store()
    let set = try Catalog(store).find(id)
    context.console.show(BackupSetPage(set: set))
    if case .newer = set.state { return .usage }
    return set.isGood ? .done : .backupDamaged
  }
}

/// `martlet backup verify`.
struct BackupVerifyCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "verify", "Read backups and say whether they are whole. Needs no server.",
    discussion: """
      Without an id all backups and all slices of the oplog are read; a slice that is damaged is a gap from \
      then on. A subset n/t reads the n-th of t parts, so that a week of nights \
      reads everything once: backups where all are read, files where one is. Documents of an encrypted \
      backup need the key. Exit 20 names the file, the offset and the collection of the damage.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Argument(help: "Its id, or the beginning of it.")
  var id: String?

  @Flag(help: "The newest good one.")
  var latest = false

  @Option(help: ArgumentHelp("manifest, checksums or documents.", valueName: "depth"))
  var depth: Verifier.Depth = .checksums

  @Option(help: ArgumentHelp("Only a part: 1/7, 2/7, …", valueName: "n/t"))
  var subset: String?

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let base = try BackupSettings(context, stores)
    let store = try base.store()
    return try base.telling("backup verify", store: store) { try verify(context, base, store) }
  }

  private func verify(_ context: CommandContext, _ base: BackupSettings, _ store: any Store) throws
    -> CommandStatus
  {
    let part = try subset.map { text throws(BackupError) in try Verifier.Subset(text) }
    var sets: [BackupSet]
    if let id {
      sets = [try Catalog(store).find(id)]
    } else if latest {
      sets = [try Catalog(store).latest()]
    } else {
      sets = try Catalog(store).sets()
    }
    // A store that is not mounted must not pass for one that is whole.
    guard !sets.isEmpty else {
      throw BackupError(
        .notFound, "there is no backup in \(store.location)",
        hint: "is it the right store, and is it mounted?")
    }
    let isSingle = id != nil || latest
    if !isSingle, let part { sets = sets.filter { part.takes($0.id) } }
    var result = VerifyPage()
    var first: ErrorReport?
    let verifier = Verifier(store, age: base.age, cancellation: context.cancellation)
    for set in sets {
      do {
        let report = try verifier.verify(set.id, depth: depth, subset: isSingle ? part : nil)
        result.reports.append((set.id, report, nil))
        context.console.status("\(set.id): whole")
      } catch let error as BackupError where error.code == .damaged {
        let report = ErrorReport(error)
        result.reports.append((set.id, nil, report))
        context.console.warn("\(set.id): \(report.message)")
        if first == nil { first = report }
      } catch let error as BackupError
        where [.unsupported, .notFound].contains(error.code) && !isSingle
      {
        context.console.warn("\(set.id): not read: \(error.message)")
      }
    }
    let slices = SliceVerifier(store, age: base.age, cancellation: context.cancellation)
    for chain in isSingle ? [] : try SliceCatalog(store).chains() {
      let (report, damaged) = try slices.verify(chain, depth: depth, subset: part)
      for error in damaged {
        let report = ErrorReport(error)
        result.reports.append((error.path ?? chain.path, nil, report))
        context.console.warn("\(report.message)")
        if first == nil { first = report }
      }
      result.reports.append((chain.path, report, nil))
      if damaged.isEmpty { context.console.status("\(chain.path): whole") }
    }
    context.console.show(result)
    if first != nil {
      base.announce(
        .failed("backup verify", result.damaged.joined(separator: "; "), exitCode: 20), store: store
      )
    } else {
      base.writeMetrics(nil, store: store)
    }
    return first == nil ? .done : .backupDamaged
  }
}

struct VerifyPage: CommandOutput {
  var reports: [(id: String, report: Verifier.Report?, error: ErrorReport?)] = []

  var damaged: [String] {
    reports.compactMap { entry in entry.error.map { "\(entry.id): \($0.message)" } }
  }

  var json: JSONValue {
    [
      "good": .bool(damaged.isEmpty),
      "backups": .array(
        reports.map { entry in
          [
            "id": .string(entry.id), "good": .bool(entry.error == nil),
            "files": .integer(optional: entry.report?.files),
            "bytes": .integer(optional: entry.report?.bytes),
            "documents": .integer(optional: entry.report?.documents),
            "error": entry.error?.json["error"] ?? .null,
          ]
        }),
    ]
  }

  func write(to page: inout Page) {
    var table = Table(["backup", "state", .number("files"), .number("read"), .number("documents")])
    for entry in reports {
      table.add(
        "\(entry.id)",
        StyledText(entry.error == nil ? "whole" : "damaged", entry.error == nil ? .good : .bad),
        "\(entry.report.map { String($0.files) } ?? "")",
        "\(entry.report.map { Quantity.bytes($0.bytes) } ?? "")",
        "\(entry.report.map { Quantity.grouped($0.documents) } ?? "")")
    }
    page.table(table)
  }
}

/// `martlet backup copy`.
struct BackupCopyCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "copy", "Copy a backup to another store, checking every byte.")

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Argument(help: "Its id, or the beginning of it.")
  var id: String

  @Argument(help: "Folder, or rclone:REMOTE:PATH.")
  var target: String

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let base = try BackupSettings(context, stores)
    let store = try base.store()
    let other = base.open(try BackupSettings.location(target, context))
    let (set, bytes) = try base.telling("backup copy", store: store) {
      let set = try Catalog(store).find(id)
      let copier = Copier(from: store, to: other, cancellation: context.cancellation)
      return (set, try copier.copy(set.id))
    }
    if context.options.json {
      context.console.out(
        (["id": .string(set.id), "store": .string(other.location), "bytes": .integer(bytes)]
          as JSONValue).text())
    }
    context.console.status(
      bytes == 0
        ? "\(set.id) is in \(other.location) already"
        : "copied \(set.id) to \(other.location), \(Quantity.bytes(bytes))")
    return .done
  }
}

/// `martlet backup prune`.
struct BackupPruneCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "prune", "Remove the backups that the policy does not keep. Needs no server.",
    discussion: """
      The policy is backup.keep in martlet.yaml; RETENTION_DAYS replaces its `within`. The newest good \
      backup stays whatever the policy says, and what is dated in the future is left alone.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Flag(
    name: [.customLong("dry-run"), .customShort("n")], help: "Say what would go; remove nothing.")
  var dryRun = false

  @Option(
    name: .customLong("keep-within"),
    help: ArgumentHelp("All of this age or younger, such as 30d.", valueName: "time"))
  var within: TimeSpan?

  @Option(name: .customLong("keep-last"), help: ArgumentHelp("The newest.", valueName: "n"))
  var last: Int?

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let base = try BackupSettings(context, stores)
    let store = try base.store()
    var policy = base.policy
    if let within { policy.within = within.duration }
    if let last { policy.last = last }
    let pruner = Pruner(store, policy: policy, cancellation: context.cancellation)
    let plan =
      dryRun
      ? try pruner.plan() : try base.telling("backup prune", store: store) { try pruner.run() }
    context.console.show(PrunePage(plan: plan, isDryRun: dryRun))
    return .done
  }
}
