internal import BSON
internal import Dump
internal import Glibc
internal import MongoDB

/// Puts loaded collections into the place of live ones.
struct Swapper {
  let client: Client
  let options: RestoreOptions

  /// How the replaced collection's late writes are kept.
  enum Way: Hashable {
    /// Both renames in one command: nothing is ever missing, and the replaced one is kept.
    case exchange
    /// Rename onto it; nobody writes meanwhile.
    case replace
  }

  /// Whether this user may exchange. Needs anyAction on anyResource, which few have.
  func canExchange(_ database: String) -> Bool {
    let a = Namespace(database, Temporary.prefix + "probe.a")
    let b = Namespace(database, Temporary.prefix + "probe.b")
    defer {
      for name in [a, b] { try? client.database(database).drop(name.collection) }
    }
    do {
      for name in [a, b] { try client.database(database).drop(name.collection) }
      _ = try client.database(database).run(
        ["create": .string(a.collection)], options: .majority)
      let c = Namespace(database, Temporary.prefix + "probe.c")
      try client.database(database).drop(c.collection)
      try exchange([(a, b), (b, c)])
      try client.database(database).drop(c.collection)
      return true
    } catch { return false }
  }

  /// Swaps one; done already when the target has the temporary's UUID.
  func swap(_ swap: Journal.Swap, _ way: Way) throws {
    guard try uuid(swap.target) != swap.uuid || swap.uuid == nil else {
      return try expire(swap)
    }
    guard try uuid(swap.temporary) != nil else {
      throw BackupError(
        .conflict, "the loaded collection is not there any more", namespace: swap.target.description
      )
    }
    let isLive = try uuid(swap.target) != nil
    if isLive, way == .exchange, let kept = swap.kept {
      try patiently { try exchange([(swap.target, kept), (swap.temporary, swap.target)]) }
    } else {
      try patiently {
        let command: Document = [
          "renameCollection": .string(swap.temporary.description),
          "to": .string(swap.target.description), "dropTarget": true,
        ]
        _ = try client.run(
          command, on: "admin",
          options: CommandOptions(
            writeConcern: ["w": "majority"], maxTime: .milliseconds(500)))
      }
    }
    try expire(swap)
  }

  /// A waiting rename stalls all writers of its target: short tries with pauses between them.
  private func patiently(_ body: () throws -> Void) throws {
    for attempt in 1... {
      try options.cancellation.check()
      do { return try body() } catch let error as MongoError {
        // 50: its time was over. 12587: an index build. 24: a lock was not to be had.
        guard [50, 12587, 24, 112].contains(error.code), attempt < 60 else { throw error }
        Pause.milliseconds(500)
      }
    }
  }

  private func exchange(_ renames: [(Namespace, Namespace)]) throws {
    let entries = renames.map { from, to -> Value in
      [
        "op": "c", "ns": .string(from.database + ".$cmd"),
        "o": [
          "renameCollection": .string(from.description), "to": .string(to.description),
          "stayTemp": false,
        ],
      ]
    }
    _ = try client.run(
      ["applyOps": .array(entries)], on: "admin",
      options: CommandOptions(writeConcern: ["w": "majority"], maxTime: .milliseconds(500)))
  }

  private func expire(_ swap: Journal.Swap) throws {
    for command in swap.expiries {
      do { _ = try client.run(command, on: swap.target.database, options: .majority) } catch {
        throw BackupError(
          .conflict, "a TTL index did not get its expiry",
          namespace: swap.target.description, hint: "set it with collMod", cause: error)
      }
    }
  }

  func uuid(_ namespace: Namespace) throws -> Binary? {
    try client.database(namespace.database).listCollections(
      filter: ["name": .string(namespace.collection)]
    ).first?.uuid
  }
}

/// Completes or takes back what earlier restores have left.
struct RestoreRecovery {
  let client: Client
  let options: RestoreOptions

  /// Drops what was loaded by a run that died before its first swap; completes all swaps of one that
  /// died after it.
  ///
  /// - Parameters:
  ///   - databases: those of the restore that is about to begin.
  ///   - only: one entry of the journal.
  /// - Throws: ``BackupError`` `.locked` when another restore is at work on one of them.
  func run(databases: Set<String>, only: String? = nil) throws {
    let journal = Journal(client: client)
    for document in try journal.open() {
      guard let token = document["_id"]?.stringValue, only == nil || only == token else { continue }
      let theirs = (document["databases"]?.arrayValue ?? []).compactMap(\.stringValue)
      let holder = document["holder"]?.documentValue.flatMap { LockHolder($0) }
      if let holder, !options.takesOver, isAlive(holder) {
        guard databases.isDisjoint(with: theirs) else { throw busy(holder) }
        continue
      }
      if document["state"]?.stringValue == Journal.State.swapping.rawValue {
        options.notice?("an earlier restore died while it swapped: completing it")
        let swaps = (document["swaps"]?.arrayValue ?? []).compactMap { value in
          value.documentValue.flatMap { Journal.Swap($0) }
        }
        let swapper = Swapper(client: client, options: options)
        for swap in swaps {
          try swapper.swap(swap, swap.kept == nil ? .replace : .exchange)
          if let kept = swap.kept, try swapper.uuid(kept) != nil {
            options.notice?("what \(swap.target) was before is kept as \(kept)")
          }
        }
      } else {
        try drop(Temporary(token: token).stem)
        options.notice?("removed what an earlier restore had loaded before it died")
      }
      try journal.end(token)
    }
  }

  /// Of another machine nothing can be known.
  private func isAlive(_ holder: LockHolder) -> Bool {
    holder.host != Machine.host || !holder.isStale(now: Moment.now(), patience: .max)
  }

  private func busy(_ holder: LockHolder) -> BackupError {
    BackupError(
      .locked,
      "a restore of \(holder.host), pid \(holder.pid), works on this database since "
        + Moment.iso(holder.since),
      hint:
        "wait for it; if it is dead, add --take-over and what it began is completed or taken back")
  }

  func drop(_ stem: String) throws {
    for database in try Self.databases(client) {
      for info in try client.database(database).listCollections()
      where info.name.hasPrefix(stem) {
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
