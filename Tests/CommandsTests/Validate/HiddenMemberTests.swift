import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

/// Members that no client is told of, and a user who may see little.
@Suite("checks of what is not in plain sight")
struct HiddenMemberTests {
  private func checks(_ uri: String) throws -> [String: Document] {
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "martlet-hidden-\(TestServer.uniqueName())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try "uri: \(uri)\ndatabase: shop\n"
      .write(to: folder.appending(path: "martlet.yaml"), atomically: true, encoding: .utf8)
    let result = try MartletBinary.run(
      ["validate", "before", "--json", "--save", "s.json"], directory: folder.path)
    let report = try ExtendedJSON.parseDocument(result.stdout)
    let snapshot = try ExtendedJSON.parseDocument(
      try String(contentsOf: folder.appending(path: "s.json"), encoding: .utf8))
    let members = (snapshot["indexUse"]?.arrayValue ?? []).compactMap {
      $0.documentValue?["member"]?.stringValue
    }
    var all = Dictionary(
      (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
        .map { ($0["id"]?.stringValue ?? "", $0) }, uniquingKeysWith: { first, _ in first })
    let notes = (report["notes"]?.arrayValue ?? []).compactMap(\.stringValue)
    all["members of index use"] = [
      "message": .string((members + notes).joined(separator: " "))
    ]
    return all
  }

  @Test("hidden members, and those that cannot become primary, are asked for disk and index use")
  func hidden() throws {
    let server = try PrivateServer(members: 3)
    let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
    var hosts: [String] = []
    try pool.withClient { client in
      _ = try client.database("shop").insert("users", [["_id": 1]])
      let primary = try client.hello().me
      var config = try #require(
        try client.run(["replSetGetConfig": 1], on: "admin")["config"]?.documentValue)
      var isFirst = true
      let members = (config["members"]?.arrayValue ?? []).compactMap(\.documentValue)
        .map { member -> Value in
          guard member["host"]?.stringValue != primary else { return .document(member) }
          var member = member
          member["priority"] = 0
          if isFirst { member["hidden"] = true }
          isFirst = false
          hosts.append(member["host"]?.stringValue ?? "")
          return .document(member)
        }
      config["members"] = .array(members)
      config["version"] = .integer((config["version"]?.integerValue ?? 1) + 1)
      _ = try client.run(["replSetReconfig": .document(config)], on: "admin")
      // The collection has to be on every member.
      _ = try client.database("shop").insert(
        "users", [["_id": 2]], options: CommandOptions(writeConcern: ["w": 3, "wtimeout": 30_000]))
    }
    #expect(hosts.count == 2)
    let checks = try checks(server.uri)
    let disk = checks["disk"]?["message"]?.stringValue ?? ""
    let use = checks["members of index use"]?["message"]?.stringValue ?? ""
    for host in hosts {
      #expect(disk.contains("on \(host)"), "\(disk)")
      #expect(use.contains(host), "\(use)")
    }
  }

  @Test("a feature compatibility that cannot be read is not passed")
  func compatibility() throws {
    let server = try PrivateServer(auth: true)
    let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
    try pool.withClient { client in
      _ = try client.database("shop").insert("users", [["_id": 1]])
      _ = try client.run(
        [
          "createUser": "reader", "pwd": "secret",
          "roles": [["role": "read", "db": "shop"]],
        ], on: "admin")
    }
    let uri = server.uri.replacing("root:secret@", with: "reader:secret@")
    #expect(uri != server.uri)
    #expect(try checks(uri)["version"]?["status"] == "skipped")
  }
}
