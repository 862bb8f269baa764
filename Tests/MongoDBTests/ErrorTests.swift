import BSON
import MongoDB
import TestSupport
import Testing

@Suite struct ErrorTests {
  @Test("a server that does not answer is named with the reason")
  func unreachable() throws {
    let settings = try ConnectionSettings(
      uri: "mongodb://user:hunter2@127.0.0.1:1/", serverSelectionTimeout: .milliseconds(300))
    let error = try #require(throws: MongoError.self) {
      try ClientPool(settings).withClient { try $0.hello() }
    }
    #expect(error.kind == .unreachable)
    #expect(error.message.contains("127.0.0.1:1"))
    #expect(error.message.contains("connection refused"))
    #expect(error.message.contains("server selection timed out"))
    #expect(!error.description.contains("hunter2"))
  }

  @Test(
    "a refused connection string never shows its password",
    arguments: [
      "mongodb://user:hunter2@/db", "mongodb://user:hun@ter2@host/",
      "mongodb://user:hunter2/x@host/",
      "mongodb://user:hunter2", "mongodb://user:hunter2@host:99999/",
      "postgres://user:hunter2@host/",
      "mongodb://user:hunter2@host/?w=%%", "mongodb://user:%zzhunter2@host/", "hunter2", "",
      "mongodb://host:hunter2/", "mongodb://u:hunter2@h/?replicaSet=a&tls=true&ssl=false",
    ])
  func invalidURI(uri: String) throws {
    let error = try #require(throws: MongoError.self) { try ConnectionSettings(uri: uri) }
    #expect(error.kind == .invalidURI)
    #expect(!error.description.contains("hunter2"))
    #expect(!error.description.contains("ter2"))
  }

  @Test("a connection string is shown without its secrets")
  func redaction() throws {
    let settings = try ConnectionSettings(
      uri: "mongodb://u:hunter2@a:1,b/shop?replicaSet=rs&tlsCertificateKeyFilePassword=hunter2")
    #expect(
      settings.redactedURI
        == "mongodb://***@a:1,b/shop?replicaSet=rs&tlsCertificateKeyFilePassword=***")
    #expect(settings.hosts == ["a:1", "b:27017"])
    #expect(settings.database == "shop" && settings.replicaSetName == "rs")
    #expect(settings.username == "u")
    var dumped = ""
    dump(settings, to: &dumped)
    #expect(!"\(settings) \(String(reflecting: settings)) \(dumped)".contains("hunter2"))
  }

  @Test("a duplicate key is an error with index and namespace, without the key's value")
  func duplicateKey() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let index: Value = ["key": ["email": 1], "name": "email_1", "unique": true]
        _ = try database.run(["createIndexes": "c", "indexes": [index]])
        _ = try database.insert("c", [["_id": 1, "email": "secret@x"]])
        let twice: Document = ["_id": 2, "email": "secret@x"]
        let commands: [Document] = [
          ["insert": "c", "documents": [.document(twice)]],
          ["findAndModify": "c", "query": ["_id": 2], "update": .document(twice), "upsert": true],
          ["update": "c", "updates": [["q": ["_id": 2], "u": .document(twice), "upsert": true]]],
        ]
        for command in commands {
          let error = try #require(throws: MongoError.self) { try database.run(command) }
          #expect(error.isDuplicateKey)
          #expect(error.message.contains("email_1") && error.message.contains(server.databaseName))
          #expect(!"\(error) \(String(describing: error.reply))".contains("secret"))
        }
        let error = try #require(throws: MongoError.self) {
          try database.insert("c", [["_id": 3], twice, ["_id": 4]], ordered: false)
        }
        #expect(error.kind == .writeErrors && error.isDuplicateKey)
        #expect(error.writeErrors.map(\.index) == [1, 2])
        #expect(error.reply?["n"]?.integerValue == 1)
        #expect(!"\(error) \(error.writeErrors)".contains("secret"))
      }
    }
  }

  @Test("values in the server's words are cut out, definitions stay")
  func valuesAreCut() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.insert("c", [["_id": "secret", "a": "secret"]])
        let updates: [Document] = [
          ["q": [:], "u": ["$inc": ["a": 1]]], ["q": [:], "u": ["$set": ["a.b": 1]]],
          ["q": [:], "u": [["$set": ["a": ["$toInt": "$a"]]]]],
        ]
        for update in updates {
          let error = try #require(throws: MongoError.self) { try database.update("c", [update]) }
          #expect(error.kind == .writeErrors && !"\(error)".contains("secret"))
        }
        for options in [[:], ["expireAfterSeconds": 60]] as [Document] {
          var index: Document = ["key": ["t": 1], "name": "t_1"]
          index.append(contentsOf: options)
          let command: Document = ["createIndexes": "c", "indexes": [.document(index)]]
          guard !options.isEmpty else {
            _ = try database.run(command)
            continue
          }
          let error = try #require(throws: MongoError.self) { try database.run(command) }
          #expect(error.code == 85 && error.codeName == "IndexOptionsConflict")
          #expect(error.message.contains("expireAfterSeconds: 60"))
        }
      }
    }
  }

  @Test("an unconfirmed write is an error though the reply says ok")
  func writeConcern() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        for write in [
          ["insert": "c", "documents": [["_id": 1]]], ["create": "d"],
          ["findAndModify": "c", "query": ["_id": 1], "update": ["a": 1]],
        ] as [Document] {
          let error = try #require(throws: MongoError.self) {
            try database.run(
              write, options: CommandOptions(writeConcern: ["w": 5, "wtimeout": 1000]))
          }
          #expect(error.kind == .writeConcern && error.code == 100)
        }
      }
    }
  }

  @Test("unknown commands, missing namespaces and time limits are told apart")
  func kinds() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        let unknown = try #require(throws: MongoError.self) { try database.run(["nonsense": 1]) }
        #expect(unknown.kind == .server && unknown.isCommandNotFound)
        #expect(unknown.codeName == "CommandNotFound" && unknown.domain == "server")
        let missing = try #require(throws: MongoError.self) { try database.run(["drop": "c"]) }
        #expect(missing.isNamespaceNotFound && missing.namespace == "\(server.databaseName).c")
        _ = try database.insert("c", (0..<100).map { ["_id": .integer($0)] })
        let slow = try #require(throws: MongoError.self) {
          try database.find(
            "c", filter: ["$where": "sleep(100) || true"],
            command: CommandOptions(maxTime: .milliseconds(20)))
        }
        #expect(slow.kind == .timedOut && slow.code == 50)
      }
    }
  }
}
