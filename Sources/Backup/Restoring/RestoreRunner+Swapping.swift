internal import BSON
internal import Dump
import Fingerprint
internal import MongoDB

extension RestoreRunner {
  static func expiries(_ loaded: LoadSummary.Collection?, _ target: Namespace)
    -> [Document]
  {
    var out: [Document] = (loaded?.indexSpecs ?? []).compactMap { spec in
      guard let seconds = spec["expireAfterSeconds"], let name = spec["name"] else { return nil }
      return [
        "collMod": .string(target.collection),
        "index": ["name": name, "expireAfterSeconds": seconds],
      ]
    }
    if let seconds = loaded?.expireAfterSeconds {
      out.append(["collMod": .string(target.collection), "expireAfterSeconds": seconds])
    }
    return out
  }

  /// How what is live will be replaced; found out before anything is loaded.
  /// - Throws: ``BackupError`` `.privilege` when a write could be lost.
  func swapWay(_ plan: RestorePlan, _ temporary: Temporary) throws -> Swapper.Way {
    // A replay may make what is not in the base and is live.
    let items = plan.results.filter { $0.way == .swap || options.end != nil }
    guard let first = items.first, options.safetyBackup, !options.writersAreStopped else {
      return .replace
    }
    let isLive = items.contains { $0.liveCount != nil || options.end != nil }
    return try pool.withClient { client in
      let swapper = Swapper(client: client, options: options)
      if try swapper.canExchange(first.target.database, temporary) { return .exchange }
      if LateWrites(client: client, store: store, options: options).isPossible() {
        guard isLive else { return .replaceCollecting }
        options.notice?(
          "this user may not exchange collections: what is written to them between the safety backup "
            + "and the swap is added to the safety backup from the oplog")
        return .replaceCollecting
      }
      guard isLive else { return .fillIn }
      throw BackupError(
        .privilege,
        "this user may neither exchange collections nor read the oplog, so that a write between the "
          + "safety backup and the swap could be lost; nothing was loaded",
        hint: "give it the role backup (it reads the oplog), or stop the application and add "
          + "--writers-stopped")
    }
  }

  func perform(
    _ swaps: [Journal.Swap], _ way: Swapper.Way, _ temporary: Temporary, _ reload: Reload,
    _ report: inout RestoreReport
  ) throws {
    try pool.withClient { client in
      let swapper = Swapper(client: client, options: options)
      let prepared = try swaps.map { swap -> Journal.Swap in
        var swap = swap
        let live = try swapper.info(swap.target)
        if let live, live.type != .collection {
          throw Swapper.otherKind(
            swap.target, "rename or drop it, or give the restored one another name with --rename")
        }
        if way == .exchange { swap.kept = temporary.kept(swap.target) }
        swap.replaced = live?.uuid.map { [$0] } ?? []
        return swap
      }
      // Without a safety backup that could get its writes, nothing that comes from now on is dropped.
      var way = way
      if way == .replaceCollecting, report.safetyBackup == nil { way = .fillIn }
      if way == .fillIn, let taken = prepared.first(where: { !$0.replaced.isEmpty }) {
        throw Swapper.taken(taken)
      }
      try collectEarly(
        way == .replaceCollecting ? prepared : [], reload, report.safetyBackup, client)
      let journal = Journal(client: client)
      try journal.swapping(
        temporary.token, prepared, way, safety: report.safetyBackup, reload: reload)
      options.notice?("swapping \(prepared.count) collections into place")
      for swap in prepared {
        let notices = try swapper.swap(swap, way) {
          try journal.replacing(temporary.token, swap.target, $0)
        }
        for notice in notices { options.notice?(notice) }
        report.notices += notices
        report.restored.append(swap.target)
      }
      try journal.confirm(temporary.token, options)
      // What another restore had loaded at that moment, and what a replay has made besides.
      try RestoreRecovery(client: client, options: options).drop(
        temporary.stem, except: prepared.compactMap(\.kept))
      let recovery = RestoreRecovery(client: client, options: options, store: store)
      report.kept += try recovery.settle(prepared, report.safetyBackup)
      // With what is still to be reloaded it is done once, for both.
      if reload.isEmpty { report.lateWrites += try recovery.addLateWrites(temporary.token) }
    }
  }

  /// Late writes once before anything is replaced: when the oplog does not reach back any more,
  /// nothing has happened yet.
  func collectEarly(
    _ swaps: [Journal.Swap], _ reload: Reload, _ safety: String?, _ client: Client
  ) throws {
    guard let safety else { return }
    let late = LateWrites(client: client, store: store, options: options)
    let replaced = try reload.replaced ?? uuids(reload.targets)
    guard !swaps.isEmpty || (!replaced.isEmpty && late.isPossible()) else { return }
    options.notice?("collecting what was written since the safety backup")
    _ = try late.add(to: safety, replaced: Set(replaced + swaps.flatMap(\.replaced)))
  }

  /// Those of some names that are there now.
  func live(_ names: [Namespace]) throws -> [Namespace] {
    try pool.withClient { client in
      try names.filter { name in
        try !client.database(name.database).listCollections(
          filter: ["name": .string(name.collection)]
        ).isEmpty
      }
    }
  }
}
