import BSON
import Backup

/// One set.
struct BackupSetPage: CommandOutput {
  let set: BackupSet

  var json: JSONValue { Self.json(set, whole: true) }

  static func json(_ set: BackupSet, whole: Bool) -> JSONValue {
    var fields: [(String, JSONValue)] = [
      ("id", .string(set.id)), ("state", .string(set.state.word)),
      ("good", .bool(set.isGood)), ("time", .string(Moment.iso(set.time))),
    ]
    if set.isFuture() { fields.append(("future", .bool(true))) }
    switch set.state {
    case .damaged(let reason): fields.append(("damage", .string(reason)))
    case .newer(let reason): fields.append(("newer", .string(reason)))
    case .verified(let time, let depth):
      fields.append(("verified", ["time": .string(Moment.iso(time)), "depth": .string(depth)]))
    case .complete: break
    }
    guard let manifest = set.manifest else { return .object(fields) }
    if whole {
      fields.append(("manifest", JSONValue(manifest.document)))
    } else {
      fields += [
        ("kind", .string(manifest.kind.rawValue)), ("tags", .strings(manifest.tags)),
        ("database", .string(optional: manifest.database)),
        ("consistency", .string(optional: manifest.consistency?.mode)),
        ("documents", .integer(manifest.documents)), ("bytes", .integer(manifest.dataBytes)),
        ("storedBytes", .integer(manifest.storedBytes)),
        ("durationMs", .integer(manifest.durationMilliseconds)),
      ]
    }
    return .object(fields)
  }

  func write(to page: inout Page) {
    page.line("backup \(set.id, .bold): \(set.state.word, set.isGood ? .good : .bad)")
    switch set.state {
    case .damaged(let reason), .newer(let reason): page.line("  \(reason)")
    case .complete, .verified: break
    }
    if set.isFuture() { page.line("  its date is in the future: was a clock wrong?") }
    guard let manifest = set.manifest else { return }
    if let consistency = manifest.consistency {
      let moment = consistency.moment.map { " at " + Moment.text(Int64($0.seconds)) + " (local)" }
      page.line("consistency: \(consistency.mode + (moment ?? ""))")
    }
    if let server = manifest.server {
      page.line(
        "server: \(server.version + ", " + server.topology), database: \(manifest.database ?? "all")"
      )
    }
    if !manifest.tags.isEmpty { page.line("tags: \(manifest.tags.joined(separator: ", "))") }
    if let last = manifest.migrations.last {
      page.line("migrations: \(String(manifest.migrations.count)) applied, the last is \(last)")
    }
    var files = Table(["file", .number("size"), "sha256"])
    for file in manifest.files {
      files.add(
        "\(file.name)", "\(Quantity.bytes(file.digest.size))",
        "\(String(file.digest.sha256.prefix(16)), .dim)")
    }
    page.table(files)
    var table = Table(["collection", .number("documents"), .number("size"), .number("indexes")])
    for collection in manifest.collections where !collection.type.isEmpty {
      table.add(
        "\(collection.namespace)", "\(Quantity.grouped(collection.count))",
        "\(Quantity.bytes(collection.bytes))", "\(String(collection.indexes.count))")
    }
    page.table(table)
    for notice in manifest.notices { page.line("note: \(notice)") }
  }
}

/// All sets: first what can be recovered to.
struct BackupListPage: CommandOutput {
  let location: String
  let sets: [BackupSet]
  let windows: [RestorableWindow]
  let now: Int64

  var json: JSONValue {
    [
      "store": .string(location),
      "windows": .array(windows.map(Self.json)),
      "backups": .array(sets.map { BackupSetPage.json($0, whole: false) }),
    ]
  }

  static func json(_ window: RestorableWindow) -> JSONValue {
    [
      "base": .string(window.base), "start": .string(Moment.iso(Int64(window.start.seconds))),
      "end": .string(Moment.iso(Int64(window.end.seconds))),
      "startTimestamp": .string(OplogTime.text(window.start)),
      "endTimestamp": .string(OplogTime.text(window.end)),
      "databases": .strings(window.databases),
    ]
  }

  func write(to page: inout Page) {
    page.line("store \(location, .bold)")
    guard !sets.isEmpty else {
      page.line("no backups")
      return
    }
    page.heading("can be recovered to (local time)")
    if windows.isEmpty { page.line("  no moment in time: only the backups as they are") }
    for window in windows {
      page.line("  \(window.text())")
    }
    var table = Table([
      "backup", "age", .number("stored"), .number("documents"), "consistency", "state", "tags",
    ])
    for set in sets {
      let manifest = set.manifest
      table.add(
        "\(set.id)",
        set.isFuture(now)
          ? StyledText("in the future", .warning)
          : "\(Quantity.time(.seconds(max(0, now - set.time))))",
        "\(manifest.map { Quantity.bytes($0.storedBytes) } ?? "?")",
        "\(manifest.map { Quantity.grouped($0.documents) } ?? "?")",
        "\(manifest?.consistency?.mode ?? "-")",
        StyledText(set.state.word, set.isGood ? .good : .bad),
        "\(manifest?.tags.joined(separator: " ") ?? "")")
    }
    page.table(table)
  }
}

/// What pruning does.
struct PrunePage: CommandOutput {
  let plan: Pruner.Plan
  let isDryRun: Bool

  var json: JSONValue {
    [
      "dryRun": .bool(isDryRun),
      "backups": .array(
        plan.verdicts.map {
          ["id": .string($0.id), "kept": .bool($0.isKept), "reasons": .strings($0.reasons)]
        }),
      "removedBytes": .integer(plan.removedBytes),
      "debris": .strings(plan.debris), "slices": .integer(Int64(plan.slices.count)),
    ]
  }

  func write(to page: inout Page) {
    var table = Table(["backup", isDryRun ? "would be" : "was", "why"])
    for verdict in plan.verdicts {
      table.add(
        "\(verdict.id)",
        StyledText(verdict.isKept ? "kept" : "removed", verdict.isKept ? .good : .warning),
        "\(verdict.reasons.joined(separator: ", "))")
    }
    page.table(table)
    for name in plan.debris { page.line("\(name): no backup, what a run that died has left") }
    if !plan.slices.isEmpty {
      page.line("\(String(plan.slices.count)) slices of the oplog before the oldest kept base")
    }
    page.line(
      "\(String(plan.removed.count)) backups, \(Quantity.bytes(plan.removedBytes)) \(isDryRun ? "would be freed" : "freed")"
    )
  }
}
