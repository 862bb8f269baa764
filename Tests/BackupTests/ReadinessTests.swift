import BSON
import Dump
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

@Suite struct ReadinessTests {
  @Test(
    "a member that is down is told before a restore, and a capture tells that no majority moves")
  func members() throws {
    let set = try PrivateServer(members: 3)
    try TestServer.run(uri: set.uri) { server in
      let scratch = try ScratchFolder()
      let shop = Shop(
        server: server, scratch: scratch, store: FolderStore(path: scratch.path + "/store"))
      try server.withDatabase { _ = try $0.insert("accounts", [["_id": 1]]) }
      let made = try shop.backup { $0.ledger = nil }
      let me = try server.pool.withClient { try #require(try $0.hello().me) }
      let others = set.hosts.indices.filter { set.hosts[$0] != me }
      defer { for member in others { try? set.signal(SIGCONT, member: member) } }
      func warnings() throws -> [String] {
        try RestoreRunner(shop.store, pool: server.pool, options: shop.restoreOptions)
          .plan(made.id).warnings
      }
      #expect(try !warnings().contains { $0.contains("not reachable") })
      try set.signal(SIGSTOP, member: others[0])
      try Patience.wait(for: "the warning") {
        try warnings().contains { $0.contains("\(set.hosts[others[0]]) is not reachable") }
      }

      let cancellation = Cancellation()
      let notices = Mutex<[String]>([])
      let capture = WorkerThread {
        var options = OplogCapture.Options()
        options.majorityPatience = .seconds(1)
        options.cancellation = cancellation
        options.notice = { text in notices.withLock { $0.append(text) } }
        try? OplogCapture(shop.store, pool: server.pool, options: options).run()
      }
      // Follows once it has told of nothing for the first slices.
      try set.signal(SIGSTOP, member: others[1])
      func hasTold() -> Bool {
        notices.withLock { $0.contains { $0.contains("the majority point has stood still") } }
      }
      var number = 0
      try Patience.wait(for: "the notice") {
        number += 1
        // Fails once there is no primary any more.
        _ = try? server.withDatabase {
          try $0.insert(
            "late", [["_id": .integer(number)]],
            options: CommandOptions(writeConcern: ["w": 1]))
        }
        return hasTold()
      }
      for member in others { try set.signal(SIGCONT, member: member) }
      cancellation.cancel(.stopped)
      capture?.join()
    }
  }

  @Test("an entry of a kind that nobody knows is refused, and not left out")
  func unknownKind() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      try shop.capture()
      let chain = try #require(try SliceCatalog(shop.store).chains().first)
      let start = try #require(chain.runs.last?.end)
      var last = start
      func append(_ kind: String, _ namespace: String) throws {
        let end = Timestamp(seconds: last.seconds + 1, increment: 1)
        let entries: [Document] = [
          ["ts": .timestamp(last), "op": "n", "ns": "", "o": Value.document([:])],
          [
            "ts": .timestamp(end), "op": .string(kind), "ns": .string(namespace),
            "o": ["_id": 1],
          ],
        ]
        let bytes = entries.flatMap(\.bytes)
        let stored = try RunningProgram.output(of: ["gzip", "-nc"], input: bytes).bytes
        let slice = Slice(
          replicaSetID: chain.replicaSetID, start: last, end: end, count: 2,
          bytes: Int64(bytes.count), digest: FileDigest(of: stored), isEncrypted: false,
          beginsChain: false, databases: [], serverVersion: "6.0.5")
        try shop.store.put(slice.dataName, bytes: stored)
        try shop.store.put(slice.descriptionName, bytes: SealedText.seal(slice.document))
        last = end
      }
      try append("db", shop.name)
      try append("xi", "another.things")
      _ = try shop.restore(made.id) {
        $0.time = .entry(last)
        $0.safetyBackup = false
      }
      try append("xi", shop.name + ".orders")
      let refused = #expect(throws: (any Error).self) {
        try shop.restore(made.id) {
          $0.time = .entry(last)
          $0.safetyBackup = false
        }
      }
      #expect(refused.map { "\($0)".contains("of the kind 'xi'") } == true)
    }
  }

  @Test(
    "the decrypted oplog of a restore that was killed is removed by the next, a live one's is not")
  func deadFolders() throws {
    let scratch = try ScratchFolder()
    let folders = FolderStore(path: scratch.path)
    for name in ["dead", "alive", "other"] {
      try folders.put("martlet-replay.\(name)/entries.bson", bytes: [1])
      if name != "other" { try folders.put("martlet-replay.\(name)/lock", bytes: []) }
    }
    let lock = open(scratch.path + "/martlet-replay.alive/lock", O_RDWR | O_CLOEXEC)
    defer { close(lock) }
    #expect(flock(lock, LOCK_EX | LOCK_NB) == 0)
    let first = try WorkFolder(in: scratch.path).path
    try folders.put(String(first.dropFirst(scratch.path.count + 1)) + "/entries.bson", bytes: [1])
    let second = try WorkFolder(in: scratch.path).path
    #expect(first != second)
    #expect(access(first + "/entries.bson", F_OK) == 0)
    #expect(access(scratch.path + "/martlet-replay.dead", F_OK) != 0)
    #expect(access(scratch.path + "/martlet-replay.alive/entries.bson", F_OK) == 0)
    #expect(access(scratch.path + "/martlet-replay.other/entries.bson", F_OK) == 0)
  }
}
