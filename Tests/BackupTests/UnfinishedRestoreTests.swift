import BSON
import Dump
import Fingerprint
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// What becomes of a restore that has begun to swap and did not end.
@Suite struct UnfinishedRestoreTests {
  /// Leaves what a restore leaves that dies before the first of its swaps, to `users` and `others`.
  private func die(_ shop: Shop, expiries: [Document] = []) throws -> Temporary {
    let temporary = Temporary()
    try shop.server.pool.withClient { client in
      let swapper = Swapper(client: client, options: shop.restoreOptions)
      var swaps: [Journal.Swap] = []
      for name in ["users", "others"] {
        let target = Namespace(shop.name, name)
        let place = temporary.loading(target)
        _ = try client.database(shop.name).insert(place.collection, [["_id": 7]])
        swaps.append(
          Journal.Swap(
            target: target, temporary: place, kept: temporary.kept(target),
            uuid: try swapper.uuid(place),
            replaced: try swapper.uuid(target).map { [$0] } ?? [], expiries: expiries))
      }
      let journal = Journal(client: client)
      try journal.begin(temporary.token, backup: "x", databases: [shop.name])
      try journal.swapping(temporary.token, swaps, .exchange)
      try journal.abandon(temporary.token)
    }
    return temporary
  }

  private func recover(
    _ shop: Shop, databases: Set<String>? = nil, takesOver: Bool = false,
    notice: (@Sendable (String) -> Void)? = nil
  ) throws {
    var options = shop.restoreOptions
    options.takesOver = takesOver
    options.notice = notice
    try shop.server.pool.withClient { client in
      try RestoreRecovery(client: client, options: options).run(
        databases: databases ?? [shop.name])
    }
  }

  private func ids(_ shop: Shop, _ collection: String) throws -> [Int64] {
    try shop.server.withDatabase {
      try $0.find(collection, options: ["sort": ["_id": 1]]).all()
        .compactMap { $0["_id"]?.integerValue }
    }
  }

  private func isOpen(_ shop: Shop, _ temporary: Temporary) throws -> Bool {
    try shop.server.pool.withClient { try Journal(client: $0).entry(temporary.token) != nil }
  }

  @Test("a signal does not stop a restore between two swaps")
  func cancelled() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let tallies = try ["orders", "users"].map { try shop.tally($0) }
      try shop.server.withDatabase { database in
        for name in ["orders", "users"] { _ = try database.delete(name, [["q": [:], "limit": 0]]) }
      }
      let cancellation = Cancellation()
      _ = try shop.restore(made.id) { options in
        options.only = try ["orders", "users"].map { try NamespacePattern(shop.name + "." + $0) }
        options.cancellation = cancellation
        options.notice = {
          if $0.hasPrefix("swapping") { cancellation.cancel(.interrupted(SIGINT)) }
        }
      }
      #expect(try ["orders", "users"].map { try shop.tally($0) } == tallies)
    }
  }

  @Test("a restore of other databases leaves an unfinished one alone, one of the same completes it")
  func otherDatabases() throws {
    try Shop.run { shop in
      let temporary = try die(shop)
      let notices = Mutex<[String]>([])
      try recover(shop, databases: [shop.name + "_else"]) { text in
        notices.withLock { $0.append(text) }
      }
      #expect(notices.withLock { $0.contains { $0.contains("has not been completed") } })
      #expect(try ids(shop, "users") == [1, 2])
      #expect(try isOpen(shop, temporary))
      try recover(shop)
      #expect(try ids(shop, "users") == [7])
      #expect(try ids(shop, "others") == [7])
      #expect(try !isOpen(shop, temporary))
    }
  }

  @Test("what was made anew since is not replaced unless that is asked for")
  func madeAnew() throws {
    try Shop.run { shop in
      let temporary = try die(shop)
      try shop.server.withDatabase { database in
        try database.drop("users")
        _ = try database.insert("users", [["_id": 3]])
      }
      let error = #expect(throws: BackupError.self) { try recover(shop) }
      #expect(error?.code == .conflict)
      #expect(error?.hint?.contains("--take-over") == true)
      #expect(try ids(shop, "users") == [3])
      #expect(try !shop.collections().contains("others"))
      try recover(shop, takesOver: true)
      #expect(try ids(shop, "users") == [7])
      // No safety backup has it.
      #expect(try ids(shop, temporary.kept(Namespace(shop.name, "users")).collection) == [3])
      #expect(try !isOpen(shop, temporary))
    }
  }

  @Test("a swap that can never be made any more does not stand in the way for ever")
  func lost() throws {
    try Shop.run { shop in
      let temporary = try die(shop)
      try shop.server.withDatabase {
        try $0.drop(temporary.loading(Namespace(shop.name, "users")).collection)
      }
      let error = #expect(throws: BackupError.self) { try recover(shop) }
      #expect(error?.code == .conflict)
      try recover(shop, takesOver: true)
      #expect(try ids(shop, "users") == [1, 2])
      #expect(try ids(shop, "others") == [7])
      #expect(try !isOpen(shop, temporary))
    }
  }

  @Test("an expiry that a server refuses is told, and is no reason to leave the other swaps undone")
  func expiry() throws {
    try Shop.run { shop in
      let temporary = try die(
        shop,
        expiries: [["collMod": "users", "index": ["name": "no", "expireAfterSeconds": 5]]])
      let notices = Mutex<[String]>([])
      try recover(shop) { text in notices.withLock { $0.append(text) } }
      #expect(notices.withLock { $0.contains { $0.contains("did not get its expiry") } })
      #expect(try ids(shop, "others") == [7])
      #expect(try !isOpen(shop, temporary))
    }
  }

  @Test(
    "a view that has come to have a restored collection's name is found before anything is swapped")
  func kinds() throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let orders = try shop.tally("orders")
      try shop.server.withDatabase { database in
        _ = try database.delete("orders", [["q": ["_id": 1], "limit": 0]])
        try database.drop("users")
      }
      let pool = shop.server.pool
      let name = shop.name
      let error = #expect(throws: BackupError.self) {
        try shop.restore(made.id) { options in
          options.notice = { text in
            guard text.hasPrefix("backing up") else { return }
            _ = try? pool.withClient {
              try $0.run(["create": "users", "viewOn": "orders", "pipeline": []], on: name)
            }
          }
        }
      }
      #expect(error?.code == .conflict)
      #expect(error?.namespace == name + ".users")
      #expect(try shop.tally("orders") != orders)
      #expect(try !shop.collections().contains { $0.hasPrefix(Temporary.prefix) })
    }
  }

  @Test("what two runs of one restore find in their way is put aside under two names")
  func asides() throws {
    try Shop.run { shop in
      let temporary = Temporary()
      let users = Namespace(shop.name, "users")
      for id in [7, 8] as [Int64] {
        try shop.server.withDatabase { database in
          try database.drop("users")
          _ = try database.insert("users", [["_id": .integer(id)]])
        }
        // As the next run that completes a dead one.
        let asides = Asides(
          pool: shop.server.pool, options: shop.restoreOptions, temporary: temporary, own: [])
        #expect(try asides.free(users))
        #expect(asides.swaps.map(\.kept) == [temporary.aside(users, Int(id) - 7)])
      }
      #expect(try shop.tally(temporary.aside(users, 0).collection).count == 1)
      #expect(try shop.tally(temporary.aside(users, 1).collection).count == 1)
      #expect(try !shop.collections().contains("users"))
    }
  }

  @Test("an entry of the journal of before a field was there still loads everything")
  func oldEntry() throws {
    let shop = Namespace("shop", "users")
    let item = RestorePlan.Item(
      source: shop, target: shop, way: .inPlace, count: 1, bytes: 1, liveCount: 1, expiries: [])
    for (items, isWhole) in [([item], true), ([], false)] {
      var options = RestoreOptions()
      options.inPlace = isWhole
      let late = isWhole ? [] : [LateMade(source: shop, target: shop, view: [:])]
      let manifest = Manifest(id: "x", kind: .full, started: 0, finished: 0)
      var document = Reload(items, late, manifest, options).document
      #expect(document["isWhole"] == .bool(isWhole))
      document.remove("isWhole")
      let reload = try #require(Reload(document))
      #expect(reload.loadsDocuments == isWhole)
    }
  }
}
