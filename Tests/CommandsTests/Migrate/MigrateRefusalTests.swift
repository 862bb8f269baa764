import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("migrate refuses with the right exit code")
struct MigrateRefusalTests {
  @Test("an edited applied file is 5 and the changed step is named; repair accepts it")
  func edited() throws {
    try MigrateProject.run { (project) throws in
      #expect(try project.migrate("up").exitCode == 0)
      try project.write("003_sessions.yaml", "up:\n  - create: logins\n")
      let up = try project.migrate("up")
      #expect(up.exitCode == 5)
      #expect(up.stderr.contains("step 1 was create sessions, is create logins (line 2)"))
      #expect(try project.migrate("status").exitCode == 0)
      #expect(try project.migrate("status", "--check").exitCode == 5)
      #expect(try project.json("up").document["error"]?.documentValue?["code"] == "edited")
      #expect(try project.migrate("repair", "--dry-run").stdout.contains("would change"))
      #expect(try project.migrate("status", "--check").exitCode == 5)
      #expect(try project.migrate("repair").exitCode == 64)
      #expect(try project.migrate("repair", "--yes").exitCode == 0)
      #expect(try project.migrate("status", "--check").exitCode == 0)
    }
  }

  @Test("a comment and another layout are no edit")
  func layout() throws {
    try MigrateProject.run { (project) throws in
      #expect(try project.migrate("up").exitCode == 0)
      try project.write("003_sessions.yaml", "# words\nup: [ { create: sessions } ]\n")
      #expect(try project.migrate("status", "--check").exitCode == 0)
    }
  }

  @Test(
    "a missing, a late and a doubled file are 5; mark and --allow-out-of-order are the ways out")
  func files() throws {
    try MigrateProject.run { (project) throws in
      try project.remove("002_plan.yaml")
      #expect(try project.migrate("up").exitCode == 0)
      try project.write("002_plan.yaml", MigrateProject.three["002_plan.yaml"] ?? "")
      #expect(try project.migrate("up").exitCode == 5)
      #expect(try project.migrate("up", "--allow-out-of-order").exitCode == 0)

      try project.remove("003_sessions.yaml")
      #expect(try project.migrate("up").exitCode == 5)
      #expect(try project.migrate("mark", "003_sessions", "--unapplied", "--yes").exitCode == 0)
      #expect(try project.migrate("status", "--check").exitCode == 0)

      try project.write("002_other.yaml", "up:\n  - create: other\n")
      #expect(try project.migrate("status").exitCode == 5)
    }
  }

  @Test("a ledger of another tool is 5 with the way out")
  func foreignLedger() throws {
    try MigrateProject.run { (project) throws in
      try project.server.withDatabase {
        _ = try $0.insert("migrations", [["fileName": "x.js", "appliedAt": 1]])
      }
      let status = try project.migrate("status")
      #expect(status.exitCode == 5)
      #expect(status.stderr.contains("HINT:"))
    }
  }

  @Test("broken YAML is 64 with line and column, a step that cannot work is 4")
  func badFiles() throws {
    try MigrateProject.run { (project) throws in
      try project.write("004_broken.yaml", "up:\n  - create: [a\n")
      let up = try project.json("up")
      #expect(up.exitCode == 64)
      let error = up.document["error"]?.documentValue
      #expect(error?["line"]?.integerValue != nil && error?["column"]?.integerValue != nil)
      #expect(try project.migrate("status").exitCode == 0)
      #expect(try project.migrate("status", "--check").exitCode == 64)
      #expect(try project.migrate("lint").exitCode == 4)

      try project.write("004_broken.yaml", "up:\n  - renameCollection: nowhere\n    to: there\n")
      #expect(try project.migrate("plan").exitCode == 4)
      #expect(try project.migrate("up").exitCode == 4)
      #expect(try project.collections().filter { !$0.hasPrefix("migrations") }.isEmpty)

      // What lint knows to be an error is not called ready, unless it is of another migration.
      try project.write("004_broken.yaml", "up:\n  - creat: things\n")
      for words in [["plan"], ["up", "--dry-run"]] {
        let plan = try project.martlet(["migrate"] + words)
        #expect(plan.exitCode == 4, "\(words)")
        #expect(!plan.stderr.contains("next: martlet migrate up"))
      }
      #expect(try project.migrate("plan", "--to", "003").exitCode == 0)
    }
  }

  @Test("a step that the server refuses is 1; it is shown as failed and can be run again")
  func failed() throws {
    let file = """
      up:
        - create: things
        - update: things
          updates: [ { q: { $where: "(" }, u: { $set: { a: 1 } }, multi: true } ]
      """
    try MigrateProject.run(["001_things.yaml": file]) { (project) throws in
      let up = try project.migrate("up")
      #expect(up.exitCode == 1)
      #expect(try project.states() == ["failed"])
      #expect(try project.migrate("status", "--check").exitCode == 2)
      try project.write(
        "001_things.yaml",
        """
        up:
          - create: things
          - insert: things
            documents: [ { a: 1 } ]
        """)
      #expect(try project.migrate("up").exitCode == 0)
      #expect(try project.states() == ["applied"])
    }
  }

  @Test("a lock held by another run is 11 with its holder; unlock needs --force")
  func locked() throws {
    try MigrateProject.run { (project) throws in
      let lease = try Lease.acquire(
        pool: project.server.pool, database: project.server.databaseName,
        collection: "migrations.lock", id: "lock",
        holder: ["host": "elsewhere", "user": "somebody", "pid": 4711], cancellation: Cancellation()
      )
      let up = try project.migrate("up")
      #expect(up.exitCode == 11)
      #expect(up.stderr.contains("somebody@elsewhere"))
      #expect(try project.migrate("status").stdout.contains("somebody@elsewhere"))
      #expect(try project.migrate("unlock").exitCode == 11)
      #expect(try project.migrate("unlock", "--force", "--yes").exitCode == 0)
      #expect(try project.migrate("up").exitCode == 0)
      try? lease.release()
    }
  }

  @Test("no server is 10, a wrong database name 64, an unknown migration 64")
  func usage() throws {
    try MigrateProject.run { (project) throws in
      let none = try project.migrate("status", "--uri", "mongodb://127.0.0.1:1/")
      #expect(none.exitCode == 10)
      #expect(none.stderr.contains("127.0.0.1:1"))
      #expect(try project.migrate("up", "--to", "99").exitCode == 64)
      #expect(try project.migrate("show", "99").exitCode == 64)
      #expect(try project.migrate("up", "--to", "1", "--count", "1").exitCode == 64)
      #expect(try project.migrate("up", "--migrations-dir", "nowhere").exitCode == 64)
    }
  }

  @Test("production asks before down, and refuses the dev commands")
  func production() throws {
    try MigrateProject.run { (project) throws in
      try project.configure("environment: production")
      for command in ["seed", "reset", "fresh"] {
        let result = try project.martlet(["dev", command] + (command == "seed" ? [] : ["--yes"]))
        #expect(result.exitCode == 64)
        #expect(result.stderr.contains("production"))
      }
      #expect(try project.migrate("up").exitCode == 0)
      #expect(try project.migrate("down").exitCode == 64)
      #expect(try project.migrate("down", "--yes").exitCode == 0)
    }
  }
}
