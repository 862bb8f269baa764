import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("a window that is killed")
struct WindowKillTests {
  /// In the order of the window.
  static let stages = [
    "doctor", "backup", "verify", "before", "stop", "plan", "up", "after", "start", "health",
  ]
  static let titles = [
    "doctor", "backup", "verify the backup", "validate before", "stop services", "plan",
    "migrate up", "validate after", "start services", "health checks",
  ]

  /// The stage that the journal says is running, and those that are settled.
  private func journal(_ project: MigrateProject) -> (running: String?, settled: [String]) {
    let path = project.folder.appending(path: ".martlet/window.json").path
    guard let data = FileManager.default.contents(atPath: path),
      let document = try? ExtendedJSON.parseDocument(utf8: [UInt8](data))
    else { return (nil, []) }
    let entries = (document["stages"]?.arrayValue ?? []).compactMap(\.documentValue)
    return (
      entries.first { $0["state"] == "running" }?["stage"]?.stringValue,
      entries.filter { ["done", "skipped"].contains($0["state"]) }
        .compactMap { $0["stage"]?.stringValue }
    )
  }

  /// Starts a window and kills it in that stage, in which it is held.
  private func kill(in stage: String, _ project: MigrateProject, resumes: Bool) throws {
    let hold = try WindowHold.hold(stage, project)
    let child = try MartletBinary.start(
      ["window", "--yes", "--report", "reports"] + (resumes ? ["--resume"] : []),
      environment: try WindowHold.environment(project), directory: project.folder.path)
    defer { child.kill(SIGKILL) }
    try Patience.wait(for: stage, of: child) { journal(project).running == stage }
    child.kill(SIGKILL)
    // The hook that is left behind holds the pipe that is waited for.
    try FileManager.default.removeItem(at: hold)
    _ = child.wait()
    #expect(journal(project).running == stage, "\(child.stderrSoFar)")
  }

  @Test("in every stage, one after the other, and resumed: no stage is lost, nor its evidence")
  func everyStage() throws {
    try WindowTests.run(
      stop: "\(WindowHold.text("stop")); echo stop >> log",
      start: "\(WindowHold.text("start")); echo start >> log",
      health: "\(WindowHold.text("health")); echo health >> log", more: "on_failure: restore"
    ) { (project) throws in
      try WindowTests.rules(
        """
        references: [ { from: orders.user_id, to: users._id } ]
        commands:
          - { name: before, run: "\(WindowHold.text("before"))", when: before }
          - { name: after, run: "\(WindowHold.text("after"))", when: after }
        """, project)
      for (number, stage) in Self.stages.enumerated() {
        try kill(in: stage, project, resumes: number > 0)
        let refused = try project.martlet(["window", "--yes"])
        #expect(refused.exitCode == 64, "\(stage)")
        #expect(refused.stderr.contains("stopped at \(Self.titles[number])"), "\(refused.stderr)")
        #expect(journal(project).settled.count >= min(number, 4), "what was settled stays so")
      }
      let resumed = try project.martlet(["window", "--resume", "--yes", "--report", "reports"])
      #expect(resumed.exitCode == 0, "\(resumed.stdout)\n\(resumed.stderr)")
      #expect(try project.states() == ["applied", "applied", "applied"])
      #expect(WindowTests.log(project).last == "health")
      #expect(WindowTests.log(project).contains("start"))

      let report = try WindowTests.report(project)
      #expect(report["verdict"] != "failed")
      let timeline = (report["timeline"]?.arrayValue ?? []).compactMap(\.documentValue)
      for title in Self.titles {
        let attempts = timeline.filter { $0["name"]?.stringValue == title }
        #expect(attempts.last?["state"] == "done", "\(title): \(attempts)")
        #expect(attempts.contains { $0["state"] == "interrupted" }, "\(title): \(attempts)")
      }
      let ids = (report["checks"]?.arrayValue ?? []).compactMap {
        $0.documentValue?["id"]?.stringValue
      }
      // Of the stage before, of the one after.
      #expect(ids.contains("oplog-window") && ids.contains("declared-index"), "\(ids)")
      #expect((report["plan"]?.arrayValue?.count ?? 0) > 3)
      #expect((report["metrics"]?.arrayValue?.count ?? 0) > 0)
      #expect(report["environment"]?.documentValue?.has("backup") == true)
    }
  }

  @Test(
    "in the middle of a hook: the hook is ended, services are stopped again, and it goes on",
    arguments: ["stop", "start"])
  func hook(_ hook: String) throws {
    let wait = "exec 2>/dev/null >&2; test -e go || { touch here; sleep 600; }; echo \(hook) >> log"
    try WindowTests.run(
      stop: hook == "stop" ? wait : "echo stop >> log",
      start: hook == "start" ? wait : "echo start >> log"
    ) { (project) throws in
      let child = try MartletBinary.start(
        ["window", "--no-backup", "--yes"], directory: project.folder.path)
      let here = project.folder.appending(path: "here").path
      try Patience.wait(forFile: here, of: child)
      child.kill(SIGKILL)
      _ = child.wait()
      try "".write(
        to: project.folder.appending(path: "go"), atomically: true, encoding: .utf8)
      let resumed = try project.martlet(["window", "--no-backup", "--yes", "--resume"])
      #expect(resumed.exitCode == 0, "\(resumed.stderr)")
      #expect(resumed.stderr.contains("still runs: stopping it"))
      #expect(try project.states() == ["applied", "applied", "applied"])
      let expected = hook == "stop" ? ["stop", "start", "health"] : ["start", "health"]
      #expect(WindowTests.log(project).suffix(expected.count) == expected[...])
    }
  }

  @Test("while a failure is taken back: the next run finishes that first")
  func recovery() throws {
    let wait = "exec 2>/dev/null >&2; test -e go || { touch here; sleep 600; }; echo start >> log"
    try WindowTests.run(start: wait, more: "on_failure: down") { (project) throws in
      try WindowTests.rules("collections: [ { name: nope, when: after } ]", project)
      let child = try MartletBinary.start(
        ["window", "--no-backup", "--yes"], directory: project.folder.path)
      let here = project.folder.appending(path: "here").path
      try Patience.wait(forFile: here, of: child)
      child.kill(SIGKILL)
      _ = child.wait()
      try "".write(
        to: project.folder.appending(path: "go"), atomically: true, encoding: .utf8)
      let finished = try project.martlet([
        "window", "--no-backup", "--yes", "--resume", "--report", "reports",
      ])
      #expect(finished.exitCode == 4, "\(finished.stderr)")
      #expect(WindowTests.log(project) == ["stop", "start"])
      #expect(try project.states() == ["pending", "pending", "pending"])
      #expect(try WindowTests.report(project)["verdict"] == "failed")
    }
  }
}
