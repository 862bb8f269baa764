import BSON
import Migration
import MongoDB
import Validation

/// What is done about a failure.
extension WindowRun {
  /// Answers a failure as the configuration says, and returns the exit code of the window. Killed in
  /// between, the next run comes back here.
  func answer(_ failure: WindowJournal.Recovery) -> CommandStatus {
    var failure = failure
    if journal.recovery == nil {
      journal.notes.append("Stopped at \(failure.stage.title): \(failure.detail).")
    }
    journal.recovery = failure
    keep()
    // Hooks and inverses have to run even after Ctrl-C.
    let actions = WindowActions(run: self, cancellation: Cancellation())
    guard failure.stage.isInside, journal.mayBeStopped else {
      journal.notes.append(
        failure.stage == .health
          ? "The migrations are applied and the services were started; the health checks failed."
          : "Nothing was changed, and no service was stopped.")
      return settle(failure)
    }
    if failure.stage == .start, !failure.isSignal {
      journal.notes.append("The migrations are applied. A start hook failed: look at the services.")
      return settle(failure)
    }
    var starts = true
    if failure.stage == .start {
      journal.notes.append("The migrations are applied.")
    } else if journal.mayHaveChanged {
      (failure.isBack, starts) = takeBack(failure, actions)
    }
    if starts {
      let started = Clock.now()
      let failed = (try? actions.hooks(window.start))?.status != .done
      if !window.start.isEmpty { answered("start services again", since: started, failed) }
      journal.mayBeStopped = failed
      journal.notes.append(
        failed
          ? "A start hook failed: look at the services."
          : window.start.isEmpty
            ? "No start hooks are configured." : "Services were started again.")
    }
    return settle(failure)
  }

  private func settle(_ failure: WindowJournal.Recovery) -> CommandStatus {
    var failure = failure
    failure.isSettled = true
    journal.recovery = failure
    keep()
    return failure.status
  }

  /// Puts what was done about a failure on the timeline.
  private func answered(_ title: String, since started: Int64, _ isFailed: Bool) {
    journal.answers.append(
      .init(
        title: title, state: isFailed ? .failed : .done, startedAt: started,
        duration: max(0, Clock.now() - started)))
  }

  /// Whether the database is as it was, and whether the services may start.
  private func takeBack(
    _ failure: WindowJournal.Recovery, _ actions: WindowActions
  ) -> (isBack: Bool, starts: Bool) {
    if failure.status == .stopped, !failure.isSignal {
      // Stopped at a safe point: the migrations are half way, and only --resume makes them whole.
      journal.notes.append("Services stay stopped: martlet window --resume goes on.")
      return (false, false)
    }
    guard onFailure != .stop else {
      journal.notes.append("On failure: stop. Nothing was taken back; services stay stopped.")
      return (false, false)
    }
    context.console.status("\("==", .dim) \("on failure: \(onFailure.rawValue)", .bold)")
    let outcome: WindowActions.TakenBack
    let started = Clock.now()
    do {
      outcome = try onFailure == .down ? actions.down() : actions.restore()
    } catch {
      let report = ErrorReport(error)
      context.console.report(report)
      outcome = .failed(report.message)
    }
    var isFailed = false
    if case .failed = outcome { isFailed = true }
    answered("on failure: \(onFailure.rawValue)", since: started, isFailed)
    switch outcome {
    case .nothing:
      journal.notes.append(
        "On failure: \(onFailure.rawValue). No migration had begun: nothing was taken back.")
      return (true, true)
    case .failed(let why):
      journal.notes.append(
        "On failure: \(onFailure.rawValue) FAILED: \(why). Services stay stopped; look at the log.")
      return (false, false)
    case .done(let how):
      let word = onFailure.rawValue
      guard let differences = compared() else {
        journal.notes.append("On failure: \(word). \(how) It was not compared with the snapshot.")
        return (true, true)
      }
      journal.notes.append(
        differences.isEmpty
          ? "On failure: \(word). \(how) The database is back as it was: compared with the snapshot, "
            + "every count, fingerprint and index is the same."
          : "On failure: \(word). \(how) NOT as it was, compared with the snapshot: "
            + differences.joined(separator: "; "))
      return (true, true)
    }
  }

  /// What differs from the snapshot of before; nil when that cannot be told.
  private func compared() -> [String]? {
    guard let old = try? SnapshotFile.read(snapshotPath, database: database) else { return nil }
    do {
      let pool = try context.pool(settings)
      var options = CheckOptions(cancellation: Cancellation())
      options.folder = settings.folder
      var expectations = Expectations()
      expectations.ownCollections = [settings.migrationsCollection.value]
      let new = try Validator(
        pool, database: database, phase: .after, expectations: expectations, options: options
      ).snapshot()
      var bare = old
      bare.queries = []
      return Comparison(bare, new, own: expectations.ownCollections).checks
        .filter { $0.status == .failed || $0.status == .skipped }
        .map { "\($0.id) \($0.subject): \($0.message)" }
    } catch {
      context.console.warn("cannot compare with the snapshot: \(ErrorReport(error).message)")
      return nil
    }
  }
}

extension WindowActions {
  /// What became of `down` or `restore`.
  enum TakenBack {
    /// No migration had begun.
    case nothing
    case done(String)
    case failed(String)
  }

  /// Takes back the migrations that this window began, and no others.
  func down() throws -> TakenBack {
    let begun = try begunMigrations()
    guard !begun.isEmpty else { return .nothing }
    let planPath = "\(run.folder)/window-down.json"
    let planned = try martlet(
      ["migrate", "down", "--count", "\(begun.count)", "--dry-run"], output: planPath)
    guard planned.status == .done || planned.status == .checksFailed else {
      return .failed(planned.detail ?? "no plan")
    }
    guard Set(Self.migrations(planPath)) == begun else {
      return .failed("somebody else has applied migrations since, and those would go too")
    }
    let result = try martlet(
      ["migrate", "down", "--count", "\(begun.count)", "--yes", "--wait", "3m"])
    let words = Words.counted(Int64(begun.count), "migrations")
    switch result.status {
    case .done: return .done("\(words) taken back.")
    case .partlyDone:
      return .done(
        "\(words) taken back, except for documents that changed since: see the log.")
    default: return .failed(result.detail ?? "migrate down failed")
    }
  }

  /// Entries of the ledger that were not there before this window's `up`, and that it has made: another
  /// run may have made some meanwhile.
  private func begunMigrations() throws -> Set<String> {
    let before = Set(run.journal.inLedger ?? [])
    return Set(
      try ledger().filter { name, entry in
        guard !before.contains(name), let pid = entry.appliedBy?["pid"]?.integerValue else {
          return false
        }
        return run.journal.migrators.contains(pid)
      }.keys)
  }

  /// All entries, by name.
  func ledger() throws -> [String: LedgerEntry] {
    let names = LedgerNames(ledger: run.settings.migrationsCollection.value)
    return try run.context.pool(run.settings).withClient { client in
      try Ledger(client.database(run.database), names: names).load()
    }
  }

  /// Brings back the backup of this window. What came to be since is put aside: it would otherwise
  /// stay, and so would the ledger that says that the migrations are applied.
  func restore() throws -> TakenBack {
    guard try !begunMigrations().isEmpty else { return .nothing }
    guard let backup = run.journal.backup else { return .failed("this window made no backup") }
    let planPath = "\(run.folder)/window-restore.json"
    let words = ["restore", backup]
    let planned = try martlet(words + ["--dry-run"], output: planPath)
    guard planned.status == .done else { return .failed(planned.detail ?? "no plan") }
    let untouched = Self.strings(planPath, "untouched")
    var more = ["--yes"]
    // Hooks have stopped whoever writes.
    if !run.window.stop.isEmpty { more.append("--writers-stopped") }
    let result = try martlet(words + more)
    guard result.status == .done else { return .failed(result.detail ?? "restore failed") }
    let aside = try putAside(untouched)
    return .done(
      "Restored from \(backup)."
        + (aside.isEmpty ? "" : " Put aside, as they are new: \(aside.joined(separator: ", ")).")
        + " What was replaced is in the safety backup.")
  }

  private func putAside(_ namespaces: [String]) throws -> [String] {
    let names = LedgerNames(ledger: run.settings.migrationsCollection.value)
    let prefix = "\(names.ledger).aside."
    let start = "\(run.database)."
    return try run.context.pool(run.settings).withClient { client in
      let database = client.database(run.database)
      var moved: [String] = []
      for info in try database.listCollections() {
        let name = info.name
        guard namespaces.contains(start + name), ![names.lock, names.history].contains(name),
          !name.hasPrefix(prefix), !name.hasPrefix("system.")
        else { continue }
        switch info.type {
        case .collection:
          let stamp = String(Clock.now() / 1000, radix: 36)
          try database.rename(name, to: "\(prefix)\(stamp).\(name)")
        // A view has no documents; its definition is in the migration.
        case .view: try database.drop(name)
        case .timeseries where try database.findOne(name) == nil: try database.drop(name)
        case .timeseries, .other: continue
        }
        moved.append(name)
      }
      return moved
    }
  }
}
