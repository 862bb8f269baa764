import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// Dump and load where not everybody may do everything.
@Suite struct AccessTests {
  @Test("the roles backup and restore are enough; without them the exit code is 12, with a hint")
  func roles() throws {
    let host = try PrivateServer(auth: true)
    try TestServer.run(uri: host.uri) { server in
      let scratch = try Scratch()
      try server.pool.withClient { client in
        for role in ["backup", "restore"] {
          _ = try client.run(
            ["createUser": .string(role), "pwd": "s3cret", "roles": [.string(role)]], on: "admin")
        }
        _ = try client.run(["createUser": "nobody", "pwd": "s3cret", "roles": []], on: "admin")
      }
      try server.withDatabase { database in
        _ = try database.insert("c", (0..<20).map { ["_id": .int32($0)] })
        _ = try database.run(["createIndexes": "c", "indexes": [["key": ["a": 1], "name": "a"]]])
        _ = try database.run([
          "createUser": "ann", "pwd": "s3cret", "roles": [],
        ])
      }
      let at = "--host \(host.hosts[0]) --authenticationDatabase admin"
      func run(_ verb: String, as user: String, _ rest: String, password: String = "s3cret") throws
        -> ChildProcess.Result
      {
        try server.sh(
          "printf '%s\\n' '\(password)' >word; "
            + "$M \(verb) \(at) -u \(user) --password-file word \(rest)", in: scratch)
      }
      let whole = try run("dump", as: "backup", "--archive=whole --summary s.json")
      #expect(whole.exitCode == 0, "\(whole.stderr)")
      #expect(whole.stderr.contains("consistency: snapshot"), "\(whole.stderr)")
      let oplog = try run("dump", as: "backup", "--db $DB --oplog --archive=oplog")
      #expect(oplog.exitCode == 0, "\(oplog.stderr)")
      try server.withDatabase { database in
        try database.drop("c")
        _ = try database.run(["dropUser": "ann"])
      }
      let back = try run("load", as: "restore", "--archive=whole --drop")
      #expect(back.exitCode == 0, "\(back.stderr)")
      try server.withDatabase { database in
        let count = try database.find("c").all().count
        let indexes = try database.listIndexes("c").map(\.name)
        let users = try database.run(["usersInfo": 1])["users"]?.arrayValue?.count
        #expect(count == 20 && indexes == ["_id_", "a"] && users == 1)
      }
      for (verb, rest) in [
        ("dump", "--db $DB --archive=no"), ("dump", "--archive=no"), ("dump", "--out no --gzip"),
        ("load", "--archive=whole --drop"),
      ] {
        let refused = try run(verb, as: "nobody", rest)
        #expect(refused.exitCode == 12, "\(verb) \(rest): \(refused.stderr)")
        #expect(refused.stderr.contains("HINT: grant the user a role"), "\(refused.stderr)")
        let wrong = try run(verb, as: "backup", rest, password: "wr0ng")
        #expect(wrong.exitCode == 12)
        for text in [refused.stderr, wrong.stderr, wrong.stdout] {
          #expect(!text.contains("s3cret") && !text.contains("wr0ng"))
        }
      }
      let none = try server.sh("$M dump --host \(host.hosts[0]) --archive=no", in: scratch)
      #expect(none.exitCode == 12, "\(none.stderr)")
      let shown = try server.sh("$M dump \(at) -u backup -p wr0ng --archive=no", in: scratch)
      #expect(shown.exitCode == 12 && !shown.stderr.contains("wr0ng"))
      #expect(!scratch.names.contains { $0.contains("no") && $0 != "word" })
    }
    withExtendedLifetime(host) {}
  }

  @Test("TLS is asked for with mongodump's flags")
  func tls() throws {
    let host = try PrivateServer(tls: true)
    try TestServer.run(uri: host.uri) { server in
      let scratch = try Scratch()
      try server.withDatabase { _ = try $0.insert("c", [["_id": 1]]) }
      let authority = try #require(host.uri.split(separator: "tlsCAFile=").last)
      let parts = host.hosts[0].split(separator: ":")
      let at = "--host \(parts[0]) --port=\(parts[1]) --ssl"
      let good = try server.sh(
        "$M dump \(at) --sslCAFile=\(authority) -d $DB --archive "
          + "| $M load \(at) --sslCAFile \(authority) --archive --drop", in: scratch)
      #expect(good.exitCode == 0, "\(good.stderr)")
      let careless = try server.sh("$M dump \(at) --tlsInsecure -d $DB --archive=x", in: scratch)
      #expect(careless.exitCode == 0, "\(careless.stderr)")
      let unknown = try server.sh("$M dump \(at) -d $DB --archive=y", in: scratch)
      #expect(unknown.exitCode == 10, "\(unknown.stderr)")
      #expect(scratch.names == ["x"])
    }
    withExtendedLifetime(host) {}
  }
}
