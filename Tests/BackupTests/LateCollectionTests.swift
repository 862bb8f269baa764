import BSON
import Dump
import Fingerprint
import Glibc
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// What an application makes, makes anew and writes just before a restore that may not exchange
/// collections takes their names.
@Suite struct LateCollectionTests {
  @Test("a collection made anew before the swap is not lost with what it got")
  func recreated() throws {
    let place = try OperatorPlace()
    try place.shop { _ = try $0.insert("users", [["_id": 1], ["_id": 2]]) }
    let made = try place.backup()
    try place.shop { _ = try $0.insert("users", [["_id": 3]]) }
    let root = place.root
    let report = try place.restore(made.id, "swapping") {
      try? root.withClient { client in
        let shop = client.database("shop")
        try shop.drop("users")
        _ = try shop.insert("users", [["_id": 7]])
        // What a probe that could not be dropped leaves.
        let token = try Journal(client: client).open().first?["_id"]?.stringValue ?? ""
        _ = try shop.insert(try Temporary(token: token).stem + Swapper.probe + "c", [["_id": 1]])
      }
    }
    #expect(try place.ids() == [1, 2])
    #expect(try place.names() == ["users"])
    #expect(try place.journal() == 0)
    _ = try place.restore(try #require(report.safetyBackup))
    // As it was when it was replaced.
    #expect(try place.ids() == [7])
  }

  @Test("a probe that could not be dropped is not taken for something restored")
  func probe() throws {
    let place = try OperatorPlace()
    try place.shop { _ = try $0.insert("users", [["_id": 1]]) }
    let made = try place.backup()
    let root = place.root
    let report = try place.restore(made.id, "loading 1 collections beside") {
      try? root.withClient { client in
        let token = try Journal(client: client).open().first?["_id"]?.stringValue ?? ""
        _ = try client.database("shop").insert(
          try Temporary(token: token).stem + Swapper.probe + "c", [["_id": 1]])
      }
    }
    #expect(report.restored == [Namespace("shop", "users")])
    #expect(try place.names() == ["users"])
  }

  @Test("what comes into being while an empty database is restored is not dropped")
  func filledIn() throws {
    let place = try OperatorPlace()
    try place.shop {
      _ = try $0.insert("users", [["_id": 1]])
      _ = try $0.insert("orders", [["_id": 1]])
    }
    let made = try place.backup()
    let root = place.root
    // While it is loaded: there is time for a safety backup.
    try place.shop { try $0.dropDatabase() }
    let first = try place.restore(made.id, "loading 2 collections beside") {
      _ = try? root.withClient { try $0.database("shop").insert("users", [["_id": 8]]) }
    }
    #expect(try place.ids() == [1])
    _ = try place.restore(try #require(first.safetyBackup))
    #expect(try place.ids() == [8])
    // Later: not any more.
    try place.shop { try $0.dropDatabase() }
    let error = #expect(throws: BackupError.self) {
      try place.restore(made.id, "swapping") {
        _ = try? root.withClient { try $0.database("shop").insert("users", [["_id": 9]]) }
      }
    }
    #expect(error?.code == .conflict)
    #expect(try place.ids() == [9])
    try place.shop { try $0.rename("users", to: "users_of_today") }
    _ = try place.restore(made.id)
    #expect(try place.ids() == [1])
    #expect(try place.ids("users_of_today") == [9])
    #expect(try place.names() == ["orders", "users", "users_of_today"])
    #expect(try place.journal() == 0)
  }

  @Test(
    "an oplog that does not reach back to the safety backup is found before anything is replaced")
  func rolledOver() throws {
    let place = try OperatorPlace(oplog: 1)
    try place.shop { _ = try $0.insert("users", [["_id": 1]]) }
    let made = try place.backup()
    try place.shop { _ = try $0.insert("users", [["_id": 2]]) }
    let root = place.root
    let error = #expect(throws: BackupError.self) {
      try place.restore(made.id, "collecting") {
        try? root.withClient { client in
          let filler = String(repeating: "x", count: 100_000)
          func oldest() throws -> Timestamp? {
            try client.database("local").findOne(
              "oplog.rs", options: ["sort": ["$natural": 1]])?["ts"]?.timestampValue
          }
          let now = try client.hello().lastWriteTime ?? Timestamp(rawValue: .max)
          for _ in 0..<600 where try oldest().map({ $0 <= now }) == true {
            _ = try client.database("other").insert(
              "filler", (0..<20).map { _ in ["t": .string(filler)] })
          }
        }
      }
    }
    #expect(error?.code == .gap)
    #expect(try place.ids() == [1, 2])
    #expect(try place.names() == ["users"])
    #expect(try place.journal() == 0)
  }

  @Test(
    "what comes into being in the place of a view or a time-series is kept, where nothing was to be backed up",
    .enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"),
    arguments: [false, true])
  func takenPlaces(_ toTime: Bool) throws {
    try Shop.run { shop in
      let made = try shop.backup()
      let time = try shop.now()
      try shop.capture()
      let series = try shop.tally("system.buckets.metrics")
      try shop.server.withDatabase { try $0.dropDatabase() }
      let report = try shop.restore(made.id) { options in
        if toTime { options.time = .entry(time) }
        options.notice = { text in
          guard text.hasPrefix("swapping") else { return }
          _ = try? shop.server.withDatabase { database in
            _ = try database.insert("metrics", [["_id": "late"]])
            _ = try database.insert("cheap", [["_id": "late"]])
          }
        }
      }
      #expect(report.safetyBackup == nil)
      #expect(report.kept.count == 2, "\(report.kept)")
      for place in report.kept { #expect(try shop.tally(place.collection).count == 1) }
      #expect(try shop.tally("system.buckets.metrics") == series)
      let view = try shop.server.withDatabase { try $0.find("cheap").all() }
      #expect(view.map { $0["_id"]?.integerValue } == [1])
    }
  }
}
