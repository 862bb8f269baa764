internal import BSON
internal import Dump
internal import Glibc
internal import MongoDB

/// Puts loaded collections into the place of live ones.
struct Swapper {
  let client: Client
  let options: RestoreOptions

  /// How the replaced collection's late writes are kept.
  enum Way: String, Hashable {
    /// Both renames in one command: nothing is ever missing, and the replaced one is kept.
    case exchange
    /// Rename onto it; what is written to it after the safety backup is added to that from the oplog.
    case replaceCollecting
    /// Rename onto it; nobody writes meanwhile, or nobody wants it back.
    case replace
    /// Rename to what is free: nothing of that name was there, and what comes into being meanwhile
    /// would be lost.
    case fillIn
  }

  /// In the names of what is made to see whether an exchange is allowed.
  static let probe = "martlet-probe."

  /// Whether this user may exchange. Needs anyAction on anyResource, which few have.
  ///
  /// Tried on collections of our own, because roles cannot tell it on every version.
  /// - Throws: ``MongoError`` for what is no question of privileges.
  func canExchange(_ database: String, _ temporary: Temporary) throws -> Bool {
    let names = ["a", "b", "c"].map { Namespace(database, temporary.stem + Self.probe + $0) }
    defer {
      for name in names { try? client.database(database).drop(name.collection) }
    }
    do {
      _ = try client.database(database).run(
        ["create": .string(names[0].collection)], options: .majority)
      guard let uuid = try uuid(names[0]) else { return false }
      try exchange([(names[0], names[1], uuid), (names[1], names[2], uuid)])
      return true
    } catch let error as MongoError {
      guard error.isNetwork || error.kind == .unreachable || error.kind == .cancelled else {
        return false
      }
      throw error
    }
  }

  /// Swaps one; done already when the target has the temporary's UUID.
  ///
  /// Not confirmed by a majority yet: ``Journal/confirm(_:_:)`` is for all of them.
  ///
  /// Nothing but the server stops it once it has begun: half of the swaps would be worse than none.
  /// - Parameter willReplace: told of the UUID of what is about to be replaced, unless the journal has it.
  /// - Returns: what could not be done, and is no reason to leave the other swaps undone.
  func swap(
    _ swap: Journal.Swap, _ way: Way, willReplace: (Binary) throws -> Void = { _ in }
  ) throws -> [String] {
    // A waiting rename stalls all writers of its target: short tries with pauses between them. What a
    // try has done is seen in the server only: its answer may be lost or about something else.
    for attempt in 1... {
      do {
        let live = try uuid(swap.target)
        if let live, live == swap.uuid { break }
        if let live, way != .fillIn, !swap.replaced.contains(live) { try willReplace(live) }
        try attemptSwap(swap, way, live: live)
        break
      } catch let error as MongoError {
        guard error.code != 48 || way != .fillIn else { throw Self.taken(swap) }
        // 50: its time was over. 12587: an index build. 24: a lock was not to be had. 48 and 361: since
        // we looked another collection has come to be there.
        let isPassing =
          [50, 12587, 24, 112, 48, 361].contains(error.code) || error.isNetwork
          || error.isNotPrimary
          || error.kind == .writeConcern
        guard isPassing, attempt < 60 else { throw error }
        Pause.milliseconds(500)
      }
    }
    return try expire(swap)
  }

  private func attemptSwap(_ swap: Journal.Swap, _ way: Way, live: Binary?) throws {
    guard let loaded = try uuid(swap.temporary), swap.uuid == nil || loaded == swap.uuid else {
      throw BackupError(
        .conflict, "the loaded collection is not there any more", namespace: swap.target.description
      )
    }
    if let live, way == .exchange, let kept = swap.kept {
      guard try uuid(kept) == nil else {
        throw BackupError(
          .conflict, "what was replaced is kept already, and its name is taken again",
          namespace: swap.target.description)
      }
      return try exchange([(swap.target, kept, live), (swap.temporary, swap.target, loaded)])
    }
    let command: Document = [
      "renameCollection": .string(swap.temporary.description),
      "to": .string(swap.target.description),
      "dropTarget": try way == .fillIn ? false : dropping(live),
    ]
    _ = try client.run(command, on: "admin", options: Self.brief)
  }

  /// Only what we have seen there. Before 6.0 a server knows nothing but yes and no.
  private func dropping(_ live: Binary?) throws -> Value {
    guard let live else { return false }
    return try client.hello().version >= ServerVersion(6, 0, 0) ? .binary(live) : true
  }

  static func taken(_ swap: Journal.Swap) -> BackupError {
    BackupError(
      .conflict, "a collection of this name has come into being while it was loaded",
      namespace: swap.target.description,
      hint: "rename or drop it, and run the same restore again: it completes this one")
  }

  static func otherKind(_ namespace: Namespace, _ hint: String) -> BackupError {
    BackupError(
      .conflict, "a view or a time-series has this name now", namespace: namespace.description,
      hint: hint)
  }

  /// With their UUIDs a second time of the same renames changes nothing, on any version: without
  /// them it would put the new data where the replaced is kept.
  private func exchange(_ renames: [(from: Namespace, to: Namespace, uuid: Binary)]) throws {
    let entries = renames.map { from, to, uuid -> Value in
      [
        "op": "c", "ns": .string(from.database + ".$cmd"), "ui": .binary(uuid),
        "o": [
          "renameCollection": .string(from.description), "to": .string(to.description),
          "stayTemp": false,
        ],
      ]
    }
    _ = try client.run(["applyOps": .array(entries)], on: "admin", options: Self.brief)
  }

  /// With `w: majority` the same 500 ms would be for the members too, and the error the same.
  private static let brief = CommandOptions(
    writeConcern: ["w": 1], maxTime: .milliseconds(500))

  private func expire(_ swap: Journal.Swap) throws -> [String] {
    try swap.expiries.compactMap { command -> String? in
      do {
        _ = try client.run(command, on: swap.target.database, options: .majority)
        return nil
      } catch let error as MongoError {
        guard !error.isNetwork, !error.isNotPrimary else { throw error }
        let index = command["index"]?.documentValue?["name"]?.stringValue ?? "?"
        return
          "the TTL index \(index) of \(swap.target) did not get its expiry (\(error.message)): "
          + "set it with collMod"
      }
    }
  }

  func uuid(_ namespace: Namespace) throws -> Binary? {
    try info(namespace)?.uuid
  }

  func info(_ namespace: Namespace) throws -> CollectionInfo? {
    try client.database(namespace.database).listCollections(
      filter: ["name": .string(namespace.collection)]
    ).first
  }
}
