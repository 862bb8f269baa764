import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("validate before, after and compare")
struct ValidateTests {
  static let rules = """
    collections: [ { name: users, minimum: 2 } ]
    references: [ { from: orders.user_id, to: users._id } ]
    indexes: [ { collection: roles, key: { name: 1 }, unique: true, when: after } ]
    """

  private static func run(_ body: (MigrateProject) throws -> Void) throws {
    try MigrateProject.run { (project) throws in
      try FileManager.default.createDirectory(
        at: project.folder.appending(path: "validation"), withIntermediateDirectories: true)
      try write(rules, project)
      try project.server.withDatabase { database in
        _ = try database.insert("users", (1...3).map { ["_id": .integer($0)] })
        _ = try database.insert(
          "orders", (1...6).map { ["_id": .integer($0), "user_id": .integer($0 % 3 + 1)] })
      }
      try body(project)
    }
  }

  private static func write(_ rules: String, _ project: MigrateProject) throws {
    try rules.write(
      to: project.folder.appending(path: "validation/rules.yaml"), atomically: true, encoding: .utf8
    )
  }

  private func failed(_ result: ChildProcess.Result) throws -> Set<String> {
    let report = try ExtendedJSON.parseDocument(result.stdout)
    #expect(report["schema"] == "martlet-report/1")
    let checks = (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
    return Set(
      checks.filter { ["failed", "error"].contains($0["status"]) }
        .compactMap { $0["id"]?.stringValue })
  }

  @Test("a window without faults passes: before, up, after, and the two snapshots compared")
  func story() throws {
    try Self.run { (project) throws in
      let before = try project.martlet([
        "validate", "before", "--save", "b.json", "--report", "reports",
      ])
      #expect(before.exitCode == 0, "\(before.stdout)")
      for name in ["html", "json", "xml"] {
        let path = project.folder.appending(path: "reports/martlet-before.\(name)").path
        #expect(FileManager.default.fileExists(atPath: path))
      }
      #expect(try project.migrate("up", "--yes").exitCode == 0)
      let after = try project.martlet([
        "validate", "after", "--against", "b.json", "--save", "a.json", "--json",
      ])
      #expect(after.exitCode == 0, "\(after.stdout)")
      #expect(try failed(after) == [])
      #expect(after.stdout.contains("declared-index"))
      #expect(try project.martlet(["validate", "compare", "b.json", "a.json"]).exitCode == 0)
      let back = try project.martlet(["validate", "compare", "a.json", "b.json", "--json"])
      #expect(back.exitCode == 0, "what is taken back is declared too: \(back.stdout)")
    }
  }

  @Test("what the migrations do not declare fails the check after, with exit 4")
  func undeclared() throws {
    try Self.run { (project) throws in
      #expect(try project.martlet(["validate", "before", "--save", "b.json"]).exitCode == 0)
      #expect(try project.migrate("up", "--yes").exitCode == 0)
      try project.server.withDatabase { database in
        _ = try database.delete("users", [["q": ["_id": 3], "limit": 1]])
        _ = try database.run(["dropIndexes": "roles", "index": "name_1"])
        try database.drop("sessions")
      }
      let after = try project.martlet(["validate", "after", "--against", "b.json", "--json"])
      #expect(after.exitCode == 4)
      let ids = try failed(after)
      for id in [
        "count-changed", "declared-index", "declared-collection", "index-missing",
        "orphaned-references",
      ] {
        #expect(ids.contains(id), "\(ids)")
      }
    }
  }

  @Test("pending migrations are checked before: duplicates that a unique index would meet")
  func planned() throws {
    try Self.run { (project) throws in
      try project.write(
        "004_number.yaml",
        """
        up:
          - createIndexes: orders
            indexes: [ { key: { user_id: 1 }, unique: true } ]
        """)
      let before = try project.martlet(["validate", "before", "--json"])
      #expect(before.exitCode == 4)
      #expect(try failed(before) == ["duplicate-keys"])
    }
  }

  @Test("--strict makes warnings fail")
  func strict() throws {
    try Self.run { (project) throws in
      try Self.write("collections: [ { name: nope, severity: warning } ]", project)
      #expect(try project.martlet(["validate", "after"]).exitCode == 0)
      #expect(try project.martlet(["validate", "after", "--strict"]).exitCode == 4)
    }
  }

  @Test("bad input ends with a named error and its exit code")
  func badInput() throws {
    try Self.run { (project) throws in
      func run(_ arguments: String...) throws -> (Int32, String) {
        let result = try project.martlet(["validate"] + arguments)
        return (result.exitCode, result.stderr)
      }
      try Self.write("collections: [ { nam: a } ]", project)
      let rules = try run("before")
      #expect(rules.0 == 64 && rules.1.contains("rules.yaml:1:16") && rules.1.contains("HINT"))
      try Self.write("empty: [ { name: x, collection: a, pipeline: [ { $out: b } ] } ]", project)
      let writes = try run("before")
      #expect(writes.0 == 64 && writes.1.contains("$out writes"))
      #expect(try run("before", "--rules", "nope.yaml").0 == 64)
      try Self.write("", project)
      #expect(try run("after", "--against", "nope.json").0 == 1)
      try "{".write(
        to: project.folder.appending(path: "cut.json"), atomically: true, encoding: .utf8)
      #expect(try run("after", "--against", "cut.json").0 == 1)
      #expect(try run("compare", "cut.json", "cut.json").0 == 1)
      #expect(try run("before", "--report", "martlet.yaml/x").0 == 1)
      #expect(try run("before", "--save", "nope/x.json").0 == 1)
      #expect(try run("before", "--save", "s.json").0 == 0)
      let other = try run("after", "--against", "s.json", "--db", "another")
      #expect(other.0 == 64 && other.1.contains("is of the database"))
      #expect(
        try run("before", "--uri", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200").0 == 10)
    }
  }
}
