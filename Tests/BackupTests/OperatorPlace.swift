import BSON
import Dump
import MongoDB
import TestSupport
import Testing

@testable import Backup

/// A server, and a user who backs up and restores but may not exchange collections.
struct OperatorPlace {
  let server: PrivateServer
  let root: ClientPool
  let operators: ClientPool
  let scratch: ScratchFolder
  let store: FolderStore

  init(oplog: Int? = nil) throws {
    server = try PrivateServer(
      auth: true, oplog: oplog, arguments: oplog == nil ? [] : ["--syncdelay", "1"])
    root = try ClientPool(try ConnectionSettings(uri: server.uri))
    let roles: [Value] = ["backup", "restore", "readWriteAnyDatabase", "dbAdminAnyDatabase"]
    _ = try root.withClient {
      try $0.run(
        ["createUser": "operator", "pwd": "not-a-secret", "roles": .array(roles)], on: "admin")
    }
    operators = try ClientPool(
      try ConnectionSettings(uri: server.uri, username: "operator", password: "not-a-secret"))
    scratch = try ScratchFolder()
    store = FolderStore(path: scratch.path + "/store")
  }

  func backup() throws -> Manifest {
    var options = BackupOptions()
    options.kind = .database
    options.database = "shop"
    return try BackupRunner(store, pool: operators, options: options).run()
  }

  func restore(
    _ id: String, _ when: String = "", _ body: @escaping @Sendable () -> Void = {},
    change: (inout RestoreOptions) throws -> Void = { _ in }
  ) throws -> RestoreReport {
    var options = RestoreOptions()
    options.workFolder = scratch.path
    options.notice = { text in if !when.isEmpty, text.hasPrefix(when) { body() } }
    try change(&options)
    return try RestoreRunner(store, pool: operators, options: options).run(id)
  }

  func shop<R>(_ body: (Database) throws -> R) throws -> R {
    try root.withClient { try body($0.database("shop")) }
  }

  func ids(_ collection: String = "users") throws -> [Int64] {
    try shop {
      try $0.find(collection, options: ["sort": ["_id": 1]]).all()
        .compactMap { $0["_id"]?.integerValue }
    }
  }

  func names() throws -> [String] { try shop { try $0.listCollections().map(\.name).sorted() } }

  func journal() throws -> Int { try root.withClient { try Journal(client: $0).open().count } }
}
