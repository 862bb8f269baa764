import BSON
import Dump
import Fingerprint
import Foundation
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// The moments around a swap, made to happen by what the servers and the application do.
@Suite struct SwapTests {
  /// Does something as soon as the restore says that it begins to swap.
  private func whenSwapping(_ options: inout RestoreOptions, _ body: @escaping @Sendable () -> Void)
  {
    options.notice = { text in if text.hasPrefix("swapping") { body() } }
  }

  @Test("a majority that answers late does not make a swap happen twice")
  func lateMajority() throws {
    let server = try PrivateServer(members: 3)
    let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path + "/store")
    let secondaries = try pool.withClient { client -> [Int] in
      // The primary stays one while it sees nobody.
      var config = try #require(
        try client.run(["replSetGetConfig": 1], on: "admin")["config"]?.documentValue)
      var settings = config["settings"]?.documentValue ?? [:]
      settings["electionTimeoutMillis"] = 60_000
      config["settings"] = .document(settings)
      config["version"] = .integer((config["version"]?.integerValue ?? 0) + 1)
      _ = try client.run(["replSetReconfig": .document(config)], on: "admin")
      let me = try client.run(["hello": 1], on: "admin")["me"]?.stringValue
      _ = try client.database("shop").insert("users", [["_id": 1], ["_id": 2]])
      _ = try client.database("shop").insert("orders", [["_id": 1]])
      return server.hosts.indices.filter { server.hosts[$0] != me }
    }
    #expect(secondaries.count == 2)
    var backup = BackupOptions()
    backup.kind = .database
    backup.database = "shop"
    let made = try BackupRunner(store, pool: pool, options: backup).run()
    try pool.withClient { client in
      _ = try client.database("shop").insert("users", [["_id": 3]])
      _ = try client.database("shop").drop("orders")
    }

    var options = RestoreOptions()
    options.workFolder = scratch.path
    whenSwapping(&options) {
      for member in secondaries { try? server.signal(SIGSTOP, member: member) }
      // Longer than a swap waits for its confirmation, and than the pause before it is tried again.
      Thread.detachNewThread {
        Thread.sleep(forTimeInterval: 2)
        for member in secondaries { try? server.signal(SIGCONT, member: member) }
      }
    }
    let report = try RestoreRunner(store, pool: pool, options: options).run(made.id)
    #expect(report.kept.isEmpty)
    let names = try pool.withClient { try $0.database("shop").listCollections().map(\.name) }
    #expect(names.sorted() == ["orders", "users"])
    let users = try pool.withClient {
      try $0.database("shop").find("users", options: ["sort": ["_id": 1]]).all()
    }
    #expect(users == [["_id": 1], ["_id": 2]])
    let journal = try pool.withClient { try Journal(client: $0).open() }
    #expect(journal.isEmpty)
  }
}
