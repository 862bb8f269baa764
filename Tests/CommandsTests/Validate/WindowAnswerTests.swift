import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("what a window tells of an answered failure")
struct WindowAnswerTests {
  private func window(
    _ project: MigrateProject, _ more: [String] = [], environment: [String: String?] = [:]
  ) throws -> ChildProcess.Result {
    try project.martlet(
      ["window", "--no-backup", "--yes", "--report", "reports"] + more, environment: environment)
  }

  private func timeline(_ project: MigrateProject) throws -> [String] {
    (try WindowTests.report(project)["timeline"]?.arrayValue ?? []).compactMap(\.documentValue)
      .map { "\($0["name"]?.stringValue ?? "") \($0["state"]?.stringValue ?? "")" }
  }

  @Test("after a failure was answered nothing counts as checked, and the answer is on the timeline")
  func checkedAgain() throws {
    let held = "test ! -e hold || { touch here; while test -e hold; do sleep 0.02; done; }"
    try WindowTests.run { (project) throws in
      try WindowTests.rules(
        """
        references: [ { from: orders.user_id, to: users._id } ]
        commands: [ { name: after, run: "\(held)", when: after } ]
        """, project)
      let hold = project.folder.appending(path: "hold")
      try "".write(to: hold, atomically: true, encoding: .utf8)
      let first = try MartletBinary.start(
        ["window", "--no-backup", "--yes", "--report", "reports"],
        directory: project.folder.path)
      try Patience.wait(forFile: project.folder.appending(path: "here").path, of: first)
      // The references were found good in this stage.
      first.kill(SIGTERM)
      #expect(first.wait().exitCode == 75, "\(first.stderrSoFar)")
      try FileManager.default.removeItem(at: hold)
      let answered = try timeline(project)
      #expect(
        answered.suffix(3) == [
          "validate after failed", "on failure: down done", "start services again done",
        ], "\(answered)")
      // The services ran, and wrote.
      try project.server.withDatabase { database in
        _ = try database.insert("orders", [["_id": 99, "user_id": 99]])
      }
      let resumed = try window(project, ["--resume"])
      #expect(resumed.exitCode == 4, "\(resumed.stderr)")
      #expect(resumed.stderr.contains("orphaned-references"), "\(resumed.stderr)")
      let again = try timeline(project)
      #expect(again.contains("validate after interrupted"), "\(again)")
      #expect(again.count { $0 == "on failure: down done" } == 2, "\(again)")
    }
  }

  @Test("the report of a failed migration has the server's words, and no values")
  func cause() throws {
    try WindowTests.run { (project) throws in
      try project.write(
        "990_twice.yaml",
        "up: [ { insert: users, documents: [ { _id: secret-1 }, { _id: secret-1 } ] } ]")
      #expect(try window(project).exitCode == 1)
      let report = try WindowTests.report(project)
      let stage = report["timeline"]?.arrayValue?.compactMap(\.documentValue)
        .first { $0["name"] == "migrate up" }
      let detail = stage?["detail"]?.stringValue ?? ""
      #expect(detail.contains("990_twice: insert on") && detail.contains("11000"), "\(detail)")
      #expect(!detail.contains("secret-1"))
    }
  }
}
