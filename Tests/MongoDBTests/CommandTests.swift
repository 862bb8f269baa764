import BSON
import MongoDB
import TestSupport
import Testing

@Suite struct CommandTests {
  @Test("documents that were inserted are found again, batch after batch")
  func roundTrip() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let documents: [Document] = (0..<250).map { ["_id": .integer($0), "v": .string("x\($0)")] }
        let reply = try database.insert("c", documents)
        #expect(reply["n"]?.integerValue == 250)
        let found = try database.find("c", options: ["sort": ["_id": 1], "batchSize": 40]).all()
        #expect(found == documents)
        #expect(try database.count("c", filter: ["_id": ["$gte": 200]]) == 50)
        #expect(try database.count("missing") == 0)
        #expect(try database.estimatedCount("c") == 250)
      }
    }
  }

  @Test("raw batches hold the documents' own bytes")
  func rawBatches() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let documents: [Document] = (0..<250).map { ["_id": .integer($0)] }
        _ = try database.insert("c", documents)
        let cursor = try database.find("c", options: ["sort": ["_id": 1], "batchSize": 100])
        var raw: [[UInt8]] = []
        var sizes: [Int] = []
        let first = try cursor.next()
        while let count = try cursor.nextBatch({ batch in
          var documents = batch.makeIterator()
          while let document = try documents.next() { raw.append([UInt8](document)) }
          return batch.count
        }) { sizes.append(count) }
        #expect(first == documents[0])
        #expect(raw == documents.dropFirst().map(\.bytes))
        #expect(sizes == [99, 100, 50])
      }
    }
  }

  @Test("collections and indexes are described; a missing collection has no indexes")
  func listing() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.run(["create": "c", "capped": true, "size": 4096])
        _ = try database.run(["create": "v", "viewOn": "c", "pipeline": []])
        let index: Value = ["key": ["a": 1], "name": "a_1", "unique": true]
        _ = try database.run(["createIndexes": "c", "indexes": [index]])
        let collections = try database.listCollections(filter: ["name": ["$in": ["c", "v"]]])
        let sorted = collections.sorted { $0.name < $1.name }
        #expect(sorted.map(\.type) == [.collection, .view])
        #expect(sorted.first?.options["capped"] == true)
        #expect(sorted.first?.uuid?.subtype == 4)
        #expect(try database.listIndexes("c").map(\.name) == ["_id_", "a_1"])
        #expect(try database.listIndexes("missing").isEmpty)
        try database.rename("c", to: "d")
        try database.drop("d")
        try database.drop("d")
      }
    }
  }

  @Test("a transaction commits all or nothing")
  func transaction() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.run(["create": "c"])
        try database.client.withTransaction { session in
          _ = try database.insert("c", [["_id": 1]], session: session)
          _ = try database.insert("c", [["_id": 2]], session: session)
        }
        #expect(throws: CancellationError.self) {
          try database.client.withTransaction { session in
            _ = try database.insert("c", [["_id": 3]], session: session)
            throw CancellationError()
          }
        }
        #expect(try database.count("c") == 2)
      }
    }
  }

  @Test("a server tells its topology, version and times")
  func hello() throws {
    let replicaSet = try TestServer.run { try $0.pool.withClient { try $0.hello() } }
    #expect(replicaSet.hasTransactions && replicaSet.isWritablePrimary)
    #expect(replicaSet.majorityTime != nil && replicaSet.clusterTime != nil)
    #expect(replicaSet.version >= ServerVersion(4, 2))
    let standalone = try TestServer.run(.standalone) { try $0.pool.withClient { try $0.hello() } }
    #expect(standalone.topology == .standalone && !standalone.hasTransactions)
  }
}
