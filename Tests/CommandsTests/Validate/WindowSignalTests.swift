import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("a window that is told to stop")
struct WindowSignalTests {
  private static let stages = [
    "doctor", "backup", "verify", "before", "stop", "plan", "up", "after", "start", "health",
  ]

  private func journal(_ project: MigrateProject) -> Document {
    let path = project.folder.appending(path: ".martlet/window.json").path
    let text = try? String(contentsOfFile: path, encoding: .utf8)
    return text.flatMap { try? ExtendedJSON.parseDocument($0) } ?? [:]
  }

  private func stage(_ project: MigrateProject, _ state: String) -> String? {
    (journal(project)["stages"]?.arrayValue ?? []).compactMap(\.documentValue)
      .first { $0["state"]?.stringValue == state }?["stage"]?.stringValue
  }

  /// Runs a window until it is in that stage, and sends the signal there.
  private func stop(
    in stage: String, by signal: Int32, _ project: MigrateProject, resumes: Bool
  ) throws -> ChildProcess.Result {
    let hold = try WindowHold.hold(stage, project)
    let child = try MartletBinary.start(
      ["window", "--yes", "--report", "reports"] + (resumes ? ["--resume"] : []),
      environment: try WindowHold.environment(project), directory: project.folder.path)
    defer { child.kill(SIGKILL) }
    try Patience.wait(for: stage, of: child) { self.stage(project, "running") == stage }
    if stage == "up" {
      // Held by its documents: it is stopped in the middle of them.
      try FileManager.default.removeItem(at: hold)
      try Patience.wait(for: "a document of migrate up", of: child) {
        try project.server.withDatabase { try $0.count("slow", filter: ["done": true]) } > 0
      }
    }
    child.kill(signal)
    // What the answer runs is not held; what was stopped was.
    try Patience.wait(for: "the end of \(stage)", of: child) {
      self.stage(project, "failed") == stage
    }
    try? FileManager.default.removeItem(at: hold)
    return child.wait()
  }

  /// Enough for half a minute of `migrate up`.
  private func slow(_ project: MigrateProject, _ isSlow: Bool) throws {
    try project.server.withDatabase { database in
      if isSlow {
        _ = try database.insert("slow", (400..<30_000).map { ["_id": .integer($0)] })
      } else {
        _ = try database.delete("slow", [["q": ["_id": ["$gte": 400]], "limit": 0]])
      }
    }
  }

  @Test(
    "in every stage: services run, the report and the journal say where, and it goes on",
    arguments: [SIGINT, SIGTERM])
  func everyStage(_ signal: Int32) throws {
    try WindowTests.run(
      stop: "\(WindowHold.text("stop")); echo stop >> log",
      start: "\(WindowHold.text("start")); echo start >> log",
      health: "\(WindowHold.text("health")); echo health >> log"
    ) { (project) throws in
      try WindowTests.rules(
        """
        references: [ { from: orders.user_id, to: users._id } ]
        commands:
          - { name: before, run: "\(WindowHold.text("before"))", when: before }
          - { name: after, run: "\(WindowHold.text("after"))", when: after }
        """, project)
      try project.server.withDatabase { database in
        _ = try database.insert("slow", (0..<400).map { ["_id": .integer($0)] })
      }
      try project.write(
        "004_slow.yaml",
        """
        up:
          - update: slow
            updates: [ { q: {}, u: { $set: { done: true } }, multi: true } ]
            martlet: { chunk: 100, pause: 100ms }
        """)
      for (number, stage) in Self.stages.enumerated() {
        let log = WindowTests.log(project)
        try? FileManager.default.removeItem(at: project.folder.appending(path: "reports"))
        if stage == "up" { try slow(project, true) }
        let result = try stop(in: stage, by: signal, project, resumes: number > 0)
        if stage == "up" { try slow(project, false) }
        #expect(result.exitCode == (signal == SIGINT ? 130 : 75), "\(stage): \(result.stderr)")
        #expect(self.stage(project, "failed") == stage, "\(stage): \(journal(project))")
        #expect(journal(project)["recovery"]?.documentValue?["settled"] == true, "\(stage)")
        #expect(journal(project)["finished"] == false)

        let report = try WindowTests.report(project)
        #expect(report["verdict"] == "failed", "\(stage)")
        let exitCode = report["environment"]?.documentValue?["exit code"]?.stringValue ?? ""
        #expect(exitCode.hasPrefix("\(result.exitCode),"), "\(exitCode)")
        let notes = (report["notes"]?.arrayValue ?? []).compactMap(\.stringValue)
          .joined(separator: "\n")
        let new = Array(WindowTests.log(project).dropFirst(log.count))
        let states = Set(try project.states())
        switch stage {
        case "doctor", "backup", "verify", "before":
          #expect(new == [], "\(stage)")
          #expect(notes.contains("no service was stopped"), "\(notes)")
        case "health":
          #expect(new.contains("stop") == false && states == ["applied"], "\(new)")
        case "start":
          #expect(new.last == "start" && states == ["applied"], "\(new) \(notes)")
          #expect(notes.contains("Services were started again."), "\(notes)")
        default:
          #expect(new.last == "start", "\(stage): \(new) \(notes)")
          #expect(states == ["pending"], "\(stage): \(states)")
          #expect(notes.contains("Services were started again."), "\(notes)")
        }
      }
      let resumed = try project.martlet(["window", "--resume", "--yes", "--report", "reports"])
      #expect(resumed.exitCode == 0, "\(resumed.stderr)")
      #expect(try Set(project.states()) == ["applied"])
      #expect(journal(project)["finished"] == true)
      #expect(WindowTests.log(project).last == "health")
    }
  }
}
