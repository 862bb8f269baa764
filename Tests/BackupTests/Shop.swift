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

  func fill() throws {
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
      if TestServer.hasTimeseries {
        _ = try database.run(["create": "metrics", "timeseries": ["timeField": "t"]])
        _ = try database.insert(
          "metrics",
          (0..<50).map {
            ["t": .date(DateTime(milliseconds: 1_700_000_000_000 + $0)), "v": .integer($0)]
          })
      }
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

  func backup(_ change: (inout BackupOptions) throws -> Void = { _ in }) throws -> Manifest {
    var options = backupOptions
    try change(&options)
    return try BackupRunner(store, pool: server.pool, options: options).run()
  }

  func restore(_ id: String?, _ change: (inout RestoreOptions) throws -> Void = { _ in }) throws
    -> RestoreReport
  {
    var options = restoreOptions
    try change(&options)
    return try RestoreRunner(store, pool: server.pool, options: options).run(id)
  }

  /// Captures until everything up to now is in slices.
  /// - Parameters:
  ///   - store: another one than the shop's.
  ///   - databases: only these; all when empty.
  ///   - sliced: told of every slice.
  ///   - notice: told what the capture says.
  func capture(
    in store: (any Store)? = nil, only databases: [String] = [],
    sliced: @escaping @Sendable (Slice) -> Void = { _ in },
    notice: @escaping @Sendable (String) -> Void = { _ in }
  ) throws {
    let target = try server.pool.withClient { client in
      // A write that comes after everything so far.
      _ = try client.run(["appendOplogNote": 1, "data": ["test": 1]], on: "admin")
      return try #require(try client.hello().lastWriteTime)
    }
    let seen = Mutex(Timestamp(rawValue: 0))
    var options = OplogCapture.Options()
    options.slice = .zero
    options.databases = databases
    options.notice = notice
    options.sliced = { slice in
      seen.withLock { $0 = slice.end }
      sliced(slice)
    }
    options.until = { seen.withLock { $0 } >= target }
    try OplogCapture(store ?? self.store, pool: server.pool, options: options).run()
  }

  /// The time of the newest write.
  func now() throws -> Timestamp {
    try server.pool.withClient { try #require(try $0.hello().lastWriteTime) }
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
