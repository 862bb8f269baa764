import BSON
import MongoDB
import TestSupport
import Testing

@testable import Dump

/// `--readPreference`, on a replica set whose secondary has a tag.
@Suite struct ReadPreferenceTests {
  private func tagSecondary(_ server: TestServer) throws {
    try server.pool.withClient { client in
      let primary = try #require(try client.run(["hello": 1], on: "admin")["me"]?.stringValue)
      let reply = try client.run(["replSetGetConfig": 1], on: "admin")
      var config = try #require(reply["config"]?.documentValue)
      let members = (config["members"]?.arrayValue ?? []).map { value -> Value in
        guard var member = value.documentValue, member["host"]?.stringValue != primary else {
          return value
        }
        member["tags"] = ["use": "backup"]
        return .document(member)
      }
      config["members"] = .array(members)
      config["version"] = .int64((config["version"]?.integerValue ?? 0) + 1)
      _ = try client.run(["replSetReconfig": .document(config)], on: "admin")
    }
  }

  /// Finds that a member has answered.
  private func finds(_ host: String) throws -> Int64 {
    let settings = try ConnectionSettings(uri: "mongodb://\(host)/?directConnection=true")
    return try ClientPool(settings).withClient { client in
      let metrics = try client.run(["serverStatus": 1], on: "admin")["metrics"]?.documentValue
      let commands = metrics?["commands"]?.documentValue
      return commands?["find"]?.documentValue?["total"]?.integerValue ?? 0
    }
  }

  @Test("reads go to the member that the tags name, and to none when no member has them")
  func tags() throws {
    let own = try PrivateServer(members: 2)
    try TestServer.run(uri: own.uri) { server in
      let scratch = try Scratch()
      try tagSecondary(server)
      try server.withDatabase { database in
        for n in 0..<20 {
          _ = try database.insert("c\(n)", [["_id": 1]], options: .init(writeConcern: ["w": 2]))
        }
      }
      let secondary = try server.pool.withClient { client -> String in
        let hello = try client.run(["hello": 1], on: "admin")
        let hosts = (hello["hosts"]?.arrayValue ?? []).compactMap(\.stringValue)
        return try #require(hosts.first { $0 != hello["me"]?.stringValue })
      }
      let before = try finds(secondary)
      let dump = "$M dump --uri $U --db $DB --no-consistent --archive=x --readPreference "
      _ = try server.done(
        dump + #"'{"mode": "secondary", "tagSets": [{"use": "no"}, {"use": "backup"}]}'"#,
        in: scratch)
      #expect(try finds(secondary) >= before + 20)
      #expect(try server.names("x", in: scratch).count == 20)
      let none = try server.sh(
        dump + #"'{"mode": "secondary", "tagSets": [{"use": "no"}]}'"#, in: scratch)
      #expect(none.exitCode == 10, "\(none.stderr)")
    }
  }

  @Test(
    "what is no read preference is refused",
    arguments: [
      #"{"mode": "primary", "tagSets": [{"a": "b"}]}"#, #"{"mode": "nearest", "tags": []}"#,
      #"{"mode": "nearest", "tagSets": [{"a": 1}]}"#, #"{"mode": "nearest", "tagSets": {}}"#,
      #"{"mode": "secondary", "maxStalenessSeconds": 10}"#, #"{"tagSets": []}"#, "{", "near",
    ])
  func refused(_ text: String) throws {
    try TestServer.withCopy { server, scratch in
      let result = try server.sh(
        "$M dump --uri $U --db $DB --archive=x --readPreference '\(text)'", in: scratch)
      #expect(result.exitCode == 64, "\(result.stderr)")
    }
  }
}
