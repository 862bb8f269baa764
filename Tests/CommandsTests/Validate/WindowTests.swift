import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("window")
struct WindowTests {
  /// A project whose hooks leave a line each in `log`.
  static func run(
    stop: String = "echo stop >> log", start: String = "echo start >> log",
    health: String = "echo health >> log", more: String = "",
    _ body: (MigrateProject) throws -> Void
  ) throws {
    try MigrateProject.run { (project) throws in
      func quoted(_ text: String) -> String { "'\(text)'" }
      try project.configure(
        """
        window:
          stop: [\(quoted(stop))]
          start: [\(quoted(start))]
          health: [\(quoted(health))]
          \(more)
        """)
      try FileManager.default.createDirectory(
        at: project.folder.appending(path: "validation"), withIntermediateDirectories: true)
      try rules("references: [ { from: orders.user_id, to: users._id } ]", project)
      try project.server.withDatabase { database in
        _ = try database.insert("users", (1...3).map { ["_id": .integer($0)] })
        _ = try database.insert("orders", [["_id": 1, "user_id": 1]])
      }
      try body(project)
    }
  }

  static func rules(_ text: String, _ project: MigrateProject) throws {
    try text.write(
      to: project.folder.appending(path: "validation/rules.yaml"), atomically: true, encoding: .utf8
    )
  }

  static func log(_ project: MigrateProject) -> [String] {
    let text = try? String(contentsOf: project.folder.appending(path: "log"), encoding: .utf8)
    return (text ?? "").split(separator: "\n").map(String.init)
  }

  private static func window(
    _ project: MigrateProject, _ more: String...
  ) throws -> ChildProcess.Result {
    try project.martlet(["window", "--no-backup", "--yes", "--report", "reports"] + more)
  }

  static func report(_ project: MigrateProject) throws -> Document {
    let path = project.folder.appending(path: "reports/martlet-window.json").path
    let data = try #require(FileManager.default.contents(atPath: path))
    return try ExtendedJSON.parseDocument(utf8: [UInt8](data))
  }

  @Test("a dry run prints every stage and does nothing")
  func dryRun() throws {
    try Self.run { (project) throws in
      let result = try project.martlet(["window", "--dry-run"])
      #expect(result.exitCode == 0)
      for words in ["martlet backup run", "echo stop", "martlet migrate up", "on failure"] {
        #expect(result.stdout.contains(words))
      }
      #expect(Self.log(project) == [])
      #expect(try !project.collections().contains("roles"))
    }
  }

  @Test("a window stops, migrates, validates, starts, looks, and reports")
  func story() throws {
    try Self.run { (project) throws in
      let result = try Self.window(project)
      #expect(result.exitCode == 0, "\(result.stdout)\n\(result.stderr)")
      #expect(Self.log(project) == ["stop", "start", "health"])
      #expect(try project.states() == ["applied", "applied", "applied"])
      let report = try Self.report(project)
      #expect(report["verdict"] != "failed")
      #expect(report["timeline"]?.arrayValue?.count == 10)
      let backups = project.folder.appending(path: "backups").path
      #expect(!FileManager.default.fileExists(atPath: backups), "up makes none either")
      #expect((report["plan"]?.arrayValue?.count ?? 0) > 3)
      #expect((report["metrics"]?.arrayValue?.count ?? 0) > 0)
      #expect(try project.martlet(["window", "--resume", "--yes"]).exitCode == 64)
    }
  }

  @Test("a finding before stops the window before any service is stopped")
  func doubt() throws {
    try Self.run { (project) throws in
      try project.server.withDatabase { database in
        _ = try database.insert("orders", [["_id": 2, "user_id": 99]])
      }
      let result = try Self.window(project)
      #expect(result.exitCode == 4)
      #expect(Self.log(project) == [])
      #expect(try project.states() == ["pending", "pending", "pending"])
      // Without --resume a second window does not simply begin.
      #expect(try Self.window(project).exitCode == 64)
      try project.server.withDatabase { database in
        _ = try database.delete("orders", [["q": ["_id": 2], "limit": 1]])
      }
      #expect(try Self.window(project, "--resume").exitCode == 0)
      #expect(Self.log(project) == ["stop", "start", "health"])
    }
  }

  @Test(
    "a stop hook that fails or hangs: nothing is migrated, services are started again",
    arguments: ["exit 3", "sleep 600"])
  func stopHook(_ hook: String) throws {
    try Self.run(stop: hook) { (project) throws in
      let result = try Self.window(project, "--hook-timeout", "1s")
      #expect(result.exitCode == 1)
      #expect(Self.log(project) == ["start"])
      #expect(try project.states() == ["pending", "pending", "pending"])
      #expect(try Self.report(project)["verdict"] == "failed")
    }
  }

  @Test("a finding after takes the migrations back and starts the services; the report says so")
  func takenBack() throws {
    try Self.run(more: "on_failure: down") { (project) throws in
      try Self.rules("collections: [ { name: nope, when: after } ]", project)
      let result = try Self.window(project)
      #expect(result.exitCode == 4, "\(result.stderr)")
      #expect(Self.log(project) == ["stop", "start"])
      #expect(try project.states() == ["pending", "pending", "pending"])
      let notes = (try Self.report(project)["notes"]?.arrayValue ?? []).compactMap(\.stringValue)
      #expect(notes.contains { $0.contains("back as it was") })
    }
  }

  @Test("a window that could not ask for a yes at the plan is refused before anything is stopped")
  func noAnswer() throws {
    try Self.run { (project) throws in
      let result = try project.martlet(["window", "--no-backup"])
      #expect(result.exitCode == 64, "\(result.stderr)")
      #expect(Self.log(project) == [])
      #expect(try project.states() == ["pending", "pending", "pending"])
    }
  }

  @Test("a window that applies nothing does not take back what an earlier one applied")
  func earlierBatch() throws {
    try Self.run { (project) throws in
      #expect(try Self.window(project).exitCode == 0)
      try Self.rules("collections: [ { name: nope, when: after } ]", project)
      #expect(try Self.window(project).exitCode == 4)
      #expect(try project.states() == ["applied", "applied", "applied"])
      let notes = (try Self.report(project)["notes"]?.arrayValue ?? []).compactMap(\.stringValue)
      #expect(notes.contains { $0.contains("nothing was taken back") }, "\(notes)")
    }
  }

  @Test("a window that was taken back and is resumed stops, migrates and validates anew")
  func resumedAfterDown() throws {
    try Self.run(more: "on_failure: down") { (project) throws in
      try Self.rules("collections: [ { name: nope, when: after } ]", project)
      #expect(try Self.window(project).exitCode == 4)
      #expect(try project.states() == ["pending", "pending", "pending"])
      try Self.rules("", project)
      let result = try Self.window(project, "--resume")
      #expect(result.exitCode == 0, "\(result.stderr)")
      #expect(try project.states() == ["applied", "applied", "applied"])
      #expect(Self.log(project) == ["stop", "start", "stop", "start", "health"])
      let timeline = (try Self.report(project)["timeline"]?.arrayValue ?? [])
        .compactMap(\.documentValue)
      #expect(timeline.count { $0["name"] == "migrate up" } == 2)
      #expect(timeline.contains { $0["state"] == "interrupted" && $0["name"] == "validate after" })
    }
  }

  @Test("a migration that fails is taken back with those before it")
  func failedMigration() throws {
    try Self.run { (project) throws in
      try project.write(
        "004_bad.yaml",
        "up:\n  - create: last\n  - collMod: last\n    index: { name: nope, hidden: true }\n")
      let result = try Self.window(project)
      #expect(result.exitCode != 0)
      #expect(Self.log(project) == ["stop", "start"], "\(result.stderr)")
      #expect(try !project.collections().contains("roles"))
    }
  }

  @Test("stop leaves everything as it is, services stopped")
  func left() throws {
    try Self.run(more: "on_failure: stop") { (project) throws in
      try Self.rules("collections: [ { name: nope, when: after } ]", project)
      #expect(try Self.window(project).exitCode == 4)
      #expect(Self.log(project) == ["stop"])
      #expect(try project.states() == ["applied", "applied", "applied"])
      try Self.rules("", project)
      #expect(try Self.window(project, "--resume").exitCode == 0)
      #expect(Self.log(project) == ["stop", "stop", "start", "health"])
    }
  }

  @Test("what would not fit into the time is not begun: 75, nothing stopped")
  func late() throws {
    try Self.run { (project) throws in
      let result = try Self.window(project, "--max-runtime", "1ms")
      #expect([64, 75].contains(result.exitCode), "\(result.stderr)")
      #expect(Self.log(project) == [])
    }
  }
}
