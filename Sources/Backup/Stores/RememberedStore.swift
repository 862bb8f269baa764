internal import BSON
public import Dump
internal import Synchronization

/// A store that is known again.
///
/// Where its file system is not mounted, a store looks like a new one, and backups and slices would go into
/// the folder below it. So the first write puts a mark with an id into the store, and the id is remembered
/// outside of it: from then on the store that is found in that place must have that mark. A new store in a
/// new place needs nothing.
public struct RememberedStore: Store {
  private let inner: any Store
  private let memory: Memory
  private let state: State

  public var location: String { inner.location }

  /// - Parameters:
  ///   - folder: of this machine, outside of the store; made when something is to be remembered.
  ///   - place: the store's name for itself, absolute.
  public init(_ inner: any Store, folder: String, place: String) {
    self.inner = inner
    memory = Memory(folder: folder, place: place)
    state = State()
  }

  public func put(_ name: String, size: Int64?) throws(BackupError) -> any StoreWriter {
    try mark()
    return try inner.put(name, size: size)
  }

  public func get(_ name: String, range: Range<Int64>?) throws(BackupError) -> any ByteSource {
    try look()
    return try inner.get(name, range: range)
  }

  public var fetchesMany: Bool { inner.fetchesMany }

  public func fetch(_ names: [String], to folder: String) throws(BackupError) -> FolderStore? {
    try look()
    return try inner.fetch(names, to: folder)
  }

  public func list(_ folder: String, recursively: Bool) throws(BackupError) -> [StoreEntry] {
    try look()
    return try inner.list(folder, recursively: recursively)
  }

  public func delete(_ name: String) throws(BackupError) {
    try look()
    try inner.delete(name)
  }

  public func delete(all names: [String]) throws(BackupError) {
    try look()
    try inner.delete(all: names)
  }

  public func removeEmptyFolder(_ folder: String) { inner.removeEmptyFolder(folder) }
  public func freeSpace() -> Int64? { inner.freeSpace() }
  public func lastChange(in folder: String) -> Int64? { inner.lastChange(in: folder) }

  // MARK: - Marks

  /// Holds a file for each id: two first writers that meet leave two, and both are right.
  private static let folder = "identity"

  private func marks() throws(BackupError) -> Set<String> {
    Set(
      try inner.list(Self.folder, recursively: true).compactMap { entry in
        let name = entry.name.dropFirst(Self.folder.count + 1)
        return name.hasSuffix(".json") ? String(name.dropLast(5)) : nil
      })
  }

  /// Before the first look at it.
  private func look() throws(BackupError) {
    guard !state.hasLooked.withLock({ $0 }) else { return }
    if let known = memory.id { try require(known, in: try marks()) }
    state.hasLooked.withLock { $0 = true }
  }

  /// Before every write: it may have gone since the last one.
  private func mark() throws(BackupError) {
    var marks = try marks()
    if let known = state.id.withLock({ $0 }) ?? memory.id {
      try require(known, in: marks)
      state.id.withLock { $0 = known }
      return
    }
    if marks.isEmpty {
      let id = String(UInt64.random(in: 0...UInt64.max), radix: 16)
      let document: Document = [
        "format": "martlet-store/1", "id": .string(id), "made": .string(Moment.iso(Moment.now())),
        "host": .string(Machine.host),
        "why": "tells this store from an empty folder where it is not mounted; leave it here",
      ]
      let text = ExtendedJSON.text(document, .relaxed, indent: 2) + "\n"
      try inner.put("\(Self.folder)/\(id).json", bytes: Array(text.utf8))
      marks = [id]
    }
    let id = marks.min()
    state.id.withLock { $0 = id }
    if let id { memory.keep(id) }
  }

  private func require(_ known: String, in marks: Set<String>) throws(BackupError) {
    guard !marks.contains(known) else { return }
    throw BackupError(
      .store,
      marks.isEmpty
        ? "this is not the store that was here: it has no mark, and no backups or slices of before"
        : "this is not the store that was here, but another one",
      path: location,
      hint: "is its file system mounted? When this one is to be used from now on, remove "
        + memory.path)
  }

  private final class State: Sendable {
    let hasLooked = Mutex(false)
    let id = Mutex<String?>(nil)
  }

  /// What this machine knows of the store of a place.
  private struct Memory: Sendable {
    let folder: String
    let place: String
    let path: String

    init(folder: String, place: String) {
      self.folder = folder
      self.place = place
      // Machines that share the folder may have stores of their own in the same place.
      let key = (Machine.id + "\n" + place).utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) {
        ($0 ^ UInt64($1)) &* 0x100_0000_01b3
      }
      path = folder + "/" + String(key, radix: 16) + ".json"
    }

    var id: String? {
      guard
        let bytes = try? Transfer.bytes(try FileSource(path: path), limit: 1 << 16),
        let document = try? ExtendedJSON.parseDocument(utf8: bytes),
        document["store"]?.stringValue == place
      else { return nil }
      return document["id"]?.stringValue
    }

    /// Where that cannot be written, nothing is remembered, and a store is as good as without this.
    func keep(_ id: String) {
      let document: Document = [
        "format": "martlet-known-store/1", "store": .string(place), "id": .string(id),
      ]
      let text = ExtendedJSON.text(document, .relaxed, indent: 2) + "\n"
      try? Disk.createFolder(folder)
      try? Disk.write(text, to: path, mode: 0o600)
    }
  }
}

extension StoreLocation {
  /// Opens a store that must be the one that was in this place before. Nothing is made or looked at yet.
  ///
  /// - Parameter folder: where stores are remembered.
  public func open(remembering folder: String) -> any Store {
    switch self {
    case .folder(let path): RememberedStore(open(), folder: folder, place: Disk.absolute(path))
    case .rclone(let remote):
      RememberedStore(open(), folder: folder, place: Self.rcloneName(remote))
    }
  }

  /// Without what stands in a connection string, which may be secret.
  private static func rcloneName(_ remote: String) -> String {
    guard remote.hasPrefix(":"), let comma = remote.firstIndex(of: ",") else {
      return "rclone:" + remote
    }
    let path = remote.lastIndex(of: ":").map { remote[$0...] } ?? ""
    return "rclone:" + remote[..<comma] + path
  }
}
