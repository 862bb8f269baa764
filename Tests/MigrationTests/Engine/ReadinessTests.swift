import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// Servers on which a run has to be refused before it begins, or goes on in spite of trouble.
@Suite(.serialized) struct ReadinessTests {
  private func migrator(_ uri: String, _ yaml: String) throws -> (Migrator, ClientPool, String) {
    let pool = try ClientPool(try ConnectionSettings(uri: uri))
    let name = TestServer.uniqueName()
    let migration = try MigrationLoader.parse(yaml, file: "001_x.yaml")
    let files = LoadedMigrations(migrations: [migration], problems: [])
    return (try Migrator(pool: pool, database: name, files: files), pool, name)
  }

  @Test func `a missing privilege is named before anything is written`() throws {
    let server = try PrivateServer(auth: true)
    let root = try ClientPool(try ConnectionSettings(uri: server.uri))
    let yaml = "up: [ { create: a }, { collMod: a, validator: { x: 1 } } ]"
    try root.withClient { client in
      _ = try client.run(
        [
          "createUser": "limited", "pwd": "pw",
          "roles": [["role": "readWriteAnyDatabase", "db": "admin"]],
        ], on: "admin")
    }
    let host = try #require(server.hosts.first)
    let (migrator, _, name) = try migrator(
      "mongodb://limited:pw@\(host)/?authSource=admin&replicaSet=rs0", yaml)
    do {
      _ = try migrator.up()
      Issue.record("not refused")
    } catch let error as MigrationError {
      #expect(error.code == .privilege)
      #expect(error.message.contains("collMod on \(name).a"))
    }
    let written = try root.withClient { try $0.database(name).listCollections() }
    #expect(written.isEmpty)
  }

  @Test(.enabled(if: TestServer.release >= ServerVersion(4, 4), "commit quorums need MongoDB 4.4"))
  func `with a member down an index build is refused before it hangs`() throws {
    let server = try PrivateServer(members: 3)
    let yaml = "up: [ { createIndexes: things, indexes: [ { key: { a: 1 } } ] } ]"
    let (migrator, pool, name) = try migrator(server.uri, yaml)
    try pool.withClient { _ = try $0.database(name).insert("things", [["a": 1]]) }
    let primary = try pool.withClient { try $0.hello().me }
    let secondary = try #require(server.hosts.firstIndex { $0 != primary })
    try server.signal(SIGKILL, member: secondary)
    var conflict: MigrationError?
    try Patience.wait(for: "the member to be seen as down") {
      conflict = try migrator.planUp().conflicts.first
      return conflict != nil
    }
    #expect(conflict?.code == .notReady)
    #expect(conflict?.hint?.contains("commitQuorum") == true)
  }

  @Test func `a build whose connection breaks is waited for again`() throws {
    let yaml = "up: [ { createIndexes: things, indexes: [ { key: { a: 1 } } ] } ]"
    let server = try PrivateServer(arguments: ["--setParameter", "enableTestCommands=1"])
    let (migrator, pool, name) = try migrator(server.uri, yaml)
    try pool.withClient { client in
      _ = try client.database(name).insert("things", (0..<1000).map { ["a": .int32($0)] })
      // The ledger's own index comes first, so that the failure meets the step's build.
      try Ledger(client.database(name), names: LedgerNames()).prepare()
      _ = try client.run(
        [
          "configureFailPoint": "failCommand", "mode": ["times": 1],
          "data": ["failCommands": ["createIndexes"], "closeConnection": true],
        ], on: "admin")
    }
    let report = try migrator.up()
    #expect(report.items.count == 1)
    let names = try pool.withClient { try $0.database(name).listIndexes("things").map(\.name) }
    #expect(names == ["_id_", "a_1"])
  }
  @Test(
    .enabled(if: TestServer.release >= ServerVersion(4, 4), "the fail point is that of 4.4"),
    arguments: [false, true])
  func `an index that is still being built is waited for, and its failure is the step's`(
    fails: Bool
  ) throws {
    let yaml = "up: [ { createIndexes: things, indexes: [ { key: { a: 1 }, unique: true } ] } ]"
    let server = try PrivateServer()
    let (migrator, pool, name) = try migrator(server.uri, yaml)
    try pool.withClient { client in
      _ = try client.database(name).insert(
        "things", (0..<10).map { ["a": .int32(fails ? 0 : $0)] })
      try Ledger(client.database(name), names: LedgerNames()).prepare()
    }
    try hold(pool, true)
    // As a killed run leaves it: the server goes on with the build.
    Thread.detachNewThread {
      _ = try? pool.withClient {
        try $0.database(name).run([
          "createIndexes": "things",
          "indexes": [["key": ["a": 1], "name": "a_1", "unique": true]],
        ])
      }
    }
    var isBuilding = false
    for _ in 0..<200 where !isBuilding {
      Thread.sleep(forTimeInterval: 0.05)
      isBuilding = try pool.withClient {
        try $0.database(name).listIndexes("things", includeBuildUUIDs: true)
          .contains(where: \.isUnfinished)
      }
    }
    #expect(isBuilding)
    let step = try migrator.planUp().migrations[0].steps[0]
    #expect(step.effect == .change)
    #expect(step.impact == ["a_1: is being built; the step waits for it"])
    let run = {
      try migrator.up { event in
        if case .stepStarted = event { try? self.hold(pool, false) }
      }
    }
    if fails {
      let error = #expect(throws: MigrationError.self) { try run() }
      #expect(error?.message.contains("11000") == true)
    } else {
      _ = try run()
    }
    let indexes = try pool.withClient { try $0.database(name).listIndexes("things") }
    #expect(indexes.map(\.name) == (fails ? ["_id_"] : ["_id_", "a_1"]))
  }

  private func hold(_ pool: ClientPool, _ isHeld: Bool) throws {
    try pool.withClient {
      _ = try $0.run(
        [
          "configureFailPoint": "hangAfterStartingIndexBuild",
          "mode": isHeld ? "alwaysOn" : "off",
        ], on: "admin")
    }
  }
}
