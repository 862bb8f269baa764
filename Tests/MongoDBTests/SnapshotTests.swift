import BSON
import MongoDB
import TestSupport
import Testing

@Suite struct SnapshotTests {
  @Test("two connections read the same point in time while everything changes")
  func twoConnections() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.insert("a", (0..<100).map { ["_id": .integer($0), "v": 1] })
        _ = try database.insert("b", (0..<100).map { ["_id": .integer($0), "v": 1] })
        let first = try database.find(
          "a", options: ["batchSize": 10], command: .snapshot())
        let time = try #require(first.atClusterTime)
        _ = try database.update("a", [["q": [:], "u": ["$set": ["v": 2]], "multi": true]])
        _ = try database.delete("b", [["q": [:], "limit": 0]])
        #expect(try first.all().map { $0["v"] } == Array(repeating: 1, count: 100))
        try server.withDatabase { other in
          let second = try other.find(
            "b", options: ["batchSize": 7], command: .snapshot(at: time))
          #expect(second.atClusterTime == time)
          #expect(try second.all().count == 100)
        }
      }
    }
  }

  @Test("a dropped collection read by its UUID is an error, not an empty result")
  func dropped() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.insert("a", [["_id": 1]])
        let time = try #require(try database.find("a", command: .snapshot()).atClusterTime)
        let uuid = try #require(try database.listCollections().first?.uuid)
        try database.drop("a")
        #expect(try database.find("a", command: .snapshot(at: time)).all().isEmpty)
        let error = try #require(throws: MongoError.self) {
          try database.client.cursor(
            ["find": .binary(uuid)], on: database.name, options: .snapshot(at: time))
        }
        #expect(error.isNamespaceNotFound)
      }
    }
  }

  @Test("a cursor whose collection is dropped says so")
  func cursorGone() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.insert("a", (0..<100).map { ["_id": .integer($0)] })
        let cursor = try database.find("a", options: ["batchSize": 10])
        try database.drop("a")
        let error = try #require(throws: MongoError.self) { try cursor.all() }
        #expect(error.isCursorGone && error.code == 175)
      }
    }
  }
}
