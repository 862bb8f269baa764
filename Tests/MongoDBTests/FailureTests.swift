import BSON
import MongoDB
import TestSupport
import Testing

/// One private server, one failpoint at a time.
@Suite(.serialized) struct FailureTests {
  @Test("reads, inserts, transactions and commits survive what they should, and only that")
  func failpoints() throws {
    let server = try PrivateServer()
    try TestServer.run(uri: server.uri) { server in
      try server.withDatabase { database in
        _ = try database.run(["create": "c"])
        try readsAreRepeated(database)
        try insertsAreRepeated(database)
        try plainWritesAreNot(database)
        try transientTransactionsAreRepeated(database)
        try unknownCommitsAreRepeated(database)
        try failedWritesEndTheTransaction(database)
        try deadlinesEndTheRetries(database)
      }
    }
  }

  private func readsAreRepeated(_ database: Database) throws {
    try fail(database, ["find"], ["closeConnection": true])
    #expect(try database.find("c").all().isEmpty)
    try fail(database, ["aggregate"], ["errorCode": 10107])
    #expect(try database.count("c") == 0)
    try fail(database, ["find"], ["closeConnection": true], times: 2)
    let error = try #require(throws: MongoError.self) { try database.find("c") }
    #expect(error.kind == .unreachable && error.isNetwork)
  }

  private func insertsAreRepeated(_ database: Database) throws {
    try fail(database, ["insert"], ["closeConnection": true])
    #expect(try database.insert("c", [["_id": "once"]])["n"] == 1)
    #expect(try database.count("c", filter: ["_id": "once"]) == 1)
  }

  private func plainWritesAreNot(_ database: Database) throws {
    try fail(database, ["update"], ["closeConnection": true])
    let error = try #require(throws: MongoError.self) {
      try database.update("c", [["q": ["_id": "once"], "u": ["$inc": ["n": 1]]]])
    }
    #expect(error.isNetwork && error.command == "update")
  }

  private func transientTransactionsAreRepeated(_ database: Database) throws {
    try fail(
      database, ["update"],
      ["errorCode": 112, "errorLabels": ["TransientTransactionError"]], times: 2)
    var runs = 0
    try database.client.withTransaction { session in
      runs += 1
      _ = try database.insert("c", [["_id": "transient"]], session: session)
      _ = try database.update(
        "c", [["q": ["_id": "once"], "u": ["$inc": ["n": 1]]]], session: session)
    }
    #expect(runs == 3)
    #expect(try database.findOne("c", filter: ["_id": "once"])?["n"] == 1)
    #expect(try database.count("c", filter: ["_id": "transient"]) == 1)
  }

  private func unknownCommitsAreRepeated(_ database: Database) throws {
    try fail(database, ["commitTransaction"], ["closeConnection": true], times: 3)
    var runs = 0
    try database.client.withTransaction { session in
      runs += 1
      _ = try database.insert("c", [["_id": "unknown"]], session: session)
    }
    #expect(runs == 1)
    #expect(try database.count("c", filter: ["_id": "unknown"]) == 1)
  }

  private func failedWritesEndTheTransaction(_ database: Database) throws {
    var runs = 0
    let error = try #require(throws: MongoError.self) {
      try database.client.withTransaction { session in
        runs += 1
        _ = try database.insert("c", [["_id": "gone"]], session: session)
        // The server has aborted now, whatever the caller makes of the error.
        _ = try? database.insert("c", [["_id": "once"]], session: session)
      }
    }
    #expect(error.kind == .writeErrors && error.isDuplicateKey && runs == 1)
    #expect(try database.count("c", filter: ["_id": "gone"]) == 0)
  }

  private func deadlinesEndTheRetries(_ database: Database) throws {
    try fail(
      database, ["insert"],
      ["errorCode": 112, "errorLabels": ["TransientTransactionError"]], times: 1000)
    let error = try #require(throws: MongoError.self) {
      try database.client.withTransaction(timeLimit: .milliseconds(50)) { session in
        _ = try database.insert("c", [["_id": "never"]], session: session)
      }
    }
    #expect(error.isTransientTransaction && error.code == 112)
    let cancellation = Cancellation()
    let cancelled = try #require(throws: MongoError.self) {
      try database.client.withTransaction(cancellation: cancellation) { session in
        cancellation.cancel(.interrupted(15))
        _ = try database.insert("c", [["_id": "never"]], session: session)
      }
    }
    #expect(cancelled.kind == .cancelled)
    _ = try database.client.run(["configureFailPoint": "failCommand", "mode": "off"], on: "admin")
  }

  private func fail(
    _ database: Database, _ commands: [String], _ how: Document, times: Int = 1
  ) throws {
    var data: Document = ["failCommands": .array(commands.map { .string($0) })]
    data.append(contentsOf: how)
    _ = try database.client.run(
      [
        "configureFailPoint": "failCommand", "mode": ["times": .integer(times)],
        "data": .document(data),
      ], on: "admin")
  }
}
