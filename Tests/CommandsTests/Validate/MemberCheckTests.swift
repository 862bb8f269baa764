import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

/// What only a replica set of several members can show, on a real one.
@Suite("checks of each member")
struct MemberCheckTests {
  private struct Set {
    let server: PrivateServer
    let pool: ClientPool
    let folder: String

    func martlet(_ arguments: String...) throws -> ChildProcess.Result {
      try MartletBinary.run(arguments, directory: folder)
    }

    /// Every check of `validate before` by its id, with the exit code.
    func before(_ more: String...) throws -> (checks: [String: Document], exitCode: Int32) {
      let result = try MartletBinary.run(
        ["validate", "before", "--json"] + more, directory: folder)
      let report = try ExtendedJSON.parseDocument(result.stdout)
      return (MemberCheckTests.byID(report), result.exitCode)
    }

    /// How long commands look for a server: also for one that is asked by itself, and is down.
    func look(for seconds: Int) throws {
      try "uri: \(server.uri)&serverSelectionTimeoutMS=\(seconds * 1000)\ndatabase: shop\n"
        .write(toFile: folder + "/martlet.yaml", atomically: true, encoding: .utf8)
    }

    func primary() throws -> String {
      try #require(try pool.withClient { try $0.hello().me })
    }

    /// Lends a connection to one member.
    func member<R>(_ host: String, _ body: (Client) throws -> R) throws -> R {
      let pool = try ClientPool(
        try ConnectionSettings(uri: "mongodb://\(host)/?directConnection=true"))
      return try pool.withClient(body)
    }
  }

  private static func byID(_ report: Document) -> [String: Document] {
    let checks = (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
    return Dictionary(
      checks.map { ($0["id"]?.stringValue ?? "", $0) }, uniquingKeysWith: { first, _ in first })
  }

  private static let ids = ["members", "replication-lag", "majority", "disk", "write-check"]

  private func status(_ checks: [String: Document], _ id: String) -> String? {
    checks[id]?["status"]?.stringValue
  }

  private func message(_ checks: [String: Document], _ id: String) -> String {
    checks[id]?["message"]?.stringValue ?? ""
  }

  private static func run(_ body: (Set) throws -> Void) throws {
    let server = try PrivateServer(members: 3)
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "martlet-members-\(TestServer.uniqueName())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let pool = try ClientPool(
      try ConnectionSettings(uri: server.uri, serverSelectionTimeout: .seconds(60)))
    try pool.withClient { client in
      let database = client.database("shop")
      _ = try database.insert("users", (0..<100).map { ["_id": .integer($0), "n": 1] })
      _ = try database.run([
        "createIndexes": "users", "indexes": [["key": ["n": 1], "name": "n_1"]],
      ])
    }
    let set = Set(server: server, pool: pool, folder: folder.path)
    try set.look(for: 60)
    try body(set)
  }

  @Test("a healthy set of three has no finding, and every member is asked for its disk")
  func healthyThenLate() throws {
    try Self.run { set in
      let (healthy, exitCode) = try set.before("--write-check", "--save", "a.json")
      #expect(exitCode == 0)
      for id in Self.ids {
        #expect(status(healthy, id) == "passed", "\(id): \(message(healthy, id))")
      }
      #expect(message(healthy, "members") == "3 of 3 up")
      let primary = try set.primary()
      let secondaries = set.server.hosts.filter { $0 != primary }
      #expect(message(healthy, "disk").contains("free on the primary"))
      for host in secondaries { #expect(message(healthy, "disk").contains("on \(host)")) }

      // An index that only a secondary uses.
      try set.member(secondaries[0]) { client in
        let options = CommandOptions(readPreference: .secondaryPreferred)
        for _ in 0..<5 {
          _ = try client.database("shop").find(
            "users", filter: ["n": 1], options: ["hint": "n_1"], command: options
          ).all()
        }
      }
      let after = try set.martlet("validate", "after", "--against", "a.json", "--json")
      #expect(after.exitCode == 0, "\(after.stdout)")
      let use = Self.byID(try ExtendedJSON.parseDocument(after.stdout))["index-use"]
      let rows = (use?["evidence"]?.documentValue?["rows"]?.arrayValue ?? [])
        .compactMap(\.arrayValue).map { $0.compactMap(\.stringValue) }
        .filter { $0.first == "users n_1" }
      #expect(rows.count == 3, "\(rows)")
      for row in rows where row.count > 2 {
        #expect((row[2] == "5") == (row[1] == secondaries[0]), "\(row)")
      }

      try late(set, secondaries[1])
    }
  }

  /// One secondary no longer applies, and the cluster's time is a minute ahead.
  private func late(_ set: Set, _ host: String) throws {
    func apply(_ isOn: Bool) throws {
      try set.member(host) { client in
        _ = try client.run(
          ["configureFailPoint": "rsSyncApplyStop", "mode": isOn ? "off" : "alwaysOn"],
          on: "admin")
      }
    }
    try apply(false)
    let script = """
      import pymongo, time
      from bson import Timestamp
      client = pymongo.MongoClient("\(set.server.uri)")
      with client.start_session() as session:
        session.advance_cluster_time({"clusterTime": Timestamp(int(time.time()) + 60, 1),
          "signature": {"hash": b"\\0" * 20, "keyId": 0}})
        client.shop.users.insert_one({"_id": "late"}, session=session)
      """
    let python = try TestServer.environment("MARTLET_TEST_PYTHON")
    let written = try ChildProcess(python, ["-c", script]).wait()
    #expect(written.exitCode == 0, "\(written.stderr)")
    let (checks, exitCode) = try set.before()
    #expect(status(checks, "replication-lag") == "warning")
    #expect(message(checks, "replication-lag").hasPrefix("\(host) is "), "\(checks)")
    #expect(exitCode == 0)
    #expect(try set.before("--strict").exitCode == 4)
    try apply(true)
  }

  @Test("a stopped member is found by its name; without a majority nothing is begun")
  func stopped() throws {
    try Self.run { set in
      #expect(try set.before("--save", "a.json").exitCode == 0)
      let primary = try set.primary()
      let down = try #require(set.server.hosts.firstIndex { $0 != primary })
      let name = set.server.hosts[down]
      try set.server.signal(SIGKILL, member: down)
      func state() throws -> Int64? {
        let status = try set.pool.withClient {
          try $0.run(["replSetGetStatus": 1], on: "admin")
        }
        return (status["members"]?.arrayValue ?? []).compactMap(\.documentValue)
          .first { $0["name"]?.stringValue == name }?["state"]?.integerValue
      }
      try Patience.wait(for: "\(name) to be seen as down") { try state() == 8 }
      try set.look(for: 8)

      let (checks, exitCode) = try set.before("--write-check")
      #expect(exitCode == 0)
      #expect(status(checks, "members") == "warning")
      #expect(message(checks, "members").hasPrefix("\(name) is "), "\(message(checks, "members"))")
      #expect(status(checks, "disk") == "warning")
      #expect(message(checks, "disk").contains("\(name) could not be asked"))
      for id in ["majority", "write-check", "replication-lag"] {
        #expect(status(checks, id) == "passed", "\(id): \(message(checks, id))")
      }
      let after = try set.martlet("validate", "after", "--against", "a.json", "--json", "--strict")
      let notes = (try ExtendedJSON.parseDocument(after.stdout)["notes"]?.arrayValue ?? [])
        .compactMap(\.stringValue)
      #expect(notes.contains { $0.hasPrefix("The index use of \(name) is not known") }, "\(notes)")
      #expect(try set.before("--strict").exitCode == 4)

      // The second of three: no member can be primary.
      // Which that is may have changed: two members still elect one.
      let last = try set.primary()
      let other = try #require(
        set.server.hosts.indices.first { $0 != down && set.server.hosts[$0] != last })
      try set.server.signal(SIGKILL, member: other)
      try set.member(last) { client in
        try Patience.wait(for: "the primary to step down") { try !client.hello().isWritablePrimary }
      }
      try set.look(for: 4)
      let none = try set.martlet("validate", "before")
      #expect(none.exitCode == 10, "\(none.stderr)")
      #expect(try set.martlet("doctor").exitCode == 10)
      #expect(try set.martlet("window", "--yes", "--no-backup").exitCode == 10)
    }
  }
}
