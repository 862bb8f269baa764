/// What a restore is to bring back, as far as it decides which backup and which slices serve.
public struct RecoveryScope: Sendable, Hashable {
  /// Databases that are wanted; nil is all that a backup has.
  public var databases: Set<String>?
  /// Backups of this replica set only; nil is any.
  public var replicaSetID: String?

  public init(databases: Set<String>? = nil, replicaSetID: String? = nil) {
    self.databases = databases
    self.replicaSetID = replicaSetID
  }

  /// True for a backup that has all that is wanted.
  func takes(_ set: BackupSet) -> Bool {
    guard let manifest = set.manifest else { return false }
    if let replicaSetID, manifest.server?.replicaSetID != replicaSetID { return false }
    guard let databases, let own = manifest.database else { return true }
    return databases.isSubset(of: [own])
  }

  /// Those that can be meant: of one replica set, and of the whole server rather than of one database.
  ///
  /// Nothing is guessed: the newest of all would silently leave out what the others have.
  /// - Throws: ``BackupError`` `.usage`.
  func unambiguous(_ sets: [BackupSet]) throws(BackupError) -> [BackupSet] {
    let servers = Set(sets.compactMap { $0.manifest?.server?.replicaSetID }).sorted()
    guard servers.count < 2 else {
      throw BackupError(
        .usage, "the store has backups of \(servers.count) replica sets, and none is this server's",
        hint: "name the backup to begin with: martlet restore ID --to-time …")
    }
    guard databases == nil else { return sets }
    let whole = sets.filter { $0.manifest?.database == nil }
    if !whole.isEmpty { return whole }
    let names = Set(sets.compactMap { $0.manifest?.database }).sorted()
    guard names.count < 2 else {
      throw BackupError(
        .usage, "there are backups of several databases, and none of the whole server",
        hint: "say which with --db: \(names.joined(separator: ", "))")
    }
    return sets
  }
}
