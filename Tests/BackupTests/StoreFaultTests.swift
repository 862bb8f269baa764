import Dump
import Glibc
import Testing

@testable import Backup

/// A store whose answers a test can change.
struct ChangedStore: Store {
  let inner: any Store
  var listed: @Sendable (String, [StoreEntry]) throws(BackupError) -> [StoreEntry] = { $1 }
  var opened: @Sendable (String) throws(BackupError) -> Void = { _ in }
  var location: String { inner.location }

  init(_ inner: any Store) { self.inner = inner }

  func put(_ name: String, size: Int64?) throws(BackupError) -> any StoreWriter {
    try inner.put(name, size: size)
  }
  func get(_ name: String, range: Range<Int64>?) throws(BackupError) -> any ByteSource {
    try opened(name)
    return try inner.get(name, range: range)
  }
  func list(_ folder: String, recursively: Bool) throws(BackupError) -> [StoreEntry] {
    try listed(folder, try inner.list(folder, recursively: recursively))
  }
  func delete(_ name: String) throws(BackupError) { try inner.delete(name) }
  func removeEmptyFolder(_ folder: String) { inner.removeEmptyFolder(folder) }
  func freeSpace() -> Int64? { inner.freeSpace() }
}

/// What a store that fails must never be taken for.
@Suite struct StoreFaultTests {
  @Test("a listing that lacks the manifest does not make a good set the remains of a dead run")
  func cutListing() throws {
    let scratch = try ScratchFolder()
    let inner = FolderStore(path: scratch.path)
    let made = try SmallSet.make(in: inner, archive: SmallSet.archive)
    var store = ChangedStore(inner)
    store.listed = { _, entries in entries.filter { !$0.name.hasSuffix("manifest.json") } }
    #expect(try Catalog(store).debris().isEmpty)
    _ = try Pruner(store, policy: RetentionPolicy(last: 1)).run()
    try Verifier(inner).verify(made.id, depth: .checksums)

    store.opened = { name throws(BackupError) in
      throw BackupError(.store, "read: input/output error", path: name)
    }
    let error = #expect(throws: BackupError.self) { try Catalog(store).debris() }
    #expect(error?.code == .store)
  }

  @Test("a file that cannot be looked at is an error, not a file that is not there")
  func unseen() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/store")
    try store.put("set/data", bytes: [1])
    // Names can be read there, and nothing about them; root can only be kept from it by another user's
    // rights, which a thread can take on alone.
    #expect(chmod(scratch.path, 0o755) == 0)
    #expect(chmod(scratch.path + "/store", 0o755) == 0)
    #expect(chmod(scratch.path + "/store/set", 0o444) == 0)
    defer { chmod(scratch.path + "/store/set", 0o700) }
    // Glibc's module does not show it.
    let symbol = try #require(dlsym(nil, "setfsuid"))
    let setfsuid = unsafeBitCast(symbol, to: (@convention(c) (uid_t) -> CInt).self)
    let before = setfsuid(65534)
    defer { _ = setfsuid(uid_t(before)) }
    let error = #expect(throws: BackupError.self) { try store.list("set", recursively: true) }
    #expect(error?.code == .store)
  }

  @Test("a folder whose reading breaks off is an error, not a shorter folder")
  func brokenOff() throws {
    let scratch = try ScratchFolder()
    try FolderStore(path: scratch.path).put("data", bytes: [1])
    let handle = try #require(opendir(scratch.path))
    defer { closedir(handle) }
    // Whatever is read from now on fails.
    let other = open("/dev/null", O_RDONLY)
    #expect(dup2(other, dirfd(handle)) >= 0)
    close(other)
    let error = #expect(throws: BackupError.self) { try Disk.names(handle, scratch.path) }
    #expect(error?.code == .store)
  }
}
