public import BSON

/// A stretch of time that can be recovered to.
public struct RestorableWindow: Sendable, Hashable {
  /// The base to begin with.
  public let base: String
  /// Both inclusive.
  public let start: Timestamp
  public let end: Timestamp
  /// Only these can be; all of the server when empty.
  public var databases: [String] = []

  /// For people: local times.
  public func text(zone: Zone = .local) -> String {
    let first = Moment.text(Int64(start.seconds), zone: zone)
    // A second can be recovered to when all of it is there; what is shown must be what is accepted.
    let second = Int64(end.seconds) - 1
    let last = Moment.text(second, zone: zone)
    let times =
      start == end
      ? "\(first), exactly \(OplogTime.text(start))"
      : second < Int64(start.seconds)
        ? "\(OplogTime.text(start)) to \(OplogTime.text(end)), in the second of \(first)"
        : "\(first) to \(last)"
    return databases.isEmpty ? times : "\(times) (\(databases.joined(separator: ", ")) only)"
  }
}

/// Which moments can be recovered to. Pure.
public enum RestorableWindows {
  /// One window for each stretch and what it has of the server, oldest first. A base without slices is a
  /// window of one moment.
  public static func all(_ sets: [BackupSet], _ chains: [SliceChain]) -> [RestorableWindow] {
    let captured = Set(chains.flatMap(\.slices).flatMap(\.databases)).sorted()
    var windows: [RestorableWindow] = []
    for set in sets.filter(isBase).sorted(by: { $0.time < $1.time }) {
      guard let manifest = set.manifest, let moment = manifest.consistency?.moment else { continue }
      let own = manifest.database.map { [$0] } ?? []
      let end = reach(set, chains) ?? moment
      add(RestorableWindow(base: set.id, start: moment, end: max(end, moment), databases: own))
      // A capture of some databases may lead further for these.
      for name in captured where manifest.database == nil {
        guard let further = reach(set, chains, [name]), further > end else { continue }
        add(RestorableWindow(base: set.id, start: moment, end: further, databases: [name]))
      }
    }
    return windows

    func add(_ window: RestorableWindow) {
      // What a base reaches belongs to the window that an older one has begun, when it did.
      let last = windows.last { $0.databases == window.databases }
      if let last, last.end >= window.start, last.end == window.end { return }
      windows.append(window)
    }
  }

  /// A safety backup lacks what its restore had loaded beside, and the oplog renames that later.
  static func isBase(_ set: BackupSet) -> Bool {
    set.isGood && set.manifest?.data != nil && set.manifest?.safetyFor == nil
  }

  /// The last time that slices lead to from this base, for these databases; nil is all that it has.
  static func reach(
    _ set: BackupSet, _ chains: [SliceChain], _ databases: Set<String>? = nil
  ) -> Timestamp? {
    guard let manifest = set.manifest, let id = manifest.server?.replicaSetID,
      let from = manifest.consistency?.replayStart
    else { return nil }
    let wanted = databases ?? manifest.database.map { [$0] }
    let runs = chains.filter { $0.replicaSetID == id }.flatMap { $0.limited(to: wanted).runs }
    guard let run = runs.first(where: { $0.covers(from) }) else { return nil }
    // A base that was made at the very end belongs to the next timeline.
    let end = run.slices.first { slice in
      slice.end > from && slice.endsTimeline?.concerns(wanted) == true
    }
    return end?.end ?? run.end
  }

  /// The newest base from which `time` can be reached.
  /// - Throws: ``BackupError`` `.unreachableTime` with what can be reached; `.usage` when bases of several
  ///   replica sets or databases could be meant.
  public static func base(
    for time: Timestamp, _ sets: [BackupSet], _ chains: [SliceChain],
    scope: RecoveryScope = RecoveryScope()
  ) throws(BackupError) -> BackupSet {
    let candidates = sets.filter { set in
      guard isBase(set), scope.takes(set),
        let moment = set.manifest?.consistency?.moment, moment <= time
      else { return false }
      // All of a second is there only when something later is: nothing is guessed.
      guard let reach = reach(set, chains, scope.databases) else { return moment == time }
      return time <= reach || moment == time
    }
    // By the server's time: the clock of the host that made them may have jumped.
    let newest = try scope.unambiguous(candidates).max { a, b in
      let (first, second) = (a.manifest?.consistency?.moment, b.manifest?.consistency?.moment)
      return (first ?? Timestamp(rawValue: 0)) < (second ?? Timestamp(rawValue: 0))
    }
    if let newest { return newest }
    throw unreachable(time, sets.filter { scope.takes($0) }, chains, for: scope.databases)
  }

  /// True when what happens now in the server, or in a database that has bases of its own, cannot be
  /// recovered to: since the last gap, or since a restore of it, none was made.
  static func needsBase(_ chain: SliceChain, _ sets: [BackupSet]) -> Bool {
    guard let end = chain.runs.last?.end else { return false }
    let bases = sets.filter {
      isBase($0) && $0.manifest?.server?.replicaSetID == chain.replicaSetID
    }
    func leads(_ set: BackupSet) -> Bool {
      guard let from = set.manifest?.consistency?.replayStart else { return false }
      // The capture may be behind, and may be of some databases only.
      let captured = set.manifest?.database == nil ? Set(chain.slices.last?.databases ?? []) : []
      return from > end || reach(set, [chain], captured.isEmpty ? nil : captured) == end
    }
    let leading = bases.filter(leads)
    if leading.contains(where: { $0.manifest?.database == nil }) { return false }
    return bases.isEmpty
      || !Set(bases.map { $0.manifest?.database })
        .isSubset(of: Set(leading.map { $0.manifest?.database }))
  }

  /// Why a moment cannot be reached, and what can be.
  /// - Parameter from: the one base that may be used.
  static func unreachable(
    _ time: Timestamp, _ sets: [BackupSet], _ chains: [SliceChain], from base: BackupSet? = nil,
    for databases: Set<String>? = nil
  ) -> BackupError {
    let bases = (base.map { [$0] } ?? sets).filter {
      guard isBase($0), let moment = $0.manifest?.consistency?.moment else { return false }
      return moment <= time
    }
    var reasons: [String] = []
    for chain in chains {
      let own = bases.filter { $0.manifest?.server?.replicaSetID == chain.replicaSetID }
      let reached = own.compactMap {
        reach($0, chains, databases) ?? $0.manifest?.consistency?.moment
      }.max()
      guard let reached else { continue }
      if let newer = chain.newer.first(where: { $0.end > reached && $0.start <= time }) {
        return BackupError(
          .unsupported,
          "from \(Moment.text(Int64(newer.start.seconds))) (local) on the captured oplog was written by "
            + "a newer version",
          path: newer.path, hint: Slice.newerHint)
      }
      let names = own.compactMap { $0.manifest?.database }
      let wanted = databases ?? (names.count == own.count ? Set(names) : nil)
      if let end = chain.ends.last(where: {
        $0.at >= reached && $0.at <= time && $0.end.concerns(wanted)
      }) {
        reasons.append(
          "the restore of \(end.end.backup) ended its timeline at "
            + "\(Moment.text(Int64(end.at.seconds))), and no backup was made since")
      } else if let gap = chain.gaps.last(where: { $0.after >= reached && $0.after < time }) {
        reasons.append(
          "the captured oplog has a gap from \(Moment.text(Int64(gap.after.seconds))) to "
            + Moment.text(Int64(gap.before.seconds)))
      }
    }
    let windows = all(sets, chains).map { $0.text() }
    return BackupError(
      .unreachableTime,
      ([
        "\(Moment.text(Int64(time.seconds))) (local) cannot be reached"
          + (databases.map { " for \($0.sorted().joined(separator: ", "))" } ?? "")
      ] + reasons)
      .joined(separator: ": "),
      path: base?.id,
      hint: windows.isEmpty
        ? "nothing can be recovered to; martlet backup run makes a base"
        : "what can be: " + windows.joined(separator: "; "))
  }
}
