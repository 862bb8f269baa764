import ArgumentParser
import BSON
import Migration

/// `martlet migrate show`: everything about one migration.
struct ShowCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "show", "One migration: its steps, its ledger entry, its journal, its undo data.",
    discussion: """
      EXAMPLES:
        martlet migrate show 002
        martlet migrate show 002_two_factor --json
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions

  @Argument(help: ArgumentHelp("Its name or number.", valueName: "id"))
  var id: String

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let project = try MigrationProject(context, migrations, filesNeeded: false)
    let report = try project.migrator.status()
    let digits = id.drop { $0 == "0" }
    guard
      let row = report.rows.first(where: { $0.name == id })
        ?? report.rows.first(where: { row in
          MigrationID(row.name).map { $0.number == digits } ?? false
        })
    else {
      throw MigrationError(
        .unknownMigration, "no migration is called \(id)",
        hint: "`martlet migrate status` lists them")
    }
    let page = ShowPage(
      row: row, migration: project.files.migrations.first { $0.name == row.name },
      kept: report.kept.filter { $0.migration == row.name },
      undo: report.undo.filter { $0.migration == row.name },
      conflicts: report.conflicts.filter { $0.message.hasPrefix(row.name + " ") })
    context.console.show(page)
    context.console.next(
      row.state == .pending ? "martlet migrate plan" : "martlet migrate history \(row.name)")
    return .done
  }
}

private struct ShowPage: CommandOutput {
  let row: StatusReport.Row
  let migration: Migration?
  let kept: [KeptCollections.Kept]
  let undo: [StatusReport.Undo]
  let conflicts: [MigrationError]

  // MARK: - For programs

  var json: JSONValue {
    [
      "name": .string(row.name), "description": .string(optional: row.description),
      "state": .string(row.state.rawValue),
      "file": .string(optional: migration?.source.path),
      "format": .string(optional: migration?.source.format.rawValue),
      "checksum": .string(optional: migration?.checksum),
      "up": .array(migration?.up.map(Self.json) ?? []),
      "down": downJSON,
      "ledger": row.entry.map { JSONValue($0.document) } ?? .null,
      "kept": .strings(kept.map(\.name)),
      "undoBytes": .integer(undo.reduce(0) { $0 + $1.bytes }),
      "conflicts": .array(conflicts.map(\.json)),
    ]
  }

  private static func json(_ step: Step) -> JSONValue {
    [
      "line": .integer(Int64(step.location.line)), "hash": .string(step.hash),
      "command": JSONValue(step.command),
    ]
  }

  private var downJSON: JSONValue {
    switch migration?.down {
    case .steps(let steps): .array(steps.map(Self.json))
    case .irreversible: "irreversible"
    case .derived: "derived"
    case nil: .null
    }
  }

  // MARK: - For people

  func write(to page: inout Page) {
    page.line("\(row.name, .name)  \(row.state.rawValue, .bold)")
    if let text = row.description { page.line("\(text)") }
    var table = Table(["", ""])
    func add(_ title: String, _ value: String?) {
      if let value, !value.isEmpty { table.add(StyledText(title, .dim), "\(value)") }
    }
    let entry = row.entry
    add("file", migration?.source.path ?? (entry == nil ? nil : "gone"))
    add("checksum", migration?.checksum)
    if let applied = entry?.checksum, applied != migration?.checksum {
      add("checksum in the ledger", applied)
    }
    add("started", entry?.startedAt?.shownText)
    add("applied", entry?.appliedAt?.shownText)
    add("took", entry?.durationMilliseconds.map { Quantity.time(.milliseconds($0)) })
    add("batch", entry.flatMap { $0.batch > 0 ? String($0.batch) : nil })
    add("by", entry?.appliedBy.map(Self.person))
    add("origin", row.origin)
    for line in table.lines(colour: false).dropFirst() { page.line("\(line)") }
    if let error = entry?.error?["message"]?.stringValue { page.line("\(error, .bad)") }
    writeSteps(to: &page)
    writeWayBack(to: &page)
    page.errors("conflicts", conflicts)
  }

  private static func person(_ by: Document) -> String {
    let who = [by["user"]?.stringValue, by["host"]?.stringValue].compactMap(\.self)
    let pid = by["pid"]?.integerValue.map { ", process \($0)" } ?? ""
    return who.joined(separator: "@") + pid + (by["tool"]?.stringValue.map { ", \($0)" } ?? "")
  }

  private func writeSteps(to page: inout Page) {
    let journal = row.entry?.steps ?? []
    for index in 0..<max(journal.count, migration?.up.count ?? 0) {
      let step = migration.flatMap { index < $0.up.count ? $0.up[index] : nil }
      let line = index < journal.count ? journal[index] : nil
      page.line()
      let name = step?.name ?? line?.command ?? ""
      let target = step?.target ?? line?.collection ?? ""
      let state =
        line.map { $0.isLeftOut ? "  left out: its `unless` holds" : "  \($0.state.rawValue)" }
        ?? ""
      let counts = line?.result.map { "  \(ExtendedJSON.text($0, .relaxed))" } ?? ""
      page.line("\(index + 1). \(name, .bold) \(target)\(state, .good)\(counts, .dim)")
      if let step { write(step.command, to: &page) }
    }
  }

  private func writeWayBack(to page: inout Page) {
    page.line()
    switch migration?.down {
    case .steps(let steps):
      page.heading("down, as the file says")
      for step in steps {
        page.line("\(step.index + 1). \(step.name, .bold) \(step.target ?? "")")
        write(step.command, to: &page)
      }
    case .irreversible: page.heading("down: irreversible, as the file says")
    case .derived, nil: page.heading("down: derived from what is recorded")
    }
    for kept in kept { page.line("  \(kept.collection) is kept as \(kept.name)") }
    for undo in undo {
      page.line("  pre-images: \(Quantity.bytes(undo.bytes)) in \(undo.collection)")
    }
  }

  /// A line for each part of the command, and for each item of its lists.
  private func write(_ command: Document, to page: inout Page) {
    for element in command.dropFirst() {
      guard case .array(let items) = element.value, !items.isEmpty else {
        page.line("     \(element.key): \(ExtendedJSON.text(element.value, .relaxed))")
        continue
      }
      page.line("     \(element.key):")
      for item in items { page.line("       \(ExtendedJSON.text(item, .relaxed))") }
    }
  }
}
