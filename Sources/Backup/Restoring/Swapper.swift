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
    /// Rename onto it; what is written to it after the safety backup is added to that from the oplog.
    case replaceCollecting
    /// Rename onto it; nobody writes meanwhile, or nobody wants it back.
    case replace
  }

  /// Whether this user may exchange. Needs anyAction on anyResource, which few have.
  ///
  /// Tried on collections of our own, because roles cannot tell it on every version.
  /// - Throws: ``MongoError`` for what is no question of privileges.
  func canExchange(_ database: String, _ temporary: Temporary) throws -> Bool {
    let names = ["a", "b", "c"].map { Namespace(database, temporary.stem + "probe." + $0) }
    defer {
      for name in names { try? client.database(database).drop(name.collection) }
    }
    do {
      for name in names.prefix(1) {
        _ = try client.database(database).run(
          ["create": .string(name.collection)], options: .majority)
      }
      try exchange([(names[0], names[1]), (names[1], names[2])])
      return true
    } catch let error as MongoError {
      guard error.isNetwork || error.kind == .unreachable || error.kind == .cancelled else {
        return false
      }
      throw error
    }
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
