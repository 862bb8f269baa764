import BSON
import Migration
import MongoDB

/// What `status` shows.
struct StatusPage: CommandOutput {
  let report: StatusReport

  // MARK: - For programs

  var json: JSONValue {
    [
      "database": .string(report.database),
      "pending": .bool(report.hasPending),
      "migrations": .array(report.rows.map(Self.json)),
      "conflicts": .array(report.conflicts.map(\.json)),
      "problems": .array(report.problems.map(\.json)),
      "lock": report.holder.map(Self.json) ?? .null,
      "kept": .array(report.kept.map(Self.json)),
      "undo": .array(report.undo.map(Self.json)),
    ]
  }

  private static func json(_ row: StatusReport.Row) -> JSONValue {
    let entry = row.entry
    return [
      "name": .string(row.name), "description": .string(optional: row.description),
      "state": .string(row.state.rawValue),
      "appliedAt": .string(optional: entry?.appliedAt?.isoText),
      "startedAt": .string(optional: entry?.startedAt?.isoText),
      "durationMilliseconds": .integer(optional: entry?.durationMilliseconds),
      "batch": .integer(optional: entry?.batch),
      "stepsDone": .integer(optional: row.progress?.done),
      "steps": .integer(optional: row.progress?.of),
      "origin": .string(optional: row.origin),
      "error": entry?.error.map { JSONValue($0) } ?? .null,
    ]
  }

  static func json(_ holder: LeaseHolder) -> JSONValue {
    [
      "holder": JSONValue(holder.holder), "takenAt": .string(optional: holder.takenAt?.isoText),
      "expiresAt": .string(holder.expiresAt.isoText), "expired": .bool(holder.isExpired),
    ]
  }

  private static func json(_ kept: KeptCollections.Kept) -> JSONValue {
    [
      "name": .string(kept.name), "collection": .string(kept.collection),
      "migration": .string(kept.migration), "reason": .string(kept.reason),
      "at": .string(kept.at.isoText), "documents": .integer(optional: kept.documents),
      "bytes": .integer(optional: kept.bytes),
    ]
  }

  private static func json(_ undo: StatusReport.Undo) -> JSONValue {
    [
      "migration": .string(undo.migration), "collection": .string(undo.collection),
      "bytes": .integer(undo.bytes), "chunks": .integer(undo.chunks),
      "since": .string(optional: undo.since?.isoText),
    ]
  }

  // MARK: - For people

  func write(to page: inout Page) {
    page.line("database \(report.database, .bold)")
    if report.rows.isEmpty {
      page.line("no migrations: neither in the folder nor in the ledger")
    } else {
      page.table(table)
      writeErrors(to: &page)
      page.line(StyledText(counts, .bold))
    }
    if let holder = report.holder {
      page.line("locked by \(holder.description) until \(holder.expiresAt.shownText)")
    }
    page.errors("conflicts", report.conflicts)
    page.errors("files that cannot be read", report.problems)
    writeKept(to: &page)
  }

  private var table: Table {
    let hasProgress = report.rows.contains { $0.progress != nil }
    let hasOrigin = report.rows.contains { $0.origin != nil }
    var columns: [Table.Column] = [
      "migration", "state", "applied at (UTC)", .number("batch"), .number("took"),
    ]
    if hasProgress { columns.append("steps") }
    if hasOrigin { columns.append("origin") }
    var table = Table(columns)
    for row in report.rows {
      let entry = row.entry
      let batch = entry.map { $0.batch > 0 ? String($0.batch) : "" } ?? ""
      let took = entry?.durationMilliseconds.map { Quantity.time(.milliseconds($0)) } ?? ""
      var cells: [StyledText] = [
        "\(row.name)", StyledText(row.state.rawValue, Self.style(row.state)),
        "\(entry?.appliedAt?.shownText ?? "")", "\(batch)", "\(took)",
      ]
      if hasProgress { cells.append("\(row.progress.map { "\($0.done) of \($0.of)" } ?? "")") }
      if hasOrigin { cells.append("\(row.origin ?? "")") }
      table.add(cells: cells)
    }
    return table
  }

  private static func style(_ state: StatusReport.State) -> Style {
    switch state {
    case .applied: .good
    case .pending: .plain
    case .running: .name
    case .interrupted, .reverting: .warning
    case .failed, .edited, .missing: .bad
    }
  }

  private func writeErrors(to page: inout Page) {
    for row in report.rows {
      guard let error = row.entry?.error, row.state != .applied else { continue }
      page.line(
        StyledText("  \(row.name): ") + StyledText(error["message"]?.stringValue ?? "failed", .bad))
    }
  }

  private var counts: String {
    let states: [StatusReport.State] = [
      .applied, .pending, .running, .interrupted, .failed, .reverting, .edited, .missing,
    ]
    return states.compactMap { state in
      let count = report.rows.count { $0.state == state }
      return count == 0 ? nil : "\(count) \(state.rawValue)"
    }.joined(separator: ", ")
  }

  private func writeKept(to page: inout Page) {
    guard !report.kept.isEmpty || !report.undo.isEmpty else { return }
    page.line()
    page.heading("kept for the way back")
    var table = Table([
      "what", "of migration", .number("documents"), .number("size"), .number("age"), "forget with",
    ])
    for kept in report.kept {
      table.add(
        "\(kept.collection) as \(kept.name)", "\(kept.migration)",
        "\(kept.documents.map(Quantity.grouped) ?? "?")",
        "\(kept.bytes.map(Quantity.bytes) ?? "?")", "\(kept.at.age(at: report.now))",
        StyledText("migrate forget \(kept.name)", .dim))
    }
    for undo in report.undo {
      table.add(
        "pre-images", "\(undo.migration)", "", "\(Quantity.bytes(undo.bytes))",
        "\(undo.since?.age(at: report.now) ?? "?")",
        StyledText("migrate forget \(undo.migration)", .dim))
    }
    page.table(table)
    page.line(
      StyledText("these may hold personal data; forgetting them makes the change final", .dim))
  }
}
