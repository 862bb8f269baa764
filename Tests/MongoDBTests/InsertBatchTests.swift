import BSON
import MongoDB
import TestSupport
import Testing

@Suite struct InsertBatchTests {
  @Test("raw documents arrive byte for byte, odd names and all")
  func exact() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let documents: [Document] = [
          ["_id": 1, "": "empty", "a.b": 1, "x": ["$y": nil]],
          ["_id": ["k": 1], "twice": 1, "twice": 2], ["_id": .double(-0.0)],
        ]
        let bytes = documents.flatMap(\.bytes)
        let reply = try bytes.withUnsafeBytes {
          try database.client.insertRaw(
            database: database.name, collection: "c", documents: $0)
        }
        #expect(reply["n"] == 3)
        let found = try database.find("c").all()
        #expect(found.map(\.bytes) == documents.map(\.bytes))
      }
    }
  }

  @Test("more than one message's worth is inserted, and each failure is listed")
  func large() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let filler = Value.string(String(repeating: "x", count: 1_000_000))
        _ = try database.insert("c", [["_id": 7], ["_id": 61]])
        var batch = try InsertBatch(
          client: database.client, database: database.name, collection: "c", ordered: false)
        for id in 0..<70 {
          let document: Document = ["_id": .integer(id), "v": filler]
          try document.bytes.withUnsafeBytes { try batch.add($0) }
        }
        #expect(batch.count == 70 && batch.byteCount > 70_000_000)
        do {
          _ = try batch.execute()
          Issue.record("the duplicates were accepted")
        } catch let error as MongoError {
          #expect(error.writeErrors.map(\.index) == [7, 61])
          #expect(error.reply?["n"] == 68)
        }
        #expect(try database.count("c") == 70)
      }
    }
  }

  @Test("a validator refuses unless it is bypassed; cut-off bytes are refused before sending")
  func validatorAndGarbage() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.run(["create": "c", "validator": ["a": ["$exists": true]]])
        let client = database.client
        try (["_id": 1] as Document).bytes.withUnsafeBytes { bytes in
          let error = try #require(throws: MongoError.self) {
            try client.insertRaw(database: database.name, collection: "c", documents: bytes)
          }
          #expect(error.writeErrors.map(\.code) == [121])
          let cut = UnsafeRawBufferPointer(rebasing: bytes.dropLast())
          let refused = try #require(throws: MongoError.self) {
            try client.insertRaw(database: database.name, collection: "c", documents: cut)
          }
          #expect(refused.kind == .client)
          _ = try client.insertRaw(
            database: database.name, collection: "c", documents: bytes,
            bypassDocumentValidation: true)
        }
        #expect(try database.count("c") == 1)
      }
    }
  }
}
