import Backup
import Dump
import MongoDB

/// What is looked at before anything is changed, and what a set holds besides data.
extension RestoreCommand {
  /// A slip in a name would restore over the live data what was meant to go beside it, or leave something
  /// out, in silence.
  func checkNames(_ plan: RestorePlan, _ options: RestoreOptions) throws {
    let items = plan.items + plan.made
    let names = (items + plan.origins).map(\.source.description)
    for pattern in options.only where !items.contains(where: { pattern.matches($0.source) }) {
      throw CommandError(
        .usage, "nothing in the backup is selected by --only '\(pattern.text)'",
        hint: "martlet backup show \(plan.backup.id)")
    }
    for rename in options.renames where !names.contains(where: { rename.apply(to: $0) != nil }) {
      throw CommandError(
        .usage, "nothing that is restored has the name '\(rename.from)' of --rename",
        hint: "martlet backup show \(plan.backup.id)")
    }
    for item in items where item.source != item.target {
      let isServers = ["admin", "config", "local"].contains(item.target.database)
      // What keeps its name in another database, system.js for one, is what it was.
      let becomesSystems =
        item.target.collection.hasPrefix("system.")
        && item.target.collection != item.source.collection
      guard isServers || becomesSystems else { continue }
      throw CommandError(
        .usage, "\(item.source) cannot become \(item.target): that is the server's own",
        hint: "--users merges users and roles in")
    }
  }

  /// The project's database chooses the backup and does not limit what is taken out of it.
  func warnOfOthers(_ plan: RestorePlan, _ settings: Settings, _ console: Console) {
    guard only.isEmpty, rename.isEmpty, let own = settings.database, own.source != .uri else {
      return
    }
    let others = Set(plan.items.map(\.target.database)).subtracting([own.value]).sorted()
    guard !others.isEmpty else { return }
    let names = others.prefix(5).joined(separator: ", ") + (others.count > 5 ? ", …" : "")
    console.warn(
      "the backup is one of the whole server: \(names) go back too; --db \(own.value) takes only that"
    )
  }

  /// All is looked up before the first part is given back.
  func parts(_ store: any Store, _ chosen: String?, _ base: BackupSettings) throws
    -> CommandStatus
  {
    let catalog = Catalog(store)
    let parts = PartRestorer(store, age: base.age, cancellation: base.context.cancellation)
    let named = try chosen.map { try catalog.find($0) }
    let fileSet = try files.map { _ in try named ?? catalog.latest(.files) }
    let streams = try commands.map { name in
      guard let stream = base.backupOptions().streams.first(where: { $0.name == name }) else {
        throw CommandError(.usage, "no command '\(name)' under backup.commands")
      }
      guard stream.restore != nil else {
        throw CommandError(
          .usage, "'\(name)' has no restore command",
          hint: "add restore: to it under backup.commands in martlet.yaml")
      }
      return (stream, try named ?? catalog.latest(.command, stream: name))
    }
    for (role, stream, set) in [(Manifest.File.Role.files, nil, fileSet)]
      + streams.map({ (.command, $0.0.name, $0.1) })
    {
      guard let set else { continue }
      let holds = set.manifest?.files.contains { file in
        file.role == role && (stream == nil || file.stream == stream)
      }
      guard holds != true else { continue }
      throw BackupError(
        .notFound,
        stream.map { "the backup holds no stream '\($0)'" } ?? "the backup holds no files",
        path: set.id)
    }
    guard !dryRun else {
      try showParts(fileSet, streams, base.context.console)
      return .done
    }
    if let files, let fileSet {
      try parts.files(of: fileSet, to: files)
      base.context.console.status("unpacked the files of \(fileSet.id) into \(files)")
    }
    for (stream, set) in streams {
      try parts.stream(stream, of: set)
      base.context.console.status("restored \(stream.name) from \(set.id)")
    }
    return .done
  }

  private func showParts(
    _ fileSet: BackupSet?, _ streams: [(StreamCommand, BackupSet)], _ console: Console
  ) throws {
    var page = RestorePartsPage()
    if let files, let fileSet { page.parts.append(("files", fileSet.id, "unpacked into \(files)")) }
    for (stream, set) in streams {
      page.parts.append((stream.name, set.id, "read by: \(stream.restore ?? "")"))
    }
    console.show(page)
  }
}

/// What `--files` and `--commands` would do.
struct RestorePartsPage: CommandOutput {
  var parts: [(name: String, backup: String, use: String)] = []

  var json: JSONValue {
    [
      "parts": .array(
        parts.map { part in
          [
            "name": .string(part.name), "backup": .string(part.backup), "use": .string(part.use),
          ]
        })
    ]
  }

  func write(to page: inout Page) {
    page.line("nothing is changed by this")
    for part in parts { page.line("\(part.name) of \(part.backup, .bold) is \(part.use)") }
  }
}
