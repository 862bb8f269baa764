import BSON
import Dump
import Fingerprint
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// A small shop in a database of its own.
struct Shop {
  let server: TestServer
  let scratch: ScratchFolder
  let store: any Store

  var name: String { server.databaseName }

  static func run(_ body: (Shop) throws -> Void) throws {
    try TestServer.run { server in
      let scratch = try ScratchFolder()
      let shop = Shop(
        server: server, scratch: scratch, store: FolderStore(path: scratch.path + "/store"))
      try shop.fill()
      try body(shop)
    }
  }

  private func fill() throws {
    try server.withDatabase { database in
      _ = try database.run(["create": "orders", "validator": ["n": ["$type": "int"]]])
      _ = try database.run([
        "createIndexes": "orders",
        "indexes": [
          ["key": ["n": 1], "name": "n_1", "unique": true],
          ["key": ["at": 1], "name": "at_1", "expireAfterSeconds": 3600],
        ],
      ])
      _ = try database.insert(
        "orders", (0..<500).map { ["_id": .int32($0), "n": .int32($0), "text": "order"] })
      _ = try database.insert("users", [["_id": 1, "name": "a"], ["_id": 2, "name": "b"]])
      _ = try database.run([
        "create": "cheap", "viewOn": "orders", "pipeline": [["$match": ["n": 1]]],
      ])
      _ = try database.run(["create": "metrics", "timeseries": ["timeField": "t"]])
      _ = try database.insert(
        "metrics",
        (0..<50).map {
          ["t": .date(DateTime(milliseconds: 1_700_000_000_000 + $0)), "v": .integer($0)]
        })
      _ = try database.insert("migrations", [["name": "001_a", "status": "success"]])
      _ = try database.insert("migrations.lock", [["_id": "lock", "state": "before"]])
    }
  }

  var backupOptions: BackupOptions {
    var options = BackupOptions()
    options.database = name
    options.kind = .database
    options.ledger = Namespace(name, "migrations")
    return options
  }

  var restoreOptions: RestoreOptions {
    var options = RestoreOptions()
    options.workFolder = scratch.path
    return options
  }

  func backup(_ change: (inout BackupOptions) -> Void = { _ in }) throws -> Manifest {
    var options = backupOptions
    change(&options)
    return try BackupRunner(store, pool: server.pool, options: options).run()
  }

  func restore(_ id: String?, _ change: (inout RestoreOptions) -> Void = { _ in }) throws
    -> RestoreReport
  {
    var options = restoreOptions
    change(&options)
    return try RestoreRunner(store, pool: server.pool, options: options).run(id)
  }

  func tally(_ collection: String, database: String? = nil) throws -> CollectionTally {
    try server.pool.withClient { client in
      try ReadBack(client: client, cancellation: Cancellation())
        .tally(Namespace(database ?? name, collection))
    }
  }

  func collections() throws -> Set<String> {
    try server.withDatabase { Set(try $0.listCollections().map(\.name)) }
  }
}

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
      #expect(made.consistency?.mode == "snapshot")
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
      let before = made.collections.first { $0.namespace.hasSuffix(".users") }?.fingerprint
      _ = try shop.restore(made.id) {
        $0.age = Age(identity: key)
        $0.safetyBackup = false
      }
      #expect(try shop.tally("users").fingerprint.description == before)
    }
  }
}

@Suite struct RestoreTests {
  @Test("a restore brings everything back, keeps what it replaces, and leaves nothing behind")
  func everything() throws {
    try Shop.run { shop in
      let orders = try shop.tally("orders")
      let metrics = try shop.tally("system.buckets.metrics")
      let made = try shop.backup()
      let damaged = try shop.server.withDatabase { database in
        _ = try database.delete("orders", [["q": ["n": ["$gte": 100]], "limit": 0]])
        _ = try database.insert("orders", [["_id": 9999, "n": .int32(9999)]])
        try database.drop("cheap")
        _ = try database.insert("later", [["_id": 1]])
        _ = try database.update(
          "migrations.lock", [["q": ["_id": "lock"], "u": ["$set": ["state": "after"]]]])
        return try ReadBack(client: database.client, cancellation: Cancellation())
          .tally(Namespace(shop.name, "orders"))
      }
      let report = try shop.restore(made.id)
      #expect(try shop.tally("orders") == orders)
      #expect(try shop.tally("system.buckets.metrics") == metrics)
      #expect(try shop.collections().contains("cheap"))
      #expect(try shop.collections().contains("later"))
      #expect(try !shop.collections().contains { $0.hasPrefix(Temporary.prefix) })
      #expect(report.kept.isEmpty)
      try shop.server.withDatabase { database in
        #expect(try database.findOne("migrations.lock")?["state"]?.stringValue == "after")
        let indexes = try database.listIndexes("orders")
        #expect(indexes.map(\.name) == ["_id_", "n_1", "at_1"])
        #expect(indexes[2].spec["expireAfterSeconds"]?.integerValue == 3600)
        let info = try database.listCollections(filter: ["name": "orders"]).first
        #expect(info?.options.has("validator") == true)
        #expect(
          try database.client.database(Journal.database).findOne(
            Journal.collection, filter: ["databases": .string(shop.name)]) == nil)
      }
      // The safety backup holds what was there before.
      let safety = try #require(report.safetyBackup)
      let saved = try Catalog(shop.store).find(safety).manifest
      #expect(saved?.tags == ["safety"])
      #expect(
        saved?.collections.first { $0.namespace == shop.name + ".orders" }?.fingerprint
          == damaged.fingerprint.description)
    }
  }

  @Test("one collection can be restored under another name beside the live one")
  func renamed() throws {
    try Shop.run { shop in
      let orders = try shop.tally("orders")
      let made = try shop.backup()
      try shop.server.withDatabase { _ = try $0.delete("orders", [["q": [:], "limit": 0]]) }
      let report = try shop.restore(made.id) { options in
        options.only = [try! NamespacePattern(shop.name + ".orders")]
        options.renames = [
          try! NamespaceRename(from: shop.name + ".orders", to: shop.name + ".orders_old")
        ]
      }
      #expect(report.restored == [Namespace(shop.name, "orders_old")])
      #expect(try shop.tally("orders_old") == orders)
      #expect(try shop.tally("orders").count == 0)
    }
  }

  @Test("in place works too")
  func inPlace() throws {
    try Shop.run { shop in
      let orders = try shop.tally("orders")
      let made = try shop.backup()
      try shop.server.withDatabase { _ = try $0.delete("orders", [["q": [:], "limit": 0]]) }
      let report = try shop.restore(made.id) { $0.inPlace = true }
      #expect(try shop.tally("orders") == orders)
      #expect(report.safetyBackup != nil)
    }
  }

  @Test("a damaged backup changes nothing")
  func damaged() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let name = made.id + "/data.archive.gz"
      var bytes = try shop.store.read(name)
      bytes[bytes.count / 2] ^= 1
      try shop.store.put(name, bytes: bytes)
      try shop.server.withDatabase { _ = try $0.delete("users", [["q": [:], "limit": 0]]) }
      let error = #expect(throws: BackupError.self) { try shop.restore(made.id) }
      #expect(error?.code == .damaged)
      #expect(try shop.tally("users").count == 0)
      #expect(try !shop.collections().contains { $0.hasPrefix(Temporary.prefix) })
    }
  }

  @Test("a restore that died while loading is cleaned up, one that died swapping is completed")
  func recovery() throws {
    try Shop.run { shop in
      try shop.server.pool.withClient { client in
        let database = client.database(shop.name)
        let temporary = Temporary(token: shop.name.filter(\.isLetter))
        let place = temporary.loading(Namespace(shop.name, "users"))
        _ = try database.insert(place.collection, [["_id": 7]])
        let journal = Journal(client: client)
        try journal.begin(temporary.token, backup: "x", databases: [shop.name])
        let alive = #expect(throws: BackupError.self) {
          try RestoreRecovery(client: client, options: shop.restoreOptions).run(databases: [
            shop.name
          ])
        }
        #expect(alive?.code == .locked)
        let swapper = Swapper(client: client, options: shop.restoreOptions)
        let swap = Journal.Swap(
          target: Namespace(shop.name, "users"), temporary: place, kept: nil,
          uuid: try swapper.uuid(place), expiries: [])
        try journal.swapping(temporary.token, [swap])
        var options = shop.restoreOptions
        options.takesOver = true
        // Others restore beside us: take over only what is ours.
        try RestoreRecovery(client: client, options: options).run(
          databases: [shop.name], only: temporary.token)
        #expect(try database.findOne("users")?["_id"] == 7)
        #expect(try swapper.uuid(place) == nil)
      }
    }
  }

  @Test("a plan says what would be replaced and what stays")
  func planned() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      try shop.server.withDatabase { _ = try $0.insert("later", [["_id": 1]]) }
      let plan = try RestoreRunner(
        shop.store, pool: shop.server.pool, options: shop.restoreOptions
      ).plan(made.id)
      let orders = plan.items.first { $0.source.collection == "orders" }
      #expect(orders?.way == .swap)
      #expect(orders?.liveCount == 500)
      #expect(plan.items.first { $0.source.collection == "metrics" }?.way == .reload)
      #expect(plan.untouched.contains(Namespace(shop.name, "later")))
      #expect(plan.left.contains(shop.name + ".migrations.lock"))
      #expect(plan.warnings.contains { $0.contains("expiry") })
    }
  }
}

@Suite struct RecoveryTests {
  /// Captures until everything up to now is in slices.
  private func capture(_ shop: Shop) throws {
    let target = try shop.server.pool.withClient { client in
      // A write that comes after everything so far.
      _ = try client.run(["appendOplogNote": 1, "data": ["test": 1]], on: "admin")
      return try #require(try client.hello().lastWriteTime)
    }
    let seen = Mutex(Timestamp(rawValue: 0))
    var options = OplogCapture.Options()
    options.slice = .zero
    options.sliced = { slice in seen.withLock { $0 = slice.end } }
    options.until = { seen.withLock { $0 } >= target }
    try OplogCapture(shop.store, pool: shop.server.pool, options: options).run()
  }

  private func now(_ shop: Shop) throws -> Timestamp {
    try shop.server.pool.withClient { try #require(try $0.hello().lastWriteTime) }
  }

  @Test("a database comes back as it was at each of several moments, and not at another")
  func moments() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      try capture(shop)
      var states: [(Timestamp, CollectionTally)] = []
      for round in 0..<4 {
        try shop.server.withDatabase { database in
          let n = Int32(1000 + round)
          _ = try database.insert("orders", [["_id": .int32(n), "n": .int32(n)]])
          _ = try database.update(
            "orders",
            [
              [
                "q": ["n": ["$lt": .int32(Int32(10 * (round + 1)))]], "u": ["$inc": ["x": 1]],
                "multi": true,
              ]
            ])
          _ = try database.delete("orders", [["q": ["n": .int32(Int32(200 + round))], "limit": 1]])
          if round == 2 {
            _ = try database.run([
              "createIndexes": "orders", "indexes": [["key": ["x": 1], "name": "x_1"]],
            ])
            _ = try database.insert("extra", [["_id": 1]])
          }
        }
        states.append((try now(shop), try shop.tally("orders")))
        if round == 1 { try capture(shop) }
      }
      try shop.server.withDatabase { _ = try $0.delete("orders", [["q": [:], "limit": 0]]) }
      try capture(shop)
      #expect(try SliceCatalog(shop.store).chains().first?.runs.count == 1)
      for (time, tally) in states.reversed() {
        let report = try shop.restore(nil) { options in
          options.time = .entry(time)
          options.safetyBackup = false
        }
        #expect(report.backup == made.id)
        #expect(try shop.tally("orders") == tally, "at \(OplogTime.text(time))")
        // The negative control: no other moment looks like it.
        #expect(states.filter { $0.1 == tally }.count == 1)
      }
      try shop.server.withDatabase { database in
        let names = try database.listIndexes("orders").map(\.name)
        #expect(names == ["_id_", "n_1", "at_1"])
      }
      #expect(throws: BackupError.self) {
        try shop.restore(nil) { $0.time = .moment(Moment.now() + 86_400) }
      }
      #expect(throws: BackupError.self) { try shop.restore(nil) { $0.time = .moment(1_000_000) } }
    }
  }

  @Test("a capture goes on where it stopped, and a missing slice is a gap")
  func gaps() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      for round in 0..<3 {
        try shop.server.withDatabase { _ = try $0.insert("users", [["round": .integer(round)]]) }
        try capture(shop)
      }
      let chain = try #require(try SliceCatalog(shop.store).chains().first)
      #expect(chain.gaps.isEmpty)
      #expect(chain.runs.count == 1)
      for (a, b) in zip(chain.slices, chain.slices.dropFirst()) { #expect(a.end == b.start) }
      let middle = chain.slices[chain.slices.count / 2]
      try shop.store.delete(middle.descriptionName)
      #expect(try SliceCatalog(shop.store).chain(chain.replicaSetID).gaps.count == 1)
    }
  }

  @Test("the moment before a migration is found by its mark")
  func marks() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      let users = try shop.tally("users")
      try shop.server.pool.withClient { client in
        let data: Document = ["martlet": ["migration": "002_b", "event": "before"]]
        _ = try client.run(["appendOplogNote": 1, "data": .document(data)], on: "admin")
        try client.database(shop.name).drop("users")
      }
      try capture(shop)
      let mark = try MigrationMark.find("002_b", in: shop.store)
      _ = try shop.restore(nil) { options in
        options.before = mark
        options.only = [try! NamespacePattern(shop.name + ".users")]
      }
      #expect(try shop.tally("users") == users)
      #expect(throws: BackupError.self) { try MigrationMark.find("003_c", in: shop.store) }
    }
  }
}
