internal import BSON

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
    if let last = sets.first(where: { $0.isGood && !$0.isFuture() }), let manifest = last.manifest {
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
    let verified = sets.compactMap { set -> Int64? in
      if case .verified(let time, _) = set.state { time } else { nil }
    }
    if let newest = verified.max() {
      page.add(
        "martlet_backup_last_verified_timestamp_seconds", "When a backup was last read back.",
        samples: [("", newest)])
    }
    if let newest = windows.map(\.end).max() {
      page.add(
        "martlet_recoverable_until_timestamp_seconds",
        "The newest moment that can be recovered to.",
        samples: [("", Int64(newest.seconds))])
    }
    page.add(
      "martlet_oplog_gaps", "Gaps in the captured oplog.",
      samples: [("", Int64(chains.reduce(0) { $0 + $1.gaps.count }))])
    page.add(
      "martlet_oplog_base_needed",
      "Captured oplogs without a backup since their last gap or restore.",
      samples: [("", Int64(chains.filter { RestorableWindows.needsBase($0, sets) }.count))])
    if let event {
      var code: Int64 = 0
      if case .failed(_, _, let exitCode) = event { code = Int64(exitCode) }
      page.add(
        "martlet_last_run_exit_code", "Exit code of the last run.", samples: [("", code)])
      page.add(
        "martlet_last_run_timestamp_seconds", "When the last run ended.", samples: [("", now)])
    }
    return page.text
  }

  /// Writes them to a file, whole or not at all; readable by everybody.
  public func write(to path: String, event: NotifierEvent? = nil) throws(BackupError) {
    try Disk.write(try text(event: event), to: path, mode: 0o644)
  }
}

/// The text exposition format.
struct MetricsPage {
  private(set) var text = ""

  /// All are gauges: they can fall.
  mutating func add(_ name: String, _ help: String, samples: [(labels: String, value: Int64)]) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) gauge\n"
    for sample in samples {
      text +=
        sample.labels.isEmpty
        ? "\(name) \(sample.value)\n" : "\(name){\(sample.labels)} \(sample.value)\n"
    }
  }
}
