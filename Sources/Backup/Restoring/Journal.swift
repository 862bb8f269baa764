internal import BSON
internal import Dump
internal import MongoDB

/// What a restore has begun, kept in the server until it is over.
///
/// Until the state is `swapping` nothing live has changed, and what was loaded can simply be dropped.
/// From then on the swaps are completed by whoever comes next.
struct Journal {
  static let database = "martlet_restore"
  static let collection = "journal"

  enum State: String {
    case loading, swapping
    /// All swaps are done; what cannot be swapped is dropped and loaded.
    case reloading
  }

  struct Swap: Equatable {
    var target: Namespace
    var temporary: Namespace
    /// Where the replaced one goes; nil when nothing is replaced, or it is dropped.
    var kept: Namespace?
    /// Of the temporary collection: once the target has it, the swap is done.
    var uuid: Binary?
    /// Of the collections that are replaced: what was live when swapping began, and what came after.
    var replaced: [Binary] = []
    /// collMods that give TTL indexes their expiry.
    var expiries: [Document]
  }

  let client: Client

  func begin(_ token: String, backup: String, databases: [String]) throws {
    _ = try client.database(Self.database).insert(
      Self.collection,
      [
        [
          "_id": .string(token), "state": .string(State.loading.rawValue),
          "backup": .string(backup), "databases": .array(databases.map { .string($0) }),
          "holder": .document(LockHolder.current("restore").document),
        ]
      ])
  }

  /// From here on the swaps are completed by whoever comes next.
  /// - Throws: ``BackupError`` `.conflict` when the entry is not there: nothing may be swapped then.
  func swapping(
    _ token: String, _ swaps: [Swap], _ way: Swapper.Way, safety: String? = nil,
    reload: Reload? = nil
  ) throws {
    var change: Document = [
      "state": .string(State.swapping.rawValue), "way": .string(way.rawValue),
      "swaps": .array(swaps.map { .document($0.document) }),
      "safety": safety.map { .string($0) } ?? .null,
    ]
    if let reload { change.append("reload", .document(reload.document)) }
    try set(token, change, safety: safety)
  }

  /// What was live under these names is dropped next.
  /// - Throws: ``BackupError`` `.conflict` as ``swapping(_:_:_:safety:reload:)``.
  func reloading(_ token: String, _ reload: Reload) throws {
    // What its safety backup got after the swaps is not yet all.
    if let safety = reload.safety {
      _ = try client.database(Self.database).update(
        Self.collection,
        [["q": ["_id": .string(token)], "u": ["$pull": ["collected": .string(safety)]]]])
    }
    try set(
      token,
      ["state": .string(State.reloading.rawValue), "reload": .document(reload.document)],
      safety: reload.safety)
  }

  /// - Parameter safety: kept in the order of time: the first has what was there before the restore.
  private func set(_ token: String, _ change: Document, safety: String? = nil) throws {
    var update: Document = ["$set": .document(change)]
    if let safety { update.append("$addToSet", ["safeties": .string(safety)]) }
    let reply = try client.database(Self.database).update(
      Self.collection, [["q": ["_id": .string(token)], "u": .document(update)]])
    guard reply["n"]?.integerValue == 1 else {
      throw BackupError(
        .conflict, "this restore's entry in \(Self.database).\(Self.collection) was removed",
        hint: "somebody took this restore for dead and completed or reversed it; run it again")
    }
  }

  /// A collection that came to be in the place of a swap is replaced too.
  func replacing(_ token: String, _ target: Namespace, _ uuid: Binary) throws {
    let change: Document = [
      "q": ["_id": .string(token), "swaps.target": .string(target.description)],
      "u": ["$addToSet": ["swaps.$.replaced": .binary(uuid)]],
    ]
    _ = try client.database(Self.database).update(Self.collection, [change])
  }

  /// Another safety backup has what is still to be replaced.
  func saved(_ token: String, _ safety: String) throws {
    try set(token, ["safety": .string(safety)], safety: safety)
  }

  /// Completing it has failed for a reason that may stay.
  func failed(_ token: String) throws { try set(token, ["hasFailed": true]) }

  /// Nobody works on it any more: the next run need not ask whether its process is alive.
  func abandon(_ token: String) throws {
    try set(token, ["isAbandoned": true])
  }

  /// The late writes of a safety backup are in it.
  func collected(_ token: String, _ safety: String) throws {
    _ = try client.database(Self.database).update(
      Self.collection,
      [["q": ["_id": .string(token)], "u": ["$addToSet": ["collected": .string(safety)]]]])
  }

  /// What dead or running restores load in place.
  func reloads() throws -> Set<Namespace> {
    Set(
      try open().flatMap { entry in
        entry["reload"]?.documentValue.flatMap { Reload($0) }?.own ?? []
      })
  }

  func entry(_ token: String) throws -> Document? {
    try client.database(Self.database).findOne(
      Self.collection, filter: ["_id": .string(token)])
  }

  /// Blocks until a majority of the members has all swaps.
  func confirm(_ token: String, _ options: RestoreOptions) throws {
    let change: Document = ["q": ["_id": .string(token)], "u": ["$set": ["swapped": true]]]
    while true {
      do {
        _ = try client.database(Self.database).update(
          Self.collection, [change],
          options: CommandOptions(writeConcern: ["w": "majority", "wtimeout": 10_000]))
        return
      } catch {
        // 64: the time is over. The same update again waits for the same, also when nothing changes.
        guard error.kind == .writeConcern, error.code == 64 else { throw error }
        options.notice?("swapped; waiting for a majority of the members to confirm it")
        try options.cancellation.check()
      }
    }
  }

  /// The collection stays, empty: dropping it could take another restore's entry with it.
  func end(_ token: String) throws {
    _ = try client.database(Self.database).delete(
      Self.collection, [["q": ["_id": .string(token)], "limit": 1]])
  }

  func open() throws -> [Document] {
    try client.database(Self.database).find(Self.collection).all()
  }
}

extension Journal.Swap {
  var document: Document {
    var out: Document = [
      "target": .string(target.description), "temporary": .string(temporary.description),
      "expiries": .array(expiries.map { .document($0) }),
    ]
    if let kept { out.append("kept", .string(kept.description)) }
    if let uuid { out.append("uuid", .binary(uuid)) }
    if !replaced.isEmpty { out.append("replaced", .array(replaced.map { .binary($0) })) }
    return out
  }

  init?(_ document: Document) {
    guard let target = document["target"]?.stringValue.flatMap({ Namespace($0) }),
      let temporary = document["temporary"]?.stringValue.flatMap({ Namespace($0) })
    else { return nil }
    self.init(
      target: target, temporary: temporary,
      kept: document["kept"]?.stringValue.flatMap { Namespace($0) },
      uuid: document["uuid"]?.binaryValue,
      replaced: (document["replaced"]?.arrayValue ?? []).compactMap(\.binaryValue),
      expiries: (document["expiries"]?.arrayValue ?? []).compactMap(\.documentValue))
  }
}
