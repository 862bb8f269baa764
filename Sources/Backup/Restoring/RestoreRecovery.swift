internal import BSON
internal import Dump
import Fingerprint
internal import MongoDB

/// Completes or takes back what earlier restores have left.
struct RestoreRecovery {
  let client: Client
  let options: RestoreOptions
  /// Where the safety backup of the dead restore may be.
  var store: (any Store)?
  /// Loads what an entry of the journal says that was to be loaded in place.
  var reload: ((Document) throws -> Void)?
  /// Backs databases up before more of them is replaced for a backup's sake; nil when that is not wanted.
  var save: ((_ backup: String, _ databases: Set<String>) throws -> String?)?

  /// Drops what was loaded by a run that died before its first swap; completes one that died after it,
  /// when it was at work on the same databases. Others are not ours to change.
  ///
  /// - Parameters:
  ///   - databases: those of the restore that is about to begin.
  ///   - only: one entry of the journal.
  /// - Throws: ``BackupError`` `.locked` when another restore is at work on one of them, `.conflict` when
  ///   what is there now is not what it was about to replace.
  func run(databases: Set<String>, only: String? = nil) throws {
    let journal = Journal(client: client)
    for document in try journal.open() {
      guard let token = document["_id"]?.stringValue, only == nil || only == token else { continue }
      let theirs = (document["databases"]?.arrayValue ?? []).compactMap(\.stringValue)
      let isOurs = !databases.isDisjoint(with: theirs)
      let holder = document["holder"]?.documentValue.flatMap { LockHolder($0) }
      if let holder, document["isAbandoned"]?.isTruthy != true, isAlive(holder) {
        guard isOurs else { continue }
        guard options.takesOver else { throw busy(holder) }
      }
      let state = document["state"]?.stringValue.flatMap { Journal.State(rawValue: $0) }
      if state == .loading || state == nil {
        try drop(try Temporary(token: token).stem)
        options.notice?("removed what an earlier restore had loaded before it died")
      } else if isOurs {
        try complete(document, token, isSwapping: state == .swapping)
        try tellAsides(token, theirs)
        let mark = TimelineEnd(
          backup: document["backup"]?.stringValue ?? "", run: token, databases: theirs)
        try? mark.leave(.after, client)
      } else {
        let backup = document["backup"]?.stringValue ?? "a backup"
        options.notice?(
          "a restore of \(backup) has not been completed (\(theirs.sorted().joined(separator: ", "))): "
            + "run it again, which completes it first")
        continue
      }
      try journal.end(token)
    }
  }

  /// The run that put them aside told it, and nobody may have seen it.
  private func tellAsides(_ token: String, _ databases: [String]) throws {
    let stem = try Temporary(token: token).stem + Temporary.asideMark
    for database in databases.sorted() {
      for info in try client.database(database).listCollections() where info.name.hasPrefix(stem) {
        options.notice?(
          "what somebody made while the earlier restore loaded is kept as \(database).\(info.name)")
      }
    }
  }

  private func complete(_ document: Document, _ token: String, isSwapping: Bool) throws {
    let journal = Journal(client: client)
    if isSwapping {
      options.notice?("an earlier restore died while it swapped: completing it")
      let swaps = (document["swaps"]?.arrayValue ?? []).compactMap { value in
        value.documentValue.flatMap { Journal.Swap($0) }
      }
      let way =
        document["way"]?.stringValue.flatMap { Swapper.Way(rawValue: $0) } ?? .replaceCollecting
      let swapper = Swapper(client: client, options: options)
      for swap in swaps { try requireOwn(swap, token) }
      if way == .replaceCollecting { try saveAgain(document, token, swaps, swapper) }
      for swap in try swaps.filter({ try isPossible($0, swapper) }) {
        let notices = try swapper.swap(swap, way) { try journal.replacing(token, swap.target, $0) }
        for notice in notices { options.notice?(notice) }
      }
      try journal.confirm(token, options)
      try drop(try Temporary(token: token).stem, except: swaps.compactMap(\.kept))
      for kept in try settle(swaps, document["safety"]?.stringValue) {
        options.notice?("what was replaced is kept as \(kept)")
      }
    }
    do { try addLateWrites(token) } catch let error as BackupError where error.code == .gap {
      guard options.takesOver else {
        throw FailureWords.hint(error) { _ in ["--take-over goes on without them"] }
      }
      options.notice?(error.message)
    }
    do { try reload?(try journal.entry(token) ?? document) } catch {
      try giveUp(token, error)
    }
  }

  /// That the one who began it is dead is no reason to give up what it began: only when completing it has failed
  /// before, and the operator says so.
  /// - Throws: the error with what can be done, unless it is given up.
  private func giveUp(_ token: String, _ error: any Error) throws {
    guard FailureWords.isFinal(error) else { throw error }
    let journal = Journal(client: client)
    let entry = try journal.entry(token) ?? [:]
    let places = Self.places(entry)
    guard options.takesOver, entry["hasFailed"]?.isTruthy == true else {
      try journal.failed(token)
      throw FailureWords.hint(error) { own in
        [
          own,
          "if that stays so, --take-over gives up what cannot be completed of the earlier restore",
          places,
        ]
      }
    }
    options.notice?("\(FailureWords.sentence(error)): left as it is")
    if let places { options.notice?(places) }
  }

  /// A swap drops what is live. What was written to it since its safety backup must be in one: the oplog may not
  /// reach back any more.
  private func saveAgain(
    _ document: Document, _ token: String, _ swaps: [Journal.Swap], _ swapper: Swapper
  ) throws {
    guard let safety = document["safety"]?.stringValue, let save, let store else { return }
    var isLeft = false
    var done: [String] = []
    for swap in swaps {
      let live = try swapper.uuid(swap.target)
      if let live, live == swap.uuid {
        if !swap.replaced.isEmpty { done.append(swap.target.description) }
      } else if live != nil {
        isLeft = true
      }
    }
    guard isLeft, try !LateWrites(client: client, store: store, options: options).reaches(safety)
    else { return }
    let databases = (document["databases"]?.arrayValue ?? []).compactMap(\.stringValue)
    guard let again = try save(document["backup"]?.stringValue ?? "a backup", Set(databases)) else {
      options.notice?(
        "what was written after \(safety) to what is replaced now is in no backup: none was wanted")
      return
    }
    options.notice?(
      "what was written after \(safety) cannot be added to it from here: what is replaced now is in "
        + again)
    if !done.isEmpty {
      options.notice?(
        "what was written to \(done.joined(separator: ", ")) just before its swap is in \(safety) as far "
          + "as it was collected then")
    }
    try Journal(client: client).saved(token, again)
  }

  /// Which backups have what a restore has replaced.
  private static func places(_ entry: Document) -> String? {
    let safeties = (entry["safeties"]?.arrayValue ?? []).compactMap(\.stringValue)
    guard let first = safeties.first else { return nil }
    let later = safeties.dropFirst().joined(separator: ", ")
    return "what was there before it is in \(first)"
      + (later.isEmpty ? "" : ", what came since in \(later)")
  }

  // MARK: - Swaps

  /// Whether a swap can still be made, and would replace what it was meant to.
  private func isPossible(_ swap: Journal.Swap, _ swapper: Swapper) throws -> Bool {
    let live = try swapper.info(swap.target)
    if let uuid = live?.uuid, uuid == swap.uuid { return true }
    let hint =
      "look at what is there; --take-over completes the earlier restore as far as it can be, and then "
      + "makes this one"
    if let live, live.type != .collection {
      guard options.takesOver else { throw Swapper.otherKind(swap.target, hint) }
    } else if try swapper.uuid(swap.temporary) == nil {
      guard options.takesOver else {
        throw BackupError(
          .conflict,
          "an earlier restore cannot be completed: what it had loaded is not there any more",
          namespace: swap.target.description, hint: hint)
      }
    } else if let uuid = live?.uuid, !swap.replaced.contains(uuid) {
      guard options.takesOver else {
        throw BackupError(
          .conflict,
          "an earlier restore cannot be completed: what it was about to replace has been made anew",
          namespace: swap.target.description, hint: hint)
      }
      return true
    } else {
      return true
    }
    options.notice?("\(swap.target) is left as it is")
    return false
  }

  /// A journal that names other collections than those of its token is not believed.
  private func requireOwn(_ swap: Journal.Swap, _ token: String) throws(BackupError) {
    let temporary = try Temporary(token: token)
    guard temporary.owns(swap.temporary), swap.kept.map(temporary.owns) ?? true else {
      throw BackupError(
        .conflict, "an entry of the restore journal names collections that are not its own",
        namespace: swap.temporary.description)
    }
  }

  /// Drops a replaced collection when the safety backup has all of it; keeps it when somebody has
  /// written to it since.
  func settle(_ swaps: [Journal.Swap], _ safety: String?) throws -> [Namespace] {
    let manifest = try safety.flatMap { id in
      try store.flatMap { try Catalog($0).set(id)?.manifest }
    }
    var kept: [Namespace] = []
    let swapper = Swapper(client: client, options: options)
    for swap in swaps {
      guard let place = swap.kept, try swapper.uuid(place) != nil else { continue }
      let saved = manifest?.collections.first { $0.namespace == swap.target.description }
      let tally = try ReadBack(client: client, cancellation: Cancellation()).tally(place)
      // Equal to what was dumped: then it is all saved, whatever else the safety backup's oplog holds.
      if let saved, saved.count == tally.count, saved.fingerprint == tally.fingerprint.description {
        try client.database(place.database).drop(place.collection)
      } else {
        kept.append(place)
        options.notice?(
          "\(swap.target) was written to after the safety backup: it is kept as \(place)")
      }
    }
    return kept
  }

  /// What was written to replaced collections after their safety backup is added to that.
  /// - Returns: how many writes.
  @discardableResult
  func addLateWrites(_ token: String) throws -> Int64 {
    let journal = Journal(client: client)
    guard let entry = try journal.entry(token) else { return 0 }
    let collected = (entry["collected"]?.arrayValue ?? []).compactMap(\.stringValue)
    var replaced: [String: Set<Binary>] = [:]
    if let safety = entry["safety"]?.stringValue,
      entry["way"]?.stringValue == Swapper.Way.replaceCollecting.rawValue
    {
      let swaps = (entry["swaps"]?.arrayValue ?? []).compactMap { value in
        value.documentValue.flatMap { Journal.Swap($0) }
      }
      replaced[safety, default: []].formUnion(swaps.flatMap(\.replaced))
    }
    if let reload = entry["reload"]?.documentValue.flatMap({ Reload($0) }),
      let safety = reload.safety
    {
      replaced[safety, default: []].formUnion(reload.replaced ?? [])
    }
    var count: Int64 = 0
    for (safety, replaced) in replaced where !replaced.isEmpty && !collected.contains(safety) {
      guard let store, try Catalog(store).set(safety)?.manifest != nil else {
        options.notice?("\(safety) is not in this store: writes after it were not added to it")
        continue
      }
      let late = LateWrites(client: client, store: store, options: options)
      guard late.isPossible() else {
        options.notice?("the oplog cannot be read: writes after \(safety) were not added to it")
        continue
      }
      let found = try late.add(to: safety, replaced: replaced)
      try journal.collected(token, safety)
      if found > 0 { options.notice?("\(found) writes after \(safety) were added to it") }
      count += found
    }
    return count
  }

  /// Of another machine nothing can be known.
  private func isAlive(_ holder: LockHolder) -> Bool {
    holder.host != Machine.host
      || !holder.isStale(now: Moment.now(), patience: .max, isRenewed: false)
  }

  private func busy(_ holder: LockHolder) -> BackupError {
    BackupError(
      .locked,
      "a restore of \(holder.host), pid \(holder.pid), works on this database since "
        + Moment.iso(holder.since),
      hint:
        "wait for it; if it is dead, add --take-over and what it began is completed or taken back")
  }

  func drop(_ stem: String, except kept: [Namespace] = []) throws {
    for database in try Self.databases(client) {
      for info in try client.database(database).listCollections()
      where info.name.hasPrefix(stem) && !info.name.hasPrefix(stem + Temporary.asideMark)
        && !kept.contains(Namespace(database, info.name))
      {
        try client.database(database).drop(info.name)
      }
    }
  }

  /// All but the server's own.
  static func databases(_ client: Client) throws -> [String] {
    let reply = try client.run(["listDatabases": 1, "nameOnly": true], on: "admin")
    return (reply["databases"]?.arrayValue ?? []).compactMap {
      $0.documentValue?["name"]?.stringValue
    }.filter { !["admin", "config", "local"].contains($0) }
  }
}
