import BSON
import Dump
import Fingerprint
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

@Suite struct BackupRunTests {
  @Test("a backup describes what it holds, and reads back")
  func manifest() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let set = try Catalog(shop.store).latest()
      #expect(set.manifest == made)
      let orders = made.collections.first { $0.namespace == shop.name + ".orders" }
      #expect(orders?.count == 500)
      let live = try shop.tally("orders").fingerprint.description
      #expect(orders?.fingerprint == live)
      #expect(orders?.indexes.count == 3)
      #expect(made.migrations == ["001_a"])
      #expect(made.consistency?.mode == (TestServer.hasTimeseries ? "snapshot" : "oplog"))
      #expect(made.server?.replicaSetID?.count == 24)
      let report = try Verifier(shop.store).verify(made.id, depth: .documents)
      #expect(report.documents >= 500 + 2 + 1)
    }
  }

  @Test(
    "files keep mode and links; streams are what the command wrote; a failing one fails the set")
  func filesAndStreams() throws {
    try Shop.run { shop in
      let root = shop.scratch.path + "/app"
      _ = try RunningProgram.output(
        of: [
          "sh", "-c",
          "mkdir -p '\(root)/config' && cd '\(root)/config' && echo hello > a && chmod 640 a && ln -s a b",
        ])
      var options = shop.backupOptions
      options.kind = .full
      options.folder = root
      options.files = ["config"]
      options.streams = [StreamCommand(name: "other", dump: "printf 'some bytes'")]
      let made = try BackupRunner(shop.store, pool: shop.server.pool, options: options).run()
      #expect(made.files.map(\.name) == ["data.archive.gz", "files.tar.gz", "commands/other.gz"])
      try Verifier(shop.store).verify(made.id, depth: .documents)
      let folder = shop.scratch.path + "/store/" + made.id
      let listed = try RunningProgram.output(of: ["tar", "-tvzf", folder + "/files.tar.gz"])
      let text = String(decoding: listed.bytes, as: UTF8.self)
      #expect(text.contains("-rw-r-----"))
      #expect(text.contains("config/b -> a"))
      let stream = try RunningProgram.output(of: ["gzip", "-dc", folder + "/commands/other.gz"])
      #expect(stream.bytes == Array("some bytes".utf8))

      options.streams = [StreamCommand(name: "other", dump: "sh -c 'echo half; exit 1'")]
      let failed = #expect(throws: BackupError.self) {
        try BackupRunner(shop.store, pool: shop.server.pool, options: options).run()
      }
      #expect(failed?.code == .program)
      #expect(try Catalog(shop.store).sets().map(\.id) == [made.id])
      #expect(try Catalog(shop.store).debris().isEmpty)
    }
  }

  @Test("a store that fills up leaves nothing that looks like a backup")
  func full() throws {
    try Shop.run { shop in
      let store = FaultyStore(shop.store)
      store.faults.withLock { $0.room = 2000 }
      let runner = BackupRunner(store, pool: shop.server.pool, options: shop.backupOptions)
      #expect(throws: (any Error).self) { try runner.run() }
      let sets = try Catalog(shop.store).sets()
      let files = try shop.store.list("", recursively: true)
      #expect(sets.isEmpty)
      #expect(files.allSatisfy { $0.name.hasPrefix("locks/") })
    }
  }

  @Test("a store that loses files during a backup gets no manifest for them")
  func forgetful() throws {
    try Shop.run { shop in
      let store = FaultyStore(shop.store)
      store.faults.withLock { $0.forgetsAt = "commands/second.gz" }
      var options = shop.backupOptions
      options.kind = .full
      options.streams = [
        StreamCommand(name: "first", dump: "echo a"), StreamCommand(name: "second", dump: "echo b"),
      ]
      let error = #expect(throws: BackupError.self) {
        try BackupRunner(store, pool: shop.server.pool, options: options).run()
      }
      #expect(error?.code == .store)
      let files = try shop.store.list("", recursively: true)
      #expect(files.isEmpty)
    }
  }

  @Test("an encrypted backup needs its key to be looked into, and restores with it")
  func encrypted() throws {
    try Shop.run { shop in
      let key = shop.scratch.path + "/key"
      _ = try RunningProgram.output(of: ["age-keygen", "-o", key])
      let shown = try RunningProgram.output(of: ["age-keygen", "-y", key])
      let recipient = String(decoding: shown.bytes, as: UTF8.self).filter { !$0.isWhitespace }
      let made = try shop.backup { $0.age = Age(recipients: [recipient]) }
      #expect(made.files.map(\.name) == ["data.archive.gz.age"])
      try Verifier(shop.store).verify(made.id, depth: .checksums)
      let refused = #expect(throws: BackupError.self) {
        try Verifier(shop.store).verify(made.id, depth: .documents)
      }
      #expect(refused?.code == .encryption)
      try Verifier(shop.store, age: Age(identity: key)).verify(made.id, depth: .documents)
      try shop.server.withDatabase { try $0.drop("users") }
      let before = made.collections.first { $0.namespace == shop.name + ".users" }?.fingerprint
      _ = try shop.restore(made.id) {
        $0.age = Age(identity: key)
        $0.safetyBackup = false
      }
      #expect(try shop.tally("users").fingerprint.description == before)
    }
  }
}
