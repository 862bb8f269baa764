public import Dump
public import MongoDB

/// Another service whose dump is a stream.
public struct StreamCommand: Sendable, Hashable {
  /// Names the file in the set.
  public var name: String
  /// Writes the dump to its standard output.
  public var dump: String
  /// Reads it from its standard input.
  public var restore: String?

  public init(name: String, dump: String, restore: String? = nil) {
    self.name = name
    self.dump = dump
    self.restore = restore
  }
}

/// What a backup takes and how.
public struct BackupOptions: Sendable {
  public var kind = Manifest.Kind.full
  public var tags: [String] = []
  /// One database; nil is the whole server.
  public var database: String?
  /// A database that is not there is an error and not an empty backup.
  public var requiresDatabase = true
  /// 1 to 9; nil writes plain bytes.
  public var compressionLevel: Int? = 6
  public var age = Age()
  /// Files and folders that belong to the data; relative to ``folder``.
  public var files: [String] = []
  public var folder = "."
  public var streams: [StreamCommand] = []
  public var consistency = ConsistencyChoice.best
  /// Collections read at a time.
  public var parallel = 4
  /// The ledger whose applied migrations are noted: database, collection.
  public var ledger: Namespace?
  /// What it is taken before.
  public var safetyFor: String?
  /// Bytes that must stay free beside what the backup may need; only where the store can tell.
  public var reserve: Int64 = 64 << 20
  public var tool = "martlet"
  public var cancellation = Cancellation()
  public var progress: (@Sendable (DumpProgress) -> Void)?
  /// Told of what the operator should know.
  public var notice: (@Sendable (String) -> Void)?

  public init() {}

  var takesData: Bool { kind != .files }
  var takesFiles: Bool { kind != .database }
}
