import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("migrate up, down and status as a user runs them")
struct MigrateRunTests {
  @Test("status, plan, up, history and down tell one story")
  func story() throws {
    try MigrateProject.run { (project) throws in
      try project.server.withDatabase {
        _ = try $0.insert("users", (0..<10).map { ["_id": .int32($0)] })
      }
      #expect(try project.states() == ["pending", "pending", "pending"])
      #expect(try project.migrate("status", "--check").exitCode == 2)
      #expect(try project.migrate("plan", "--check").exitCode == 2)
      let plan = try project.json("plan").document
      #expect(plan.names("migrations") == ["001_roles", "002_plan", "003_sessions"])

      let up = try project.json("up")
      #expect(up.exitCode == 0)
      #expect(up.document.names("migrations") == ["001_roles", "002_plan", "003_sessions"])
      #expect(try project.states() == ["applied", "applied", "applied"])
      #expect(try project.migrate("status", "--check").exitCode == 0)
      #expect(try project.migrate("up").stdout == "nothing is pending\n")

      #expect(try project.migrate("down", "--all", "--yes").exitCode == 0)
      #expect(try project.states() == ["pending", "pending", "pending"])
      let left = try project.collections().filter { !$0.hasPrefix("migrations") }
      #expect(left == ["users"])
      let history = try project.json("history").document["history"]?.arrayValue ?? []
      #expect(
        history.map { $0.documentValue?["action"] ?? .null }
          == ["up", "up", "up", "down", "down", "down"])
    }
  }

  @Test("a plan in JSON has the steps, their transactions, impact and way back")
  func planInJSON() throws {
    try MigrateProject.run { (project) throws in
      let plan = try project.json("plan", "--to", "1").document
      #expect(
        plan.keys == [
          "direction", "database", "server", "batch", "destroys", "migrations", "conflicts",
          "findings", "checks", "unreachableMembers",
        ])
      let migration = plan["migrations"]?.arrayValue?.first?.documentValue
      let steps = migration?["steps"]?.arrayValue?.compactMap(\.documentValue) ?? []
      #expect(steps.map { $0["command"]?.stringValue } == ["create", "createIndexes", "insert"])
      #expect(steps.map { $0["transaction"]?.integerValue } == [1, 1, 1])
      #expect(steps.allSatisfy { $0["inverse"]?.stringValue?.isEmpty == false })
      #expect(
        steps.first?.keys == [
          "step", "command", "collection", "effect", "reason", "impact", "inverse", "destroys",
          "documents", "transaction", "hash", "document",
        ])
    }
  }

  @Test("--to, --count and the word all say how far up goes")
  func ranges() throws {
    try MigrateProject.run { (project) throws in
      #expect(try project.migrate("up", "--to", "1").exitCode == 0)
      #expect(try project.states() == ["applied", "pending", "pending"])
      #expect(try project.migrate("up", "--count", "1").exitCode == 0)
      #expect(try project.states() == ["applied", "applied", "pending"])
      #expect(try project.migrate("apply", "all").exitCode == 0)
      #expect(try project.states() == ["applied", "applied", "applied"])
      #expect(try project.migrate("down", "--to", "001_roles", "--yes").exitCode == 0)
      #expect(try project.states() == ["applied", "pending", "pending"])
    }
  }

  @Test("--dry-run shows the plan and writes nothing")
  func dryRun() throws {
    try MigrateProject.run { (project) throws in
      let result = try project.migrate("up", "--dry-run")
      #expect(result.exitCode == 0)
      #expect(result.stdout.contains("002_plan"))
      #expect(try project.collections().isEmpty)
    }
  }

  @Test("down and a drop need a yes where nobody can be asked")
  func confirmation() throws {
    try MigrateProject.run { (project) throws in
      #expect(try project.migrate("up").exitCode == 0)
      let down = try project.migrate("down")
      #expect(down.exitCode == 64)
      #expect(down.stderr.contains("--yes"))
      #expect(try project.states() == ["applied", "applied", "applied"])

      try project.server.withDatabase { _ = try $0.insert("legacy", [["a": 1]]) }
      try project.write("004_drop.yaml", "up:\n  - drop: legacy\n")
      #expect(try project.migrate("up").exitCode == 64)
      let up = try project.migrate("up", "--yes")
      #expect(up.exitCode == 0)
      #expect(up.stdout.contains("legacy is kept as legacy__kept_"))
      let kept = try project.json("status").document.names("kept")
      #expect(kept.count == 1)
      #expect(try project.migrate("forget", kept.first ?? "", "--yes").exitCode == 0)
      #expect(try project.json("status").document.names("kept").isEmpty)
    }
  }

  @Test("redo takes the newest back and applies it again")
  func redo() throws {
    try MigrateProject.run { (project) throws in
      #expect(try project.migrate("up").exitCode == 0)
      let redo = try project.json("redo", "--yes")
      #expect(redo.exitCode == 0)
      #expect(redo.document["down"]?.documentValue?.names("migrations") == ["003_sessions"])
      #expect(redo.document["up"]?.documentValue?.names("migrations") == ["003_sessions"])
      #expect(try project.states() == ["applied", "applied", "applied"])
    }
  }

  @Test("Ctrl-C in a long update stops with 130, and the next run goes on to the same end")
  func interrupted() throws {
    let slow = """
      up:
        - update: users
          updates: [ { q: {}, u: { $inc: { n: 1 } }, multi: true } ]
          martlet: { chunk: 100, pause: 50 }
      """
    try MigrateProject.run(["001_slow.yaml": slow]) { (project) throws in
      try project.server.withDatabase {
        _ = try $0.insert("users", (0..<3000).map { ["_id": .int32($0), "n": 0] })
      }
      let process = try MartletBinary.start(
        ["migrate", "up", "--verbose", "--yes"], directory: project.folder.path)
      #expect(process.waitFor("step 1 of 1"))
      process.kill(SIGINT)
      let result = process.wait()
      #expect(result.exitCode == 130)
      #expect(result.stderr.contains("stopped at a safe point"))
      #expect(try project.states() == ["interrupted"])

      #expect(try project.migrate("up", "--yes").exitCode == 0)
      #expect(try project.states() == ["applied"])
      let once = try project.server.withDatabase { try $0.count("users", filter: ["n": 1]) }
      #expect(once == 3000)
    }
  }

  @Test("--max-runtime stops with 75, and the next run goes on")
  func maxRuntime() throws {
    let slow = """
      up:
        - update: users
          updates: [ { q: {}, u: { $inc: { n: 1 } }, multi: true } ]
          martlet: { chunk: 100, pause: 50 }
      """
    try MigrateProject.run(["001_slow.yaml": slow]) { (project) throws in
      try project.server.withDatabase {
        _ = try $0.insert("users", (0..<3000).map { ["_id": .int32($0), "n": 0] })
      }
      #expect(try project.migrate("up", "--yes", "--max-runtime", "300ms").exitCode == 75)
      #expect(try project.migrate("up", "--yes").exitCode == 0)
      let once = try project.server.withDatabase { try $0.count("users", filter: ["n": 1]) }
      #expect(once == 3000)
    }
  }
}
