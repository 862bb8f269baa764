public import Dump

/// A file or folder in a store.
public struct StoreEntry: Sendable, Hashable {
  /// From the store's root, with slashes, without one at the end.
  public let name: String
  /// Bytes; 0 for a folder.
  public let size: Int64
  public let isFolder: Bool

  public init(name: String, size: Int64, isFolder: Bool) {
    self.name = name
    self.size = size
    self.isFolder = isFolder
  }
}

/// A file on its way into a store.
///
/// It appears under its name only by ``commit()``, whole; given up otherwise, also when released.
public protocol StoreWriter: ByteSink {
  /// Makes it durable and visible. Blocks.
  /// - Throws: ``BackupError`` `.store`.
  func commit() throws(BackupError)
  /// Gives it up; nothing stays.
  func discard()
}

/// Where backups are kept.
///
/// Small on purpose: operations on named files, one by one or many at a time. Names have slashes, no `.` or `..` parts.
public protocol Store: Sendable {
  /// For people.
  var location: String { get }
  /// Begins a file; replaces one of that name when committed.
  ///
  /// - Parameter size: bytes that will come, when it is known.
  func put(_ name: String, size: Int64?) throws(BackupError) -> any StoreWriter
  /// Opens a file, or a part of it. Damage on the way is thrown by the reading.
  /// - Throws: ``BackupError`` `.notFound`.
  func get(_ name: String, range: Range<Int64>?) throws(BackupError) -> any ByteSource
  /// True where ``fetch(_:to:)`` is cheaper than reading one after the other.
  var fetchesMany: Bool { get }
  /// Copies files into a local folder in one go, where that is cheaper than asking for each; nil where it
  /// is not. What is not there is left out. Blocks.
  func fetch(_ names: [String], to folder: String) throws(BackupError) -> FolderStore?
  /// What is in a folder (`""` is the root), sorted by name; nothing where there is no folder. With
  /// `recursively` all files below and no folders.
  func list(_ folder: String, recursively: Bool) throws(BackupError) -> [StoreEntry]
  /// Removes a file; fine when it is gone already.
  func delete(_ name: String) throws(BackupError)
  /// Removes files in this order, or in one go; fine when they are gone already.
  func delete(all names: [String]) throws(BackupError)
  /// Removes a folder and its folders when no files are in them. Never an error.
  func removeEmptyFolder(_ folder: String)
  /// Bytes that there is room for, where that can be told.
  func freeSpace() -> Int64?
  /// When something in a folder was last written, added or renamed, in seconds since 1970; nil where that
  /// cannot be told. Not the times that a copy takes over from its original.
  func lastChange(in folder: String) -> Int64?
}

extension Store {
  public func lastChange(in folder: String) -> Int64? { nil }

  /// True when its file system is read-only, or closed to this user; what a remote store allows is not known.
  /// Blocks for a moment.
  public func isReadOnly() -> Bool {
    let name = "locks/probe/" + String(UInt64.random(in: 0...UInt64.max), radix: 16) + ".json"
    do throws(BackupError) {
      try put(name, bytes: Array("{}\n".utf8))
      try delete(name)
      return false
    } catch { return error.isReadOnly }
  }

  /// Opens a whole file.
  public func get(_ name: String) throws(BackupError) -> any ByteSource {
    try get(name, range: nil)
  }

  /// Writes a whole small file.
  public func put(_ name: String, bytes: [UInt8]) throws(BackupError) {
    let writer = try put(name, size: Int64(bytes.count))
    do throws(DumpError) { try writer.write(all: bytes) } catch {
      writer.discard()
      if let cause = error.cause as? BackupError, cause.code == .store { throw cause }
      throw BackupError(.store, "the file cannot be written", path: name, cause: error)
    }
    try writer.commit()
  }

  /// Reads a whole small file.
  /// - Throws: ``BackupError`` `.notFound`, `.store`, or `.damaged` when it is larger than `limit`.
  public func read(_ name: String, limit: Int = 256 << 20) throws(BackupError) -> [UInt8] {
    do { return try Transfer.bytes(try get(name), limit: limit) } catch let error as BackupError {
      throw error
    } catch let error as DumpError {
      if let cause = error.cause as? BackupError { throw cause }
      throw BackupError(error, path: name)
    } catch {
      throw BackupError(.store, "the file cannot be read", path: name, cause: error)
    }
  }

  public var fetchesMany: Bool { false }

  public func fetch(_ names: [String], to folder: String) throws(BackupError) -> FolderStore? {
    nil
  }

  public func delete(all names: [String]) throws(BackupError) {
    for name in names { try delete(name) }
  }

  /// Reads whole small files, by their names; what is not there is left out.
  ///
  /// - Parameters:
  ///   - limit: of each.
  ///   - mayLack: of these it is normal not to be there.
  /// - Throws: ``BackupError`` as ``read(_:limit:)``, but for `.notFound`.
  func read(all names: [String], limit: Int, mayLack: (String) -> Bool = { _ in false })
    throws(BackupError) -> [String: [UInt8]]
  {
    var out: [String: [UInt8]] = [:]
    var local: FolderStore?
    var folder: WorkFolder?
    defer { folder?.remove() }
    if fetchesMany, names.count > 2 {
      folder = try? WorkFolder(in: WorkFolder.standard)
      // Where that fails, one after the other may not, or says why.
      local = folder.flatMap { try? fetch(names, to: $0.path + "/files") }
    }
    for name in names {
      do throws(BackupError) {
        if let local, local.has(name) {
          out[name] = try local.read(name, limit: limit)
        } else if local == nil || !mayLack(name) {
          // What a copy has not brought: the store has to say it of the file itself.
          out[name] = try read(name, limit: limit)
        }
      } catch {
        guard error.code == .notFound else { throw error }
      }
    }
    return out
  }

  /// Names of the folders at the root.
  func folders() throws(BackupError) -> [String] {
    try list("", recursively: false).filter(\.isFolder).map(\.name)
  }
}

/// Names that are safe in every store.
enum StoreName {
  /// - Throws: ``BackupError`` `.usage`.
  static func check(_ name: String) throws(BackupError) {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard !parts.isEmpty, parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }),
      !name.utf8.contains(0)
    else { throw BackupError(.usage, "'\(name)' is not a name in a store") }
  }
}

/// Where a store is, as it is configured.
public enum StoreLocation: Sendable, Hashable {
  case folder(String)
  /// `REMOTE:PATH` as rclone takes it.
  case rclone(String)

  /// Reads a folder's path or `rclone:REMOTE:PATH`.
  /// - Throws: ``BackupError`` `.usage`.
  public init(_ text: String, relativeTo folder: String = ".") throws(BackupError) {
    guard !text.isEmpty else { throw BackupError(.usage, "no store is named") }
    guard text.hasPrefix("rclone:") else {
      // `s3://bucket/x` as a folder would be backups on the disk that they are to outlive.
      if let end = text.firstRange(of: "://")?.lowerBound, !text[..<end].contains("/") {
        throw BackupError(
          .usage, "'\(text[..<end])://…' is not a store",
          hint: "write a folder, or rclone:REMOTE:PATH, where REMOTE is one of `rclone listremotes`"
        )
      }
      self = .folder(text.hasPrefix("/") || folder == "." ? text : folder + "/" + text)
      return
    }
    let remote = String(text.dropFirst("rclone:".count))
    guard remote.dropFirst().contains(":") else {
      throw BackupError(
        .usage, "'\(text)' does not name a remote", hint: "write rclone:REMOTE:PATH")
    }
    self = .rclone(remote)
  }

  /// Opens it. Nothing is made or looked at yet.
  public func open() -> any Store {
    switch self {
    case .folder(let path): FolderStore(path: path)
    case .rclone(let remote): RcloneStore(remote: remote)
    }
  }
}
