import BSON
import MongoDB
import TestSupport
import Testing

@Suite struct SecurityTests {
  @Test("SCRAM logs in; a wrong password, no user and a missing privilege are told apart")
  func accessControl() throws {
    let server = try PrivateServer(auth: true)
    let host = try #require(server.hosts.first)
    let bare = "mongodb://\(host)/?replicaSet=rs0&authSource=admin"

    try pool(server.uri).withClient { client in
      _ = try client.run(
        [
          "createUser": "reader", "pwd": "pass", "roles": [["role": "read", "db": "shop"]],
        ], on: "admin")
      for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
        let uri = "\(server.uri)&authMechanism=\(mechanism)"
        #expect(try pool(uri).withClient { try $0.hello() }.isWritablePrimary)
      }
    }
    #expect(
      try pool(bare, "reader", "pass").withClient { try $0.database("shop").count("c") } == 0)

    let wrong = try #require(throws: MongoError.self) {
      try pool(bare, "reader", "hunter2").withClient { try $0.hello() }
    }
    #expect(wrong.kind == .authentication && wrong.message.contains("reader"))
    #expect(!wrong.description.contains("hunter2"))

    let none = try #require(throws: MongoError.self) {
      try pool(bare).withClient { try $0.database("shop").count("c") }
    }
    #expect(none.kind == .authentication && none.code == 13)

    try pool(bare, "reader", "pass").withClient { client in
      let shop = client.database("shop")
      for attempt in [
        { _ = try shop.insert("c", [["secret": 1]]) },
        { _ = try shop.run(["insert": "c", "documents": [["secret": 1]]]) },
      ] {
        let denied = try #require(throws: MongoError.self) { try attempt() }
        #expect(denied.kind == .privilege && denied.code == 13)
        #expect(denied.message.contains("insert on shop.c"))
        #expect(!denied.description.contains("secret"))
      }
      let reply = try #require(throws: MongoError.self) {
        try client.run(["replSetGetStatus": 1], on: "admin")
      }
      #expect(reply.kind == .privilege && reply.namespace == "admin")
    }
  }

  @Test("TLS connects with the right authority only")
  func tls() throws {
    let server = try PrivateServer(tls: true)
    let host = try #require(server.hosts.first)
    #expect(try pool(server.uri).withClient { try $0.hello() }.isWritablePrimary)
    for uri in ["mongodb://\(host)/?tls=true", "mongodb://\(host)/"] {
      let error = try #require(throws: MongoError.self) {
        try pool(uri, selection: .seconds(3)).withClient { try $0.hello() }
      }
      #expect(error.kind == .unreachable && error.message.contains(host))
    }
  }

  private func pool(
    _ uri: String, _ user: String? = nil, _ password: String? = nil,
    selection: Duration = .seconds(60)
  ) throws -> ClientPool {
    try ClientPool(
      ConnectionSettings(
        uri: uri, username: user, password: password, serverSelectionTimeout: selection,
        connectTimeout: .seconds(60)))
  }
}
