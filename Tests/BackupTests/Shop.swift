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
