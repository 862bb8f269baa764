import BSON
import Foundation
import TestSupport
import Testing

@testable import MongoDB

/// The batch of a large reply does not go through libmongoc.
@Suite struct LargeReplyTests {
  private func fill(_ database: Database) throws {
    for size in [10, 40_000, 3_000_000] {
      _ = try database.insert(
        "c",
        (0..<12).map {
          [
            "_id": .string("\(size) \($0)"), "size": .integer(size),
            "pad": .string(String(repeating: "x", count: size)),
          ]
        })
    }
  }

  private func check(_ documents: [Document]) {
    #expect(documents.count == 36)
    #expect(Set(documents.compactMap { $0["_id"]?.stringValue }).count == 36)
    for document in documents {
      #expect(
        document["pad"]?.stringValue?.utf8.count == document["size"]?.integerValue.map(Int.init))
    }
  }

  @Test(
    "batches of every size arrive whole, one by one and lent, also compressed",
    arguments: ["", "&compressors=zlib"])
  func batches(_ option: String) throws {
    try TestServer.run { server in
      try server.withDatabase { try fill($0) }
      let separator = server.uri.contains("?") ? "" : "?"
      let settings = try ConnectionSettings(uri: server.uri + separator + option)
      try ClientPool(settings).withClient { (client: Client) throws -> Void in
        let database = client.database(server.databaseName)
        for size in [2, 7, 100] {
          check(try database.find("c", options: ["batchSize": .integer(size)]).all())
          check(try database.aggregate("c", pipeline: []).all())
          let cursor = try database.find("c", options: ["batchSize": .integer(size)])
          var lent: [Document] = []
          var owners: [AnyObject] = []
          func lend(_ batch: RawBatch) throws {
            owners.append(batch.owner)
            var documents = batch.makeIterator()
            while let raw = try documents.next() { lent.append(try Document(bytes: [UInt8](raw))) }
          }
          while try cursor.nextBatch(lend) != nil {}
          check(lent)
        }
        // A large reply that no cursor reads.
        let reply = try client.run(
          ["find": "c", "filter": ["size": 40_000]], on: server.databaseName)
        let documents = reply["cursor"]?.documentValue?["firstBatch"]?.arrayValue
        #expect(documents?.count == 12)
      }
    }
  }

  /// Reads everything, and expects that libmongoc had no large batch.
  private func readTaken(_ database: Database, batchSize: Int) throws {
    let cursor = try database.find("c", options: ["batchSize": .integer(batchSize)])
    var documents: [Document] = []
    func take(_ batch: RawBatch) throws {
      let reply = try #require(batch.owner as? Reply)
      #expect((reply.batch != nil) == (batch.byteCount >= 64 << 10))
      var iterator = batch.makeIterator()
      while let raw = try iterator.next() { documents.append(try Document(bytes: [UInt8](raw))) }
    }
    while try cursor.nextBatch(take) != nil {}
    check(documents)
  }

  @Test("a reply whose length comes in pieces is read as any other")
  func pieces() throws {
    try TestServer.run { server in
      try server.withDatabase { try fill($0) }
      let host = try #require(ConnectionSettings(uri: server.uri).hosts.first)
      let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/trickle.py").path
      let proxy = try ChildProcess(
        TestServer.environment("MARTLET_TEST_PYTHON"), [script, host])
      defer { proxy.kill(9) }
      #expect(proxy.waitFor("."))
      let port = proxy.stdoutSoFar.filter(\.isNumber)
      let settings = try ConnectionSettings(
        uri: "mongodb://127.0.0.1:\(port)/?directConnection=true&socketTimeoutMS=30000")
      try ClientPool(settings).withClient { (client: Client) throws -> Void in
        for size in [1, 2, 7, 100] {
          try readTaken(client.database(server.databaseName), batchSize: size)
        }
      }
    }
  }

  @Test("clients that a pool ends and makes anew read like those before them")
  func newClients() throws {
    try TestServer.run { server in
      try server.withDatabase { try fill($0) }
      let separator = server.uri.contains("?") ? "&" : "?"
      let settings = try ConnectionSettings(uri: server.uri + separator + "minPoolSize=1")
      let pool = try ClientPool(settings)
      for _ in 0..<10 {
        // Two at a time: when both have gone back, one of them is ended.
        let clients = [try pool.takeClient(), try pool.takeClient()]
        for client in clients {
          try readTaken(client.database(server.databaseName), batchSize: 13)
        }
      }
    }
  }

  @Test("a cursor goes on after a connection that broke while a large reply was due")
  func brokenConnection() throws {
    let host = try PrivateServer()
    try TestServer.run(uri: host.uri) { server in
      try server.withDatabase { try fill($0) }
      let settings = try ConnectionSettings(uri: server.uri, appName: server.databaseName)
      try ClientPool(settings).withClient { (client: Client) throws -> Void in
        try server.failNext("getMore", ["closeConnection": true])
        let database = client.database(server.databaseName)
        let cursor = try database.find("c", options: ["batchSize": 15])
        let error = #expect(throws: MongoError.self) { _ = try cursor.all() }
        #expect(error?.isNetwork == true)
        check(try database.find("c", options: ["batchSize": 15]).all())
      }
    }
  }
}
