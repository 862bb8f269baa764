import BSON
import Dump
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

@Suite struct PrivilegeTests {
  private static let roles = ["restore", "readWriteAnyDatabase", "dbAdminAnyDatabase"]

  /// A user with these roles, and clients of it.
  private func pool(_ server: PrivateServer, _ name: String, _ roles: [String]) throws -> ClientPool
  {
    try ClientPool(try ConnectionSettings(uri: server.uri)).withClient { client in
      _ = try client.run(
        [
          "createUser": .string(name), "pwd": "not-a-secret",
          "roles": .array(roles.map { .string($0) }),
        ], on: "admin")
    }
    return try ClientPool(
      try ConnectionSettings(uri: server.uri, username: name, password: "not-a-secret"))
  }

  @Test(
    "without the right to exchange, what is written during a restore is added to the safety backup; without the oplog nothing is loaded"
  )
  func lateWrites() throws {
    let server = try PrivateServer(auth: true)
    let operators = try pool(server, "operator", Self.roles + ["backup"])
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/store")
    var backup = BackupOptions()
    backup.kind = .database
    backup.database = "shop"
    let root = try ClientPool(try ConnectionSettings(uri: server.uri))
    try root.withClient {
      _ = try $0.database("shop").insert("users", [["_id": 1], ["_id": 2]])
      // A transaction of 4.2 makes no collections.
      _ = try $0.database("other").insert("users", [["_id": 0]])
      _ = try $0.run(
        ["createUser": "reporter", "pwd": "not-a-secret", "roles": ["read"]], on: "shop")
    }
    let made = try BackupRunner(store, pool: operators, options: backup).run()
    #expect(made.collections.contains { $0.namespace.hasSuffix("system.users") && $0.count == 1 })
    try root.withClient {
      _ = try $0.database("shop").insert("users", [["_id": 3]])
      _ = try $0.run(["dropUser": "reporter"], on: "shop")
    }

    var options = RestoreOptions()
    options.workFolder = scratch.path
    options.safety = backup
    options.users = true
    options.notice = { text in
      guard text.hasPrefix("swapping") else { return }
      // After the safety backup, before the swap: a plain write and a transaction.
      try? root.withClient { client in
        _ = try client.database("shop").insert("users", [["_id": 4]])
        try client.withTransaction { session in
          _ = try client.database("shop").insert("users", [["_id": 5]], session: session)
          _ = try client.database("other").insert("users", [["_id": 6]], session: session)
        }
      }
    }
    let report = try RestoreRunner(store, pool: operators, options: options).run(made.id)
    #expect(report.lateWrites == 2)
    func collections() throws -> [String] {
      try root.withClient { try $0.database("shop").listCollections().map(\.name) }
    }
    #expect(try collections() == ["users"])
    #expect(report.users)
    func ids() throws -> [Int64] {
      try root.withClient { client in
        try client.database("shop").find("users", options: ["sort": ["_id": 1]]).all()
          .compactMap { $0["_id"]?.integerValue }
      }
    }
    #expect(try ids() == [1, 2])
    let users = try root.withClient { try $0.run(["usersInfo": "reporter"], on: "shop") }
    #expect(users["users"]?.arrayValue?.count == 1)

    // The safety backup gives back everything, the late writes too.
    options.notice = nil
    options.users = false
    let safety = try #require(report.safetyBackup)
    try Verifier(store).verify(safety, depth: .checksums)
    let saved = try Catalog(store).find(safety).manifest
    #expect(saved?.collections.contains { $0.namespace.contains("martlet.restore") } == false)
    _ = try RestoreRunner(store, pool: operators, options: options).run(safety)
    #expect(try ids() == [1, 2, 3, 4, 5])
    #expect(try collections() == ["users"])

    let poor = try pool(server, "poor", Self.roles)
    let sets = try Catalog(store).sets().count
    let error = #expect(throws: BackupError.self) {
      try RestoreRunner(store, pool: poor, options: options).run(made.id)
    }
    #expect(error?.code == .privilege)
    #expect(error?.hint?.contains("--writers-stopped") == true)
    #expect(try Catalog(store).sets().count == sets)
    #expect(try collections() == ["users"])
  }

  @Test("who sees only some databases makes no backup that says it is of all")
  func someDatabases() throws {
    let server = try PrivateServer(auth: true)
    let root = try ClientPool(try ConnectionSettings(uri: server.uri))
    try root.withClient { client in
      for name in ["shop", "other"] { _ = try client.database(name).insert("a", [["_id": 1]]) }
      _ = try client.run(
        [
          "createUser": "reader", "pwd": "not-a-secret",
          "roles": [["role": "read", "db": "shop"]],
        ], on: "admin")
    }
    let reader = try ClientPool(
      try ConnectionSettings(uri: server.uri, username: "reader", password: "not-a-secret"))
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/store")
    var backup = BackupOptions()
    let error = #expect(throws: BackupError.self) {
      try BackupRunner(store, pool: reader, options: backup).run()
    }
    #expect(error?.code == .privilege)
    #expect(error?.hint?.contains("shop") == true)
    #expect(try Catalog(store).sets().isEmpty)
    backup.database = "shop"
    #expect(try BackupRunner(store, pool: reader, options: backup).run().documents == 1)
    let buckets = #expect(throws: MongoError.self) {
      try reader.withClient { _ = try $0.database("shop").findOne("system.buckets.series") }
    }
    #expect(buckets?.kind == .privilege)
    #expect(buckets?.hint?.contains("role backup, or readAnyDatabase") == true)
    let operators = try pool(server, "operator", ["backup"])
    backup.database = nil
    let whole = try BackupRunner(store, pool: operators, options: backup).run()
    #expect(whole.collections.contains { $0.namespace == "other.a" })
  }

  @Test("who may not know which replica set this is makes no base, and says so")
  func base() throws {
    let place = try OperatorPlace()
    try place.shop { _ = try $0.insert("users", [["_id": 1]]) }
    let told = try place.backup()
    #expect(told.server?.replicaSetID == nil)
    #expect(told.notices.contains { $0.contains("clusterMonitor") })
    try Catalog(place.store).remove(told.id)
    func capture(_ pool: ClientPool) throws {
      var options = OplogCapture.Options()
      options.slice = .zero
      let isDone = Mutex(false)
      options.sliced = { _ in isDone.withLock { $0 = true } }
      options.until = { isDone.withLock { $0 } }
      try OplogCapture(place.store, pool: pool, options: options).run()
    }
    let refused = #expect(throws: BackupError.self) { try capture(place.operators) }
    #expect(refused?.code == .privilege)
    #expect(refused?.hint?.contains("clusterMonitor") == true)

    var backup = BackupOptions()
    backup.kind = .database
    backup.database = "shop"
    let made = try BackupRunner(place.store, pool: place.root, options: backup).run()
    #expect(made.notices.isEmpty)
    try place.shop { _ = try $0.insert("users", [["_id": 2]]) }
    let time = try place.root.withClient { try #require(try $0.hello().lastWriteTime) }
    try place.shop { _ = try $0.insert("users", [["_id": 3]]) }
    try capture(place.root)
    var options = RestoreOptions()
    options.workFolder = place.scratch.path
    options.time = .entry(time)
    _ = try RestoreRunner(place.store, pool: place.operators, options: options).run(nil)
    #expect(try place.ids() == [1, 2])
  }
}
