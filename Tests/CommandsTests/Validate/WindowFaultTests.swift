import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("a window and what comes in its way")
struct WindowFaultTests {
  /// Waits while the test holds that stage.
  private static func held(_ name: String) -> String {
    "touch in-\(name); while test -e hold-\(name); do sleep 0.02; done"
  }

  private func hold(_ name: String, _ project: MigrateProject) throws {
    try "".write(
      to: project.folder.appending(path: "hold-\(name)"), atomically: true, encoding: .utf8)
  }

  private func free(_ name: String, _ project: MigrateProject) throws {
    try FileManager.default.removeItem(at: project.folder.appending(path: "hold-\(name)"))
  }

  /// Blocks until a hook or rule that is held has begun.
  private func reach(_ name: String, _ project: MigrateProject, _ window: ChildProcess) throws {
    try Patience.wait(forFile: project.folder.appending(path: "in-\(name)").path, of: window)
  }

  private func start(_ project: MigrateProject, _ more: String...) throws -> ChildProcess {
    try MartletBinary.start(
      ["window", "--yes", "--report", "reports"] + more, directory: project.folder.path)
  }

  private func notes(_ project: MigrateProject) throws -> [String] {
    (try WindowTests.report(project)["notes"]?.arrayValue ?? []).compactMap(\.stringValue)
  }

  @Test("a second one is refused while the first lives, also with --resume and --abandon")
  func second() throws {
    try WindowTests.run(stop: "\(Self.held("stop")); echo stop >> log") { (project) throws in
      try hold("stop", project)
      let first = try start(project, "--no-backup")
      try reach("stop", project, first)
      for more in [[], ["--resume"], ["--abandon"]] {
        let other = try project.martlet(["window", "--no-backup", "--yes"] + more)
        #expect(other.exitCode == 11, "\(more): \(other.stderr)")
      }
      try free("stop", project)
      #expect(first.wait().exitCode == 0)
      #expect(WindowTests.log(project) == ["stop", "start", "health"])
    }
  }

  @Test("on_failure: restore leaves a database alone that no migration of this window has touched")
  func nothingBegan() throws {
    try WindowTests.run(
      stop: "\(Self.held("stop")); echo stop >> log", more: "on_failure: restore"
    ) { (project) throws in
      try hold("stop", project)
      let child = try start(project)
      try reach("stop", project, child)
      let lease = try Lease.acquire(
        pool: project.server.pool, database: project.server.databaseName,
        collection: "migrations.lock", id: "lock", holder: ["host": "elsewhere"],
        cancellation: Cancellation())
      defer { try? lease.release() }
      // Came after the backup, and would be gone with it.
      try project.server.withDatabase { _ = try $0.insert("orders", [["_id": 77, "user_id": 1]]) }
      try free("stop", project)
      let journal = project.folder.appending(path: ".martlet/window.json")
      try Patience.wait(for: "migrate up to begin", of: child) {
        let text = try? String(contentsOf: journal, encoding: .utf8)
        return text?.contains("\"mayHaveChanged\": true") == true
      }
      child.kill(SIGINT)
      let result = child.wait()
      #expect(result.exitCode == 130, "\(result.stderr)")
      #expect(WindowTests.log(project) == ["stop", "start"])
      #expect(try notes(project).contains { $0.contains("nothing was taken back") })
      #expect(try project.server.withDatabase { try $0.count("orders") } == 2)
    }
  }

  @Test("down never takes back what somebody else has applied since")
  func others() throws {
    try WindowTests.run(more: "on_failure: down") { (project) throws in
      try WindowTests.rules(
        "commands: [ { name: after, run: \"\(Self.held("after")); false\", when: after } ]", project
      )
      try hold("after", project)
      let child = try start(project, "--no-backup")
      try reach("after", project, child)
      try project.write("900_other.yaml", "up:\n  - create: others\n")
      let other = try project.migrate("up", "--yes")
      #expect(other.exitCode == 0, "\(other.stderr)")
      try free("after", project)
      #expect(child.wait().exitCode == 4)
      #expect(try project.states() == ["applied", "applied", "applied", "applied"])
      #expect(try notes(project).contains { $0.contains("somebody else") })
      #expect(WindowTests.log(project) == ["stop"], "services stay stopped")
    }
  }

  @Test("what was taken back by hand is applied again by --resume, and not called done without")
  func byHand() throws {
    try WindowTests.run(more: "on_failure: stop") { (project) throws in
      try WindowTests.rules("collections: [ { name: nope, when: after } ]", project)
      let first = try project.martlet(["window", "--no-backup", "--yes"])
      #expect(first.exitCode == 4)
      let next = "mend what failed, then martlet window --resume"
      #expect(first.stderr.contains(next), "a new one would be refused: \(first.stderr)")
      #expect(try project.migrate("down", "--all", "--yes").exitCode == 0)
      try WindowTests.rules("", project)
      let resumed = try project.martlet(["window", "--resume", "--no-backup", "--yes"])
      #expect(resumed.exitCode == 0, "\(resumed.stderr)")
      #expect(try project.states() == ["applied", "applied", "applied"])
    }
  }

  @Test("services are started again when the journal cannot be written any more")
  func noJournal() throws {
    try WindowTests.run(
      stop: "mv .martlet moved && touch .martlet && echo stop >> log"
    ) { (project) throws in
      let result = try project.martlet(
        ["window", "--no-backup", "--yes", "--report", "reports"])
      #expect(result.exitCode == 1, "\(result.stderr)")
      #expect(WindowTests.log(project) == ["stop", "start"])
      #expect(try project.states() == ["pending", "pending", "pending"])
      #expect(try WindowTests.report(project)["verdict"] == "failed")
    }
  }

  @Test("what is too late before the stop hooks runs no start hooks either")
  func lateAtStop() throws {
    try WindowTests.run { (project) throws in
      try WindowTests.rules(
        "commands: [ { name: slow, run: sleep 6, when: before } ]", project)
      let result = try project.martlet(
        ["window", "--no-backup", "--yes", "--report", "reports", "--max-runtime", "5s"])
      #expect(result.exitCode == 75, "\(result.stderr)")
      #expect(WindowTests.log(project) == [])
      #expect(try notes(project).contains { $0.contains("no service was stopped") })
    }
  }

  @Test("mail tells how it ended")
  func mail() throws {
    try WindowTests.run { (project) throws in
      let program = project.folder.appending(path: "sendmail")
      try ChildProcess.writeProgram("#!/bin/sh\ncat > mail\n", to: program.path)
      let result = try MartletBinary.run(
        ["window", "--no-backup", "--yes"],
        environment: [
          "BACKUP_NOTIFICATION_EMAIL": "team@example.org", "MARTLET_SENDMAIL": program.path,
        ], directory: project.folder.path)
      #expect(result.exitCode == 0, "\(result.stderr)")
      let mail = try String(contentsOf: project.folder.appending(path: "mail"), encoding: .utf8)
      #expect(mail.contains("To: team@example.org"))
      #expect(mail.contains("window on \(project.server.databaseName) is done"))
    }
  }
}
