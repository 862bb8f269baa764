import BSON
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Validation

@Suite struct OneMomentTests {
  /// A snapshot of `a` and `b`; between the two, a document is added to `b`.
  private func snapshot(_ server: TestServer) throws -> Snapshot {
    var options = CheckOptions()
    let isDone = Mutex(false)
    options.progress = { now in
      guard now.id == "snapshot", now.subject == "a", now.done > 0 else { return }
      let isFirst = isDone.withLock { done in
        defer { done = true }
        return !done
      }
      if isFirst { _ = try? server.withDatabase { try $0.insert("b", [["late": true]]) } }
    }
    let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
    let snapshot = try Validator(
      pool, database: server.databaseName, phase: .before, options: options
    ).snapshot()
    #expect(isDone.withLock { $0 })
    return snapshot
  }

  private func fill(_ server: TestServer) throws {
    try server.withDatabase { database in
      for name in ["a", "b"] { _ = try database.insert(name, [["_id": 1], ["_id": 2]]) }
    }
  }

  private func consistency(_ snapshot: Snapshot) -> String {
    snapshot.server.first { $0.name == "consistency" }?.value ?? ""
  }

  @Test(
    "on a replica set all collections are read as they were at one moment",
    .enabled(if: TestServer.hasTimeseries, "reads at one moment need MongoDB 5.0"))
  func replicaSet() throws {
    try TestServer.run { server in
      try fill(server)
      let snapshot = try snapshot(server)
      #expect(consistency(snapshot).hasPrefix("all at "))
      #expect(snapshot.collection("b")?.count == 2)
    }
  }

  @Test("with a capped collection, which has no such reads, the snapshot says so")
  func capped() throws {
    try TestServer.run { server in
      try fill(server)
      try server.withDatabase { database in
        _ = try database.run(["create": "ab", "capped": true, "size": 10_000])
        _ = try database.insert("ab", [["_id": 1]])
      }
      let snapshot = try snapshot(server)
      #expect(consistency(snapshot) == "each collection by itself")
      #expect(snapshot.collection("ab")?.count == 1)
    }
  }

  @Test("on a standalone each collection is read by itself")
  func standalone() throws {
    try TestServer.run(.standalone) { server in
      try fill(server)
      let snapshot = try snapshot(server)
      #expect(consistency(snapshot) == "each collection by itself")
      #expect(snapshot.collection("b")?.count == 3)
    }
  }
}
