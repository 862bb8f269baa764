internal import BSON
internal import Dump

/// What Prometheus gets to see of a store, as node_exporter's text collector reads it.
public struct BackupMetrics: Sendable {
  private let store: any Store

  public init(_ store: any Store) { self.store = store }

  /// The metrics of what is in the store now. Successes survive failed runs: they are read from the
  /// store, not remembered.
  /// - Throws: ``BackupError`` of the store.
  public func text(event: NotifierEvent? = nil, now: Int64 = Moment.now()) throws(BackupError)
    -> String
  {
    let sets = try Catalog(store).sets()
    let chains = try SliceCatalog(store).chains()
    let windows = RestorableWindows.all(sets, chains)
    var page = MetricsPage()
    page.add(
      "martlet_backups", "Backup sets in the store, by state.",
      samples: [
        ("state=\"good\"", Int64(sets.filter(\.isGood).count)),
        ("state=\"damaged\"", Int64(sets.filter { $0.state.word == "damaged" }.count)),
        ("state=\"newer\"", Int64(sets.filter { $0.state.word == "newer" }.count)),
      ])
    // One that is dated in the future would hide that none is made any more.
    // Nor are files, or what a restore has put aside, a backup of the data.
    let successes = sets.filter { $0.isGood && !$0.isFuture() && $0.manifest?.safetyFor == nil }
    if let manifest = successes.compactMap(\.manifest).first(where: { $0.data != nil }) {
      page.add(
        "martlet_backup_last_success_timestamp_seconds", "When the newest good backup was done.",
        samples: [("", manifest.finished)])
      page.add(
        "martlet_backup_last_duration_seconds", "How long it took.",
        samples: [("", manifest.durationMilliseconds / 1000)])
      page.add(
        "martlet_backup_last_stored_bytes", "Its size in the store.",
        samples: [("", manifest.storedBytes)])
      page.add(
        "martlet_backup_last_documents", "Documents in it.", samples: [("", manifest.documents)])
    }
    if let manifest = successes.compactMap(\.manifest).first(where: { manifest in
      manifest.files.contains { $0.role == .files || $0.role == .command }
    }) {
      page.add(
        "martlet_backup_last_files_success_timestamp_seconds",
        "When the newest good backup with files or other services' streams was done.",
        samples: [("", manifest.finished)])
    }
    page.add(
      "martlet_backup_checks", "Backup sets that have been read back, by outcome.",
      samples: [
        ("outcome=\"whole\"", Int64(sets.filter { $0.state.word == "verified" }.count)),
        ("outcome=\"damaged\"", Int64(sets.filter { $0.state.word == "damaged" }.count)),
      ])
    let verified = sets.compactMap { set -> Int64? in
      if case .verified(let time, _) = set.state { time } else { nil }
    }
    if let newest = verified.max() {
      page.add(
        "martlet_backup_last_verified_timestamp_seconds", "When a backup was last read back.",
        samples: [("", newest)])
    }
    if let newest = windows.map(\.end).max() {
      page.add(recoverable: newest)
    }
    page.add(
      "martlet_oplog_gaps", "Gaps in the captured oplog.",
      samples: [("", Int64(chains.reduce(0) { $0 + $1.gaps.count }))])
    page.add(
      "martlet_oplog_base_needed",
      "Captured oplogs without a backup since their last gap or restore.",
      samples: [("", Int64(chains.filter { RestorableWindows.needsBase($0, sets) }.count))])
    if let newest = chains.compactMap({ $0.slices.last?.end }).max() { page.add(captured: newest) }
    if let event { page.add(event, now) }
    return page.text
  }

  /// Writes them to a file, whole or not at all; readable by everybody. When the store cannot be read,
  /// what the file says of it stays, and the event is told all the same.
  public func write(to path: String, event: NotifierEvent? = nil) throws(BackupError) {
    let now = Moment.now()
    do throws(BackupError) {
      try Disk.write(try text(event: event, now: now), to: path, mode: 0o644)
    } catch {
      if let event {
        var page = MetricsPage(from: path)
        page.add(event, now)
        try? Disk.write(page.text, to: path, mode: 0o644)
      }
      throw error
    }
  }

  /// Tells of one more slice without reading the whole store for it.
  public static func note(_ slice: Slice, in path: String) throws(BackupError) {
    var page = MetricsPage(from: path)
    if let until = page.value(MetricsPage.recoverable), until >= Int64(slice.start.seconds) {
      // What follows the end of a timeline begins behind it, and leads nowhere without a new base.
      let end = slice.end.seconds - (slice.endsTimeline == nil ? 0 : 1)
      page.add(recoverable: Timestamp(seconds: end, increment: 0))
    }
    page.add(captured: slice.end)
    try Disk.write(page.text, to: path, mode: 0o644)
  }
}

/// The text exposition format.
struct MetricsPage {
  static let recoverable = "martlet_recoverable_until_timestamp_seconds"

  private(set) var text = ""

  init() {}

  /// What a file of ours says; nothing when there is none.
  init(from path: String) {
    let bytes = try? Transfer.bytes(try FileSource(path: path), limit: 1 << 20)
    text = bytes.map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// All are gauges: they can fall. One of that name is replaced.
  mutating func add(_ name: String, _ help: String, samples: [(labels: String, value: Int64)]) {
    remove(name)
    text += "# HELP \(name) \(help)\n# TYPE \(name) gauge\n"
    for sample in samples {
      text +=
        sample.labels.isEmpty
        ? "\(name) \(sample.value)\n" : "\(name){\(sample.labels)} \(sample.value)\n"
    }
  }

  mutating func add(_ event: NotifierEvent, _ now: Int64) {
    var code: Int64 = 0
    if case .failed(_, _, let exitCode) = event { code = Int64(exitCode) }
    add("martlet_last_run_exit_code", "Exit code of the last run.", samples: [("", code)])
    add("martlet_last_run_timestamp_seconds", "When the last run ended.", samples: [("", now)])
  }

  mutating func add(recoverable time: Timestamp) {
    add(
      Self.recoverable, "The newest moment that can be recovered to.",
      samples: [("", Int64(time.seconds))])
  }

  mutating func add(captured time: Timestamp) {
    add(
      "martlet_oplog_captured_until_timestamp_seconds", "The end of the newest slice of the oplog.",
      samples: [("", Int64(time.seconds))])
  }

  /// Of a metric without labels.
  func value(_ name: String) -> Int64? {
    text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
      .flatMap { Int64($0.dropFirst(name.count + 1)) }
  }

  private mutating func remove(_ name: String) {
    let kept = text.split(separator: "\n").filter { line in
      !["# HELP \(name) ", "# TYPE \(name) ", name + " ", name + "{"].contains(
        where: line.hasPrefix)
    }
    text = kept.map { $0 + "\n" }.joined()
  }
}
