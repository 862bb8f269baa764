import ArgumentParser
import BSON
import MongoDB
import TestSupport
import Testing

@testable import Commands
@testable import Migration

@Suite("doctor")
struct DoctorTests {
  private func examine(_ arguments: String...) throws -> (
    CommandStatus, [String: Check.State], Recording
  ) {
    let recording = Recording()
    let command = try DoctorCommand.parse(arguments + ["--json"])
    let status = try withFolder { folder in
      command.status(
        CommandContext(
          console: recording.console(.init(json: true)), cancellation: Cancellation(),
          options: command.options, surroundings: .init(environment: [:], folder: folder),
          person: Scripted(isPresent: false, answer: nil)))
    }
    let report = try ExtendedJSON.parseDocument(recording.out)
    let checks = (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
    let states = checks.compactMap { check -> (String, Check.State)? in
      guard let id = check["id"]?.stringValue, let word = check["state"]?.stringValue,
        let state = Check.State(rawValue: word)
      else { return nil }
      return (id, state)
    }
    return (status, Dictionary(states) { a, _ in a }, recording)
  }

  @Test("a replica set that is well is ready, and the write check leaves nothing behind")
  func healthy() throws {
    try TestServer.run { server in
      let (status, states, _) = try examine(
        "--uri", server.uri, "--db", server.databaseName, "--write-check")
      #expect(status == .done || states["migration-files"] == .failed)
      for id in [
        "connection", "version", "topology", "members", "majority", "write-check", "privileges",
      ] {
        #expect(states[id] == .ok, "\(id)")
      }
      let left = try server.withDatabase { try $0.listCollections() }
      #expect(left.isEmpty)
    }
  }

  @Test("a standalone is a warning, and what it cannot have is skipped")
  func standalone() throws {
    try TestServer.run(.standalone) { server in
      let (_, states, _) = try examine("--uri", server.uri, "--db", server.databaseName)
      #expect(states["topology"] == .warning)
      #expect(states["oplog-window"] == .skipped && states["members"] == .skipped)
    }
  }

  @Test("without a server it says so, exits 10 and skips what needs one")
  func unreachable() throws {
    let (status, states, _) = try examine(
      "--uri", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200", "--db", "shop")
    #expect(status == .notReady)
    #expect(states["connection"] == .failed && states["disk"] == .skipped)
  }

  @Test("without a database it is a matter of usage")
  func noDatabase() throws {
    let (status, states, _) = try examine(
      "--uri", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    #expect(status == .usage)
    #expect(states["configuration"] == .failed)
  }

  @Test(
    "privileges on the whole database count, those on one collection or another database do not")
  func privileges() {
    func privilege(_ resource: Document, _ actions: String...) -> Document {
      ["resource": .document(resource), "actions": .array(actions.map { .string($0) })]
    }
    let privileges = Privileges(
      user: "u@admin",
      granted: [
        privilege(["db": "shop", "collection": ""], "find"),
        privilege(["db": "", "collection": ""], "insert"),
        privilege(["db": "shop", "collection": "users"], "update"),
        privilege(["db": "other", "collection": ""], "remove"),
        privilege(["cluster": true], "inprog"),
      ])
    func allows(_ action: String, _ collection: String) -> Bool {
      privileges.allows(action, database: "shop", collection: collection)
    }
    #expect(allows("find", "orders") && allows("insert", "orders") && allows("update", "users"))
    #expect(
      !allows("update", "orders") && !allows("remove", "orders") && !allows("inprog", "users"))
    // An empty name in a resource does not cover the server's own collections.
    #expect(!allows("find", "system.profile"))
    let all = Privileges(user: "r@admin", granted: [privilege(["anyResource": true], "anyAction")])
    #expect(all.allows("drop", database: "any", collection: "system.users"))
  }

  @Test("a missing privilege that everything needs is a failure, any other a warning")
  func verdicts() {
    let all = Set(PrivilegeCheck.needs.map(\.action))
    func verdict(_ granted: Set<String>) -> Check {
      let privilege: Document = [
        "resource": ["db": "shop", "collection": ""],
        "actions": .array(granted.map { .string($0) }),
      ]
      return PrivilegeCheck.verdict(
        Privileges(user: "u@admin", granted: [privilege]), database: "shop")
    }
    #expect(verdict(all).state == .ok)
    #expect(verdict(["anyAction"]).state == .ok)
    let soft = verdict(all.subtracting(["collMod"]))
    #expect(soft.state == .warning && soft.detail.contains("collMod"))
    let hard = verdict(all.subtracting(["insert"]))
    #expect(hard.state == .failed && hard.status == .accessDenied)
  }

  @Test("the first failure decides the exit code")
  func firstFailure() {
    var checkup = Checkup(server: "s", database: nil)
    checkup.checks = [
      .ok("a", ""), .warning("b", ""), .failed("c", "", .accessDenied), .failed("d", "", .notReady),
    ]
    #expect(checkup.status == .accessDenied)
    checkup.checks.removeLast(2)
    #expect(checkup.status == .done)
  }
}
