import BSON
import Dump
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Backup

/// What a restore that died has left, days later: nothing is dropped that is saved nowhere, and nothing stands
/// in the way for ever.
@Suite struct CompletionTests {
  private static let users = Namespace("shop", "users")

  /// As a restore leaves it that has swapped nothing yet, and whose safety backup cannot be added to any more.
  private func die(_ place: OperatorPlace, _ backup: String, _ reload: Reload? = nil) throws {
    let temporary = Temporary()
    try place.root.withClient { client in
      let swapper = Swapper(client: client, options: RestoreOptions())
      var swaps: [Journal.Swap] = []
      if reload == nil {
        let loaded = temporary.loading(Self.users)
        _ = try client.database("shop").insert(loaded.collection, [["_id": 7]])
        swaps = [
          Journal.Swap(
            target: Self.users, temporary: loaded, kept: nil, uuid: try swapper.uuid(loaded),
            replaced: try swapper.uuid(Self.users).map { [$0] } ?? [], expiries: [])
        ]
      }
      let journal = Journal(client: client)
      try journal.begin(temporary.token, backup: backup, databases: ["shop"])
      try journal.swapping(
        temporary.token, swaps, .replaceCollecting, safety: "20260101T000000Z-database-safety",
        reload: reload)
      try journal.abandon(temporary.token)
    }
  }

  private func safeties(_ place: OperatorPlace) throws -> [String] {
    try Catalog(place.store).sets().filter { $0.manifest?.safetyFor != nil }.map(\.id)
  }

  @Test("what was written since a dead restore is backed up before its swaps are completed")
  func swaps() throws {
    let place = try OperatorPlace()
    try place.shop { _ = try $0.insert("users", [["_id": 1]]) }
    let made = try place.backup()
    try die(place, made.id)
    // Days later.
    try place.shop { _ = try $0.insert("users", [["_id": 2]]) }
    _ = try place.restore(made.id)
    #expect(try place.ids() == [1])
    #expect(try place.names() == ["users"])
    #expect(try place.journal() == 0)
    let saved = try safeties(place)
    // One of what the dead one replaced, one of what it put there.
    #expect(saved.count == 2)
    _ = try place.restore(try #require(saved.last))
    #expect(try place.ids() == [1, 2])
  }

  @Test(
    "what was written since a dead restore is backed up before it is loaded in place",
    .enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"))
  func reloads() throws {
    let place = try OperatorPlace()
    func insert(_ number: Int64) throws {
      let time = DateTime(milliseconds: 1_700_000_000_000)
      try place.shop { _ = try $0.insert("series", [["t": .date(time), "n": .int64(number)]]) }
    }
    try place.shop { _ = try $0.run(["create": "series", "timeseries": ["timeField": "t"]]) }
    try insert(1)
    let made = try place.backup()
    let series = Namespace("shop", "series")
    let item = RestorePlan.Item(
      source: series, target: series, way: .reload, count: 1, bytes: 1, liveCount: 1, expiries: [])
    var reload = Reload([item], [], made, RestoreOptions())
    reload.replaced = try place.root.withClient {
      try [RestoreRunner.dataUUID(series, $0)].compactMap(\.self)
    }
    try die(place, made.id, reload)
    try insert(2)
    _ = try place.restore(made.id)
    #expect(try place.shop { try $0.count("series") } == 1)
    let saved = try safeties(place)
    #expect(saved.count == 2)
    _ = try place.restore(try #require(saved.last))
    #expect(try place.shop { try $0.count("series") } == 2)
  }

  @Test("what can never be completed is given up when that is asked for, and the hint says so")
  func givenUp() throws {
    let place = try OperatorPlace()
    try place.shop { _ = try $0.insert("users", [["_id": 1]]) }
    let made = try place.backup()
    let item = RestorePlan.Item(
      source: Self.users, target: Self.users, way: .inPlace, count: 1, bytes: 1, liveCount: 1,
      expiries: [])
    var options = RestoreOptions()
    options.inPlace = true
    // No slices lead there.
    options.time = .entry(Timestamp(seconds: .max, increment: 1))
    try die(place, made.id, Reload([item], [], made, options))
    // That its process is dead, on another machine, is no reason to give up at once.
    for takesOver in [true, false] {
      let error = #expect(throws: BackupError.self) {
        try place.restore(made.id, change: { $0.takesOver = takesOver })
      }
      #expect(error?.code == .unreachableTime)
      #expect(error?.hint?.contains("--take-over gives up") == true)
      #expect(error?.hint?.contains("20260101T000000Z-database-safety") == true)
      #expect(try place.journal() == 1)
      guard takesOver else { break }
      try place.root.withClient { client in
        _ = try client.database(Journal.database).update(
          Journal.collection, [["q": [:], "u": ["$unset": ["hasFailed": 1]]]])
      }
    }
    // Nothing was replaced yet, so there is nothing to be saved.
    #expect(try safeties(place).isEmpty)
    _ = try place.restore(made.id, change: { $0.takesOver = true })
    #expect(try place.ids() == [1])
    #expect(try place.journal() == 0)
  }

  @Test("an election, a full disk or a signal is no reason to give anything up")
  func passing() {
    for code in [24, 50, 91, 189, 10107, 11602, 13435, 14031] {
      #expect(!FailureWords.isFinal(MongoError(.server, "", code: code)), "\(code)")
    }
    #expect(FailureWords.isFinal(MongoError(.server, "", code: 2)))
    #expect(!FailureWords.isFinal(DumpError(.server, "")))
    #expect(FailureWords.isFinal(DumpError(.inconsistent, "")))
    for code in [.cancelled, .locked, .store, .privilege, .notReady] as [BackupError.Code] {
      #expect(!FailureWords.isFinal(BackupError(code, "")))
    }
  }

  @Test("the first safety backup has what was there, and stays known")
  func safetiesInOrder() throws {
    let place = try OperatorPlace()
    let made = try place.shop { database in
      _ = try database.insert("users", [["_id": 1]])
      return try place.backup()
    }
    var reload = Reload([], [], made, RestoreOptions())
    try place.root.withClient { client in
      let journal = Journal(client: client)
      let token = Temporary().token
      try journal.begin(token, backup: made.id, databases: ["shop"])
      try journal.swapping(token, [], .replaceCollecting, safety: "b")
      for safety in ["b", nil, "a"] {
        reload.safety = safety
        try journal.reloading(token, reload)
      }
      try journal.saved(token, "c")
      let safeties = try journal.entry(token)?["safeties"]?.arrayValue?.compactMap(\.stringValue)
      #expect(safeties == ["b", "a", "c"])
    }
  }

  @Test("late writes that are collected twice leave the safety backup whole, whatever is found")
  func collectedTwice() throws {
    let place = try OperatorPlace()
    try place.shop { _ = try $0.insert("users", [["_id": 1]]) }
    let made = try place.backup()
    let uuid = try place.root.withClient {
      try #require(try RestoreRunner.dataUUID(Self.users, $0))
    }
    func add(_ replaced: Binary) throws -> (found: Int64, files: [String]) {
      let found = try place.root.withClient { client in
        try LateWrites(client: client, store: place.store, options: RestoreOptions())
          .add(to: made.id, replaced: [replaced])
      }
      try Verifier(place.store).verify(made.id, depth: .checksums)
      let names = try place.store.list(made.id, recursively: false).map(\.name)
      let late = names.filter { $0.contains("late-writes") }
      let listed = try Catalog(place.store).find(made.id).manifest?.files
        .filter { $0.role == .lateWrites }.map { "\(made.id)/\($0.name)" }
      #expect(listed == late)
      return (found, late)
    }
    try place.shop { _ = try $0.insert("users", [["_id": 2]]) }
    let first = try add(uuid)
    #expect(first.found == 1 && first.files.count == 1)
    // What a run leaves that dies before the manifest.
    try place.store.put(made.id + "/late-writes-9.bson.gz", bytes: [1])
    try place.shop { _ = try $0.insert("users", [["_id": 3]]) }
    let second = try add(uuid)
    #expect(second.found == 2 && second.files.count == 1)
    #expect(second.files != first.files)
    let third = try add(Binary(bytes: [UInt8](repeating: 7, count: 16), subtype: 4))
    #expect(third.found == 0 && third.files == second.files)
    _ = try place.restore(made.id, change: { $0.safetyBackup = false })
    #expect(try place.ids() == [1, 2, 3])
  }

  @Test("users that cannot be merged in are told, and all else is restored and marked")
  func users() throws {
    let place = try OperatorPlace()
    try place.shop { database in
      _ = try database.insert("users", [["_id": 1]])
      _ = try database.run(["createUser": "reporter", "pwd": "not-a-secret", "roles": []])
    }
    let made = try place.backup()
    try place.shop { _ = try $0.insert("users", [["_id": 2]]) }
    let roles: [Value] = ["backup", "readWriteAnyDatabase", "dbAdminAnyDatabase"]
    _ = try place.root.withClient {
      try $0.run(
        ["createUser": "poor", "pwd": "not-a-secret", "roles": .array(roles)], on: "admin")
    }
    let pool = try ClientPool(
      try ConnectionSettings(uri: place.server.uri, username: "poor", password: "not-a-secret"))
    var options = RestoreOptions()
    options.workFolder = place.scratch.path
    options.users = true
    let report = try RestoreRunner(place.store, pool: pool, options: options).run(made.id)
    #expect(report.usersFailure is MongoError)
    #expect(!report.users)
    #expect(report.safetyBackup != nil)
    #expect(try place.ids() == [1])
    let marks = try place.root.withClient { client in
      try client.database("local").find(
        "oplog.rs", filter: ["o.martlet.restore": .string(made.id)]
      ).all().compactMap {
        $0["o"]?.documentValue?["martlet"]?.documentValue?["event"]?.stringValue
      }
    }
    #expect(marks == ["before", "after"])
  }

  @Test("a dead restore is known as dead after a restart of the machine, however fast that was")
  func restarted() throws {
    var holder = LockHolder.current("restore")
    holder.bootID = "another"
    holder.heartbeat = try #require(Machine.started) - 10
    let now = Moment.now()
    #expect(!holder.isStale(now: now, patience: .max))
    #expect(holder.isStale(now: now, patience: .max, isRenewed: false))
  }

  @Test(
    "who ends with something to complete leaves its claim on the set, a plan that dies does not")
  func claims() throws {
    let scratch = try ScratchFolder()
    let store = FolderStore(path: scratch.path)
    try StoreUse(store, sets: ["a"], purpose: "restore").end()
    #expect(try StoreUse.claims(store).isEmpty)
    try StoreUse(store, sets: ["a"], purpose: "restore").leave()
    #expect(try StoreUse.claims(store).map(\.sets) == [["a"]])
  }
}
