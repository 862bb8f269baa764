import BSON
import Dump
import Glibc
import Synchronization
import Testing

@testable import Backup

/// Every store keeps the same promises.
enum StoreKind: String, CaseIterable, Sendable {
  case folder, rclone, s3

  /// Nil where the machine lacks what it takes.
  func open(_ scratch: ScratchFolder) -> (any Store)? {
    switch self {
    case .folder: return FolderStore(path: scratch.path + "/store")
    case .rclone: return RcloneStore(remote: ":local:" + scratch.path + "/store")
    case .s3:
      // A running S3-compatible server: scripts/test.sh starts moto's where it is installed.
      guard let remote = ProcessEnvironment["MARTLET_TEST_S3"] else { return nil }
      let name = scratch.path.split(separator: ".").last ?? "x"
      return RcloneStore(remote: remote + "/" + name.lowercased())
    }
  }
}

@Suite struct StoreContractTests {
  @Test(
    "a file that was put can be read, listed, replaced and removed", arguments: StoreKind.allCases)
  func roundTrip(kind: StoreKind) throws {
    let scratch = try ScratchFolder()
    guard let store = kind.open(scratch) else { return }
    let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try store.put("a/b/file one", bytes: bytes)
    #expect(try store.read("a/b/file one") == bytes)
    #expect(
      try store.list("a", recursively: true)
        == [StoreEntry(name: "a/b/file one", size: 300_000, isFolder: false)])
    #expect(
      try store.list("a", recursively: false)
        == [StoreEntry(name: "a/b", size: 0, isFolder: true)])
    try store.put("a/b/file one", bytes: [1, 2, 3])
    #expect(try store.read("a/b/file one") == [1, 2, 3])
    try store.delete("a/b/file one")
    #expect(try store.list("a", recursively: true).isEmpty)
    try store.delete("a/b/file one")
  }

  @Test("a part of a file can be read", arguments: StoreKind.allCases)
  func ranges(kind: StoreKind) throws {
    let scratch = try ScratchFolder()
    guard let store = kind.open(scratch) else { return }
    try store.put("x", bytes: Array(0..<100))
    let part = try Transfer.bytes(try store.get("x", range: 10..<15), limit: 100)
    #expect(part == [10, 11, 12, 13, 14])
  }

  @Test("many files are read and removed as well as one", arguments: StoreKind.allCases)
  func many(kind: StoreKind) throws {
    let scratch = try ScratchFolder()
    guard let store = kind.open(scratch) else { return }
    let names = (0..<8).map { "some/ü, [\($0)]*?{a}#; x/file" } + ["#top"]
    for (index, name) in names.enumerated() { try store.put(name, bytes: [UInt8(index)]) }
    let asked = names.dropFirst() + ["some/none", "none"]
    let read = try store.read(all: Array(asked), limit: 100)
    #expect(Set(read.keys) == Set(names.dropFirst()))
    for (index, name) in names.enumerated().dropFirst() { #expect(read[name] == [UInt8(index)]) }
    #expect(throws: BackupError.self) { try store.read(all: ["a", "../b", "c"], limit: 100) }
    try store.delete(all: Array(asked))
    #expect(try store.list("", recursively: true).map(\.name) == [names[0]])
    try store.delete(all: Array(asked))
  }

  @Test("what is not there is not found", arguments: StoreKind.allCases)
  func missing(kind: StoreKind) throws {
    let scratch = try ScratchFolder()
    guard let store = kind.open(scratch) else { return }
    #expect(try store.list("nothing", recursively: true).isEmpty)
    let error = #expect(throws: BackupError.self) { try store.read("nothing/at all") }
    #expect(error?.code == .notFound)
  }

  @Test("a file that is given up leaves nothing", arguments: StoreKind.allCases)
  func discarded(kind: StoreKind) throws {
    let scratch = try ScratchFolder()
    guard let store = kind.open(scratch) else { return }
    let writer = try store.put("set/data", size: nil)
    try writer.write(all: [UInt8](repeating: 7, count: 400_000))
    writer.discard()
    do {
      let other = try store.put("set/other", size: nil)
      try other.write(all: [1])
    }
    #expect(try store.list("", recursively: true).isEmpty)
  }

  @Test("an empty file is a file", arguments: StoreKind.allCases)
  func empty(kind: StoreKind) throws {
    let scratch = try ScratchFolder()
    guard let store = kind.open(scratch) else { return }
    try store.put("e", bytes: [])
    #expect(try store.read("e") == [])
    #expect(try store.list("", recursively: false).map(\.name) == ["e"])
  }

  @Test("names that lead out of the store are refused", arguments: StoreKind.allCases)
  func names(kind: StoreKind) throws {
    let scratch = try ScratchFolder()
    guard let store = kind.open(scratch) else { return }
    for name in ["../x", "/x", "a//b", "", "a/."] {
      #expect(throws: BackupError.self) { try store.put(name, bytes: [1]) }
    }
  }

  @Test("a folder store's files are for their owner only")
  func modes() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/store")
    try store.put("set/data", bytes: [1])
    var status = stat()
    #expect(stat(scratch.path + "/store/set/data", &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    #expect(stat(scratch.path + "/store/set", &status) == 0)
    #expect(status.st_mode & 0o777 == 0o700)
  }

  @Test("a missing rclone says so")
  func noRclone() throws {
    let store = RcloneStore(remote: ":local:/tmp", program: "rclone-that-is-not-there")
    let error = #expect(throws: BackupError.self) { try store.list("", recursively: false) }
    #expect(error?.code == .program)
    #expect(error?.hint != nil)
  }

  @Test(
    "locations are told apart",
    arguments: [
      ("./backups", StoreLocation.folder("./backups")), ("/b", .folder("/b")),
      ("rclone:s3:bucket/x", .rclone("s3:bucket/x")),
    ])
  func locations(text: String, expected: StoreLocation) throws {
    #expect(try StoreLocation(text) == expected)
    for refused in ["rclone:bucket", "s3://bucket/backups", "gs://bucket", "file:///backups", ""] {
      let error = #expect(throws: BackupError.self) { try StoreLocation(refused) }
      #expect(error?.code == .usage)
    }
  }
}

@Suite struct StoreLockTests {
  @Test("a second run is told who holds the store, and gets it afterwards")
  func exclusive() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    let lock = try StoreLock.acquire(store, purpose: "backup run")
    let error = #expect(throws: BackupError.self) {
      try StoreLock.acquire(store, purpose: "backup prune")
    }
    #expect(error?.code == .locked)
    #expect(error?.message.contains("backup run") == true)
    lock.release()
    try StoreLock.acquire(store, purpose: "backup prune").release()
  }

  @Test("the lock of a process that has died is cleared at once")
  func dead() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    // Has ended, so its number is free.
    let child = try RunningProgram(["true"], input: false, output: false)
    _ = child.wait()
    var holder = LockHolder.current("backup run")
    holder.pid = child.pid
    holder.processStart = 1
    try store.put(
      "locks/store/dead.json", bytes: Array(holder.document.extendedJSON(.relaxed).utf8))
    try StoreLock.acquire(store, purpose: "backup run").release()
  }

  @Test("staleness is judged by machine, process and heartbeat")
  func staleness() {
    var holder = LockHolder.current("x")
    #expect(!holder.isStale(now: holder.heartbeat + 100_000, patience: 600))
    // Another machine may have the same name: only what is older than this one's start can be its own.
    holder.bootID = "another"
    #expect(!holder.isStale(now: holder.heartbeat + 599, patience: 600))
    holder.heartbeat -= 100_000_000
    #expect(holder.isStale(now: holder.heartbeat, patience: 600))
    holder.heartbeat += 100_000_000
    holder.host = "another"
    #expect(!holder.isStale(now: holder.heartbeat + 599, patience: 600))
    #expect(holder.isStale(now: holder.heartbeat + 601, patience: 600))
  }

  private func put(_ holder: LockHolder, in store: some Store) throws {
    try store.put(
      "locks/store/other.json", bytes: Array(holder.document.extendedJSON(.relaxed).utf8))
  }

  @Test("clocks that differ or jumped neither clear a live lock nor keep a dead one")
  func clocks() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    var other = LockHolder.current("backup run")
    other.host = "another"
    for jump in [-100_000, 100_000] as [Int64] {
      other.heartbeat = Moment.now() + jump
      try put(other, in: store)
      // Renewed for as long as it is watched, by a clock of its own.
      let holder = other
      let isWatched = Mutex(true)
      let renewer = WorkerThread {
        var holder = holder
        while isWatched.withLock({ $0 }) {
          usleep(20_000)
          holder.heartbeat += 30
          try? self.put(holder, in: store)
        }
      }
      // Ends with the first renewal that is seen.
      let refused = #expect(throws: BackupError.self) {
        try StoreLock.acquire(store, purpose: "backup run", watching: 60_000)
      }
      #expect(refused?.code == .locked)
      isWatched.withLock { $0 = false }
      renewer?.join()
      try StoreLock.acquire(store, purpose: "backup run", watching: 200).release()
    }
  }

  @Test("a lock that somebody has taken away is lost, and not written again")
  func taken() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    let lock = try StoreLock.acquire(store, purpose: "backup run")
    try lock.check()
    for entry in try store.list("locks", recursively: true) { try store.delete(entry.name) }
    let lost = #expect(throws: BackupError.self) { try lock.check() }
    #expect(lost?.code == .locked)
  }
}
