public import BSON
public import MongoDB

/// The mark that a migration leaves in the oplog before it begins.
public struct MigrationMark: Sendable, Hashable {
  /// Of the oplog that ``time`` is a time of.
  public let replicaSetID: String
  public let time: Timestamp

  /// The newest mark of that name, in the captured oplog of one replica set.
  ///
  /// That of the live server, when the store has slices of it; only then may a ledger, whose mark is
  /// `ledger`, be believed. Restoring to another server the store alone tells. Blocks.
  /// - Parameter databases: where the migration may have run; marks of others are passed over. Marks
  ///   of old versions do not say where. nil takes any.
  /// - Throws: ``BackupError`` `.notFound`, `.usage` when several replica sets have such a mark.
  public static func find(
    _ name: String, in store: any Store, age: Age = Age(), pool: ClientPool, ledger: Timestamp?,
    databases: Set<String>? = nil
  ) throws -> MigrationMark {
    func newest(_ chain: SliceChain) throws -> Timestamp? {
      try Self.newest(name, databases, chain, store, age)
    }
    let chains = try SliceCatalog(store).chains()
    let live = try pool.withClient { try ReplicaSet.id($0) }
    if let own = chains.first(where: { $0.replicaSetID == live }) {
      if let time = try ledger ?? newest(own) {
        return MigrationMark(replicaSetID: own.replicaSetID, time: time)
      }
      throw none(name)
    }
    let found = try chains.compactMap { chain in
      try newest(chain).map { (chain.replicaSetID, $0) }
    }
    guard let first = found.first else { throw none(name) }
    guard found.count == 1 else {
      throw BackupError(
        .usage, "the oplogs of \(found.count) replica sets have a mark of the migration '\(name)'",
        hint: "recover with --to-time and a backup's id: "
          + found.map { "\($0.0) at \(OplogTime.text($0.1))" }.joined(separator: ", "))
    }
    return MigrationMark(replicaSetID: first.0, time: first.1)
  }

  private static func none(_ name: String) -> BackupError {
    BackupError(
      .notFound, "the captured oplog has no mark of the migration '\(name)'",
      hint: "martlet oplog run must have been running; else recover with --to-time")
  }

  private static func newest(
    _ name: String, _ databases: Set<String>?, _ chain: SliceChain, _ store: any Store, _ age: Age
  ) throws -> Timestamp? {
    for slice in chain.slices.reversed() {
      var found: Timestamp?
      try SliceReader(store, age: age).forEach(slice) { time, raw in
        guard raw.count < 4096 else { return }
        let entry = try Document(bytes: [UInt8](raw))
        guard entry["op"]?.stringValue == "n",
          let mark = entry["o"]?.documentValue?["martlet"]?.documentValue,
          mark["migration"]?.stringValue == name, mark["event"]?.stringValue == "before"
        else { return }
        if let databases, let database = mark["database"]?.stringValue {
          guard databases.contains(database) else { return }
        }
        found = time
      }
      if let found { return found }
    }
    return nil
  }
}
