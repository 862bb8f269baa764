import BSON
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Validation

@Suite struct ResumeTests {
  private static let rules = """
    fields:
      - { collection: a, field: x, type: int }
      - { collection: a, field: y, type: int }
    """

  private func run(
    _ server: TestServer, state: String?, rules: String = rules,
    stopAt: Int64? = nil
  ) throws -> Validator.Outcome {
    let cancellation = Cancellation()
    var options = CheckOptions(cancellation: cancellation)
    options.sliceSize = 50
    options.stateFile = state
    if let stopAt {
      options.progress = { now in
        if now.subject == "a.y", now.done >= stopAt { cancellation.cancel(.stopped) }
      }
    }
    let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
    return try Validator(
      pool, database: server.databaseName, phase: .after,
      rules: try RulesLoader().parse(rules, file: "rules.yaml"), options: options
    ).run(takesSnapshot: false)
  }

  private func findings(_ outcome: Validator.Outcome, _ subject: String) -> Int64? {
    outcome.checks.first { $0.id == "field-type" && $0.subject == subject }?.findings
  }

  @Test("a run that was stopped goes on with the check and the slice where it stood")
  func resumed() throws {
    try TestServer.run { server in
      let state = FileManager.default.temporaryDirectory
        .appending(path: "\(server.databaseName).state").path
      defer { try? FileManager.default.removeItem(atPath: state) }
      try server.withDatabase { database in
        _ = try database.insert(
          "a", (0..<500).map { ["_id": .integer($0), "x": .int32(1), "y": .int32(1)] })
      }
      #expect(throws: MongoError.self) { try run(server, state: state, stopAt: 200) }
      #expect(FileManager.default.fileExists(atPath: state))
      try server.withDatabase { database in
        // In what was looked at, in the check that was over, and in what was not looked at.
        for (id, change) in [
          (10, ["y": "text"] as Document), (20, ["x": "text"]), (450, ["y": "text"]),
        ] {
          _ = try database.update(
            "a", [["q": ["_id": .integer(id)], "u": ["$set": .document(change)]]])
        }
      }
      let second = try run(server, state: state)
      #expect(findings(second, "a.x") == 0)
      #expect(findings(second, "a.y") == 1)
      #expect(!FileManager.default.fileExists(atPath: state), "removed at the end")
      let fresh = try run(server, state: nil)
      #expect(findings(fresh, "a.x") == 1)
      #expect(findings(fresh, "a.y") == 2)
    }
  }

  @Test("a join on the server finds the same in slices, and goes on with the slice where it stood")
  func joined() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        var orders: [Document] = (0..<350).map { number in
          ["_id": .integer(number), "items": [["product": .integer(number % 40)], ["product": 7]]]
        }
        orders += [
          ["_id": "text", "items": [["product": 99]]], ["_id": .maxKey, "items": []],
          ["_id": .minKey, "items": [["product": 99], ["product": "7"]]],
        ]
        _ = try database.insert("orders", orders)
        _ = try database.insert("products", (1..<30).map { ["_id": .integer($0)] })
      }
      let rules = "references: [ { from: orders.items.product, to: products._id } ]"
      let state = FileManager.default.temporaryDirectory
        .appending(path: "\(server.databaseName).state").path
      defer { try? FileManager.default.removeItem(atPath: state) }
      func run(_ size: Int64, stopsAt: Int64? = nil) throws -> Validator.Outcome {
        let cancellation = Cancellation()
        var options = CheckOptions(cancellation: cancellation)
        options.sliceSize = size
        options.stateFile = state
        options.progress = { now in
          if let stopsAt, now.done >= stopsAt { cancellation.cancel(.stopped) }
        }
        return try Validator(
          try ClientPool(try ConnectionSettings(uri: server.uri)), database: server.databaseName,
          phase: .after, rules: try RulesLoader().parse(rules, file: "rules.yaml"),
          options: options
        ).run(takesSnapshot: false)
      }
      func orphans(_ outcome: Validator.Outcome) throws -> CheckResult {
        try #require(outcome.checks.first { $0.id == "orphaned-references" })
      }
      let whole = try orphans(run(50_000))
      #expect(whole.findings == 2 + 1 + 9 + 80)
      #expect(throws: MongoError.self) { try run(5, stopsAt: 200) }
      let resumed = try run(5)
      #expect(resumed.notes.contains { $0.contains("went on after 200 documents") })
      #expect(try orphans(resumed).findings == whole.findings)
      #expect(try orphans(resumed).lookedAt == whole.lookedAt)
      #expect(
        try Set(orphans(resumed).evidence.rows.map { $0[2] })
          == Set(whole.evidence.rows.map { $0[2] }))
      #expect(try orphans(resumed).evidence.rows.count == whole.evidence.rows.count)
    }
  }

  @Test("a state that was cut off in a line, or is of another run, is no obstacle")
  func damaged() throws {
    try TestServer.run { server in
      let state = FileManager.default.temporaryDirectory
        .appending(path: "\(server.databaseName).state").path
      defer { try? FileManager.default.removeItem(atPath: state) }
      try server.withDatabase { database in
        _ = try database.insert(
          "a", (0..<500).map { ["_id": .integer($0), "x": .int32(1), "y": .int32(1)] })
      }
      #expect(throws: MongoError.self) { try run(server, state: state, stopAt: 200) }
      let text = try String(contentsOfFile: state, encoding: .utf8)
      try String(text.dropLast(7)).write(toFile: state, atomically: true, encoding: .utf8)
      #expect(findings(try run(server, state: state), "a.y") == 0)
      try String(text.prefix(20)).write(toFile: state, atomically: true, encoding: .utf8)
      #expect(findings(try run(server, state: state), "a.y") == 0)
      // Somebody's file is neither replaced nor removed.
      try "nonsense\n{".write(toFile: state, atomically: true, encoding: .utf8)
      #expect(throws: ValidationError.self) { try run(server, state: state) }
      #expect(try String(contentsOfFile: state, encoding: .utf8) == "nonsense\n{")
    }
  }

  @Test("a report that was written is read again, the same but for redacted cells")
  func report() throws {
    let report = SampleReport.make()
    let written = JSONReport(report).document
    let read = try #require(JSONReport.read(written))
    let again = JSONReport(read, ReportOptions(showsValues: true)).document
    for name in ["checks", "metrics", "environment", "notes", "counts"] {
      #expect(again[name] == written[name], "\(name)")
    }
  }
}

@Suite struct AuditTests {
  /// - Parameter patience: seconds for the command, and then for its document.
  private func run(
    _ server: TestServer, _ command: String, _ phase: Phase, patience: Int64 = 120
  ) throws -> CheckResult? {
    var rules = Rules()
    var header = RuleHeader()
    header.phases = [.started]
    rules.audits = [
      AuditRule(
        header: header, collection: "audit_logs", run: command, filter: ["action": "ping"],
        timeout: patience * 1000)
    ]
    let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
    return try Validator(pool, database: server.databaseName, phase: phase, rules: rules)
      .run(takesSnapshot: false).checks.first { $0.id == "audit-log" }
  }

  @Test("an action that leaves its document passes, one that leaves none or another does not")
  func audit() throws {
    try TestServer.run { server in
      try server.withDatabase { database in
        _ = try database.insert("audit_logs", [["action": "ping"]])
      }
      let python = try TestServer.environment("MARTLET_TEST_PYTHON")
      func act(_ action: String) -> String {
        "\(python) -c \"import pymongo; pymongo.MongoClient('\(server.uri)')"
          + "['\(server.databaseName)'].audit_logs.insert_one({'action': '\(action)'})\""
      }
      #expect(try run(server, act("ping"), .after)?.status == .passed)
      // Waited for to the end.
      #expect(try run(server, act("pong"), .started, patience: 10)?.status == .failed)
      #expect(try run(server, "exit 3", .started)?.status == .error)
      #expect(try run(server, "true", .before) == nil)
    }
  }
}
