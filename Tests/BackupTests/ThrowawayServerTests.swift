import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Backup

@Suite struct ThrowawayServerTests {
  @Test("a throwaway server has no port, is checked before use, and leaves nothing")
  func lifetime() throws {
    let program = try TestServer.environment("MARTLET_MONGOD")
    let scratch = try ScratchFolder()
    let server = try ThrowawayServer(program: program, parent: scratch.path, replicaSet: "mine")
    try server.pool().withClient { client in
      try server.check(client)
      let options = try client.run(["getCmdLineOpts": 1], on: "admin")["parsed"]?.documentValue
      let bound = options?["net"]?.documentValue?["bindIp"]?.stringValue
      #expect(bound == server.folder + "/mongodb-27017.sock")
      _ = try client.database("a").insert("b", [["_id": 1]])
      try client.withTransaction { session in
        _ = try client.database("a").insert("b", [["_id": 2]], session: session)
      }
    }
    // Nobody listens on the port whose number is in the socket's name, unless somebody else does.
    server.stop()
    server.stop()
    #expect(!FileManager.default.fileExists(atPath: server.folder))
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
  }

  @Test("another server is not taken for the throwaway one")
  func stranger() throws {
    let program = try TestServer.environment("MARTLET_MONGOD")
    let server = try ThrowawayServer(program: program)
    defer { server.stop() }
    try TestServer.run { other in
      let error = #expect(throws: BackupError.self) {
        try other.pool.withClient { try server.check($0) }
      }
      #expect(error?.code == .notReady)
    }
  }

  @Test("a mongod that does not start is an error with the end of its log, and leaves nothing")
  func broken() throws {
    let scratch = try ScratchFolder()
    let error = #expect(throws: BackupError.self) {
      try ThrowawayServer(program: "false", parent: scratch.path)
    }
    #expect(error?.code == .notReady)
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
  }

  @Test("names of one restore can never begin like those of another")
  func tokens() throws {
    for _ in 0..<100 {
      let token = Temporary().token
      #expect(token.utf8.count == 16)
      #expect(try Temporary(token: token).stem == "martlet.restore.\(token).")
    }
    for bad in [
      "", "a", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123.567.9abcdef",
    ] {
      #expect(throws: BackupError.self) { try Temporary(token: bad) }
    }
  }

  @Test("a drill restores into a server of its own and measures the time it takes")
  func drill() throws {
    let program = try TestServer.environment("MARTLET_MONGOD")
    try Shop.run { shop in
      let made = try shop.backup()
      let report = try Drill(
        shop.store, program: program, folder: shop.scratch.path
      ) { pool, manifest in
        let count = try pool.withClient { client in
          try client.database(manifest.database ?? "").count("orders")
        }
        return (1, count == 500 ? [] : ["wrong count"])
      }.run(nil)
      #expect(report.backup == made.id)
      #expect(report.findings.isEmpty)
      #expect(report.checks == 1)
      #expect(report.documents >= 502)
      #expect(report.recoveryMilliseconds > 0)
      let left = try FileManager.default.contentsOfDirectory(atPath: shop.scratch.path)
      #expect(left.allSatisfy { !$0.hasPrefix("martlet-server") })
    }
  }
}
