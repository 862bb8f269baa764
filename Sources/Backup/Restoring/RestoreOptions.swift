public import BSON
public import Dump
public import MongoDB

/// What is restored and how.
public struct RestoreOptions: Sendable {
  /// Patterns of `database.collection`; all when empty.
  public var only: [NamespacePattern] = []
  /// What ``only`` is about, to find a backup and slices that have it; nil is everything.
  public var databases: Set<String>?
  /// Of the replica set that is meant, when the moment is one of it; else the live server's, if the store
  /// has backups of it.
  public var replicaSetID: String?
  /// New names.
  public var renames: [NamespaceRename] = []
  /// Drop and load instead of load beside and swap: for those without the disk.
  public var inPlace = false
  /// Users and roles are merged in afterwards: those of the backup as they were, others stay.
  public var users = false
  /// The collection with the ledger of migrations: its lock and its history are never replaced.
  public var ledger = "migrations"
  /// What is replaced is backed up first.
  public var safetyBackup = true
  /// Nobody writes to what is replaced: said by the operator. Without it no write is lost without a word,
  /// by an exchange, or because the oplog tells what was written.
  public var writersAreStopped = false
  /// A restore of another machine that is not over is dead: said by the operator.
  public var takesOver = false
  /// Recover to this time instead of the backup's own moment.
  public var time: RecoveryTime?
  /// Just before this oplog entry; for ``time``'s exclusive sibling.
  public var before: Timestamp?
  public var age = Age()
  /// For the safety backup.
  public var safety = BackupOptions()
  /// Room for the oplog that is replayed.
  public var workFolder = WorkFolder.standard
  public var insertThreads = 3
  public var cancellation = Cancellation()
  public var progress: (@Sendable (LoadProgress) -> Void)?
  /// The TTL monitor of the server is off: also what expires can be compared in place.
  var comparesExpiring = false
  /// Told of each phase and of what the operator should know.
  public var notice: (@Sendable (String) -> Void)?

  /// Restores of one area take turns.
  var area = "restore"

  public init() {}

  /// The last oplog time that belongs to the recovery, and whether it does itself.
  var end: (time: Timestamp, isInclusive: Bool)? {
    if let before { return (before, false) }
    return time.map { ($0.timestamp, true) }
  }
}

/// What a restore would do.
public struct RestorePlan: Sendable {
  /// What becomes of one namespace.
  public struct Item: Sendable, Hashable {
    public enum Way: String, Sendable, Hashable {
      /// Loaded beside, swapped into place by rename.
      case swap
      /// Dropped, created and loaded: time-series cannot be renamed.
      case reload
      /// Dropped and created.
      case view
      /// Dropped and loaded, because in-place was asked for.
      case inPlace
    }

    public var source: Namespace
    public var target: Namespace
    public var way: Way
    /// In the backup.
    public var count: Int64
    public var bytes: Int64
    /// In the server now; nil when it is not there.
    public var liveCount: Int64?
    /// Expiries that become active right after the swap, in seconds.
    public var expiries: [Int64]
    /// What has this name now is no such thing.
    var isOfOtherKind = false
  }

  public var backup: BackupSet
  public var items: [Item]
  /// Collections of the backup that are not selected, and are loaded because a selected one came from them
  /// by renames before the moment asked for. They stay as they are in the server.
  public var origins: [Item] = []
  /// All names that a replay needs besides those selected, in the oplog.
  var originNames: Set<Namespace> = []
  /// Selected names that were made after the backup and are there at the moment asked for.
  public var made: [Item] = []
  /// In the databases concerned but not in the backup: left as they are.
  public var untouched: [Namespace]
  /// In the backup but never restored: lock and history of migrations, users and roles.
  public var left: [String]
  /// Bytes of BSON that are written, uncompressed.
  public var bytes: Int64 { (items + origins).reduce(0) { $0 + $1.bytes } }
  /// What the moment asked for may have, of the backup or made since.
  var results: [Item] { items + made }
  var databases: Set<String> { Set(results.map(\.target.database)) }
  /// Users and roles in the backup.
  public var users: Int64 = 0
  /// Of the server's file system; nil when it does not tell.
  public var freeDisk: Int64?
  public var warnings: [String] = []
}

/// What a restore has done.
public struct RestoreReport: Sendable {
  public var backup: String
  public var safetyBackup: String?
  public var restored: [Namespace] = []
  public var documents: Int64 = 0
  /// Users and roles were merged in.
  public var users = false
  /// Why they were not, although that was asked for; all else is restored.
  public var usersFailure: (any Error)?
  /// Oplog entries applied.
  public var replayed: Int64 = 0
  /// What was compared with the backup's manifest, and how far, by name.
  public var compared: [Compared] = []
  /// Collections that were replaced and are kept, because somebody wrote to them after the safety backup.
  public var kept: [Namespace] = []
  /// Writes after the safety backup and before the swap, which were added to it.
  public var lateWrites: Int64 = 0
  public var notices: [String] = []
  /// The oplog of this server is captured, and recovery to a moment after this restore needs a new base.
  public var endsTimeline = false
  public var durationMilliseconds: Int64 = 0

  public init(backup: String) { self.backup = backup }
}
