import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("the time of a window")
struct WindowTimeTests {
  private func journal(_ project: MigrateProject) throws -> (path: String, document: Document) {
    let path = project.folder.appending(path: ".martlet/window.json").path
    let text = try String(contentsOfFile: path, encoding: .utf8)
    return (path, try ExtendedJSON.parseDocument(text))
  }

  /// Lets the next window believe that a stage of the last one took that long.
  private func pretend(
    _ stage: String, took milliseconds: Int64, _ project: MigrateProject
  ) throws {
    let (path, document) = try journal(project)
    let stages = (document["stages"]?.arrayValue ?? []).compactMap(\.documentValue).map { entry in
      Document(
        entry.map { element in
          let isIt = element.key == "durationMs" && entry["stage"]?.stringValue == stage
          return (element.key, isIt ? .integer(milliseconds) : element.value)
        })
    }
    let changed = Document(
      document.map { element in
        (
          element.key,
          element.key == "stages" ? .array(stages.map { .document($0) }) : element.value
        )
      })
    try ExtendedJSON.text(changed, .relaxed).write(
      toFile: path, atomically: true, encoding: .utf8)
  }

  private func window(
    _ project: MigrateProject, _ more: String...
  ) throws -> ChildProcess.Result {
    try project.martlet(["window", "--no-backup", "--yes", "--report", "reports"] + more)
  }

  /// A window that is done, whose migrations are pending again.
  private func first(_ project: MigrateProject) throws {
    #expect(try window(project).exitCode == 0)
    #expect(try project.migrate("down", "--all", "--yes").exitCode == 0)
    try? FileManager.default.removeItem(at: project.folder.appending(path: "log"))
  }

  @Test("what took longer than the whole time is not begun, and the estimate says why")
  func tooShort() throws {
    try WindowTests.run { (project) throws in
      try first(project)
      try pretend("up", took: 3_600_000, project)
      let result = try window(project, "--max-runtime", "10m")
      #expect(result.exitCode == 75, "\(result.stderr)")
      #expect(result.stderr.contains("not begun: what is left takes about 1 h"), "\(result.stderr)")
      #expect(result.stderr.contains("martlet window --resume"), "\(result.stderr)")
      #expect(!result.stderr.contains("mend what failed"), "\(result.stderr)")
      #expect(WindowTests.log(project) == [])
      #expect(try project.states() == ["pending", "pending", "pending"])
    }
  }

  @Test("a stage that would no longer fit is not begun: services are started again, and it goes on")
  func notBegun() throws {
    // The stop hook takes what was left beside the time that `up` needs; doctor and the rules get that.
    try WindowTests.run(stop: "test -e fast || sleep 31; echo stop >> log") { (project) throws in
      let fast = project.folder.appending(path: "fast")
      try "".write(to: fast, atomically: true, encoding: .utf8)
      try first(project)
      try FileManager.default.removeItem(at: fast)
      try pretend("up", took: 570_000, project)
      let result = try window(project, "--max-runtime", "10m")
      #expect(result.exitCode == 75, "\(result.stderr)")
      #expect(WindowTests.log(project) == ["stop", "start"])
      #expect(try project.states() == ["pending", "pending", "pending"])
      // Shown with every stage, of the work and of the time.
      for stage in ["doctor", "validate before", "stop services"] {
        let line = result.stderr.split(separator: "\n").first { $0.contains("== \(stage)") } ?? ""
        #expect(line.contains("about 9 min") && line.contains("of work left"), "\(line)")
        #expect(line.contains("of time left"), "\(line)")
      }
      #expect(!result.stderr.contains("== migrate up"))
      let entry = (try journal(project).document["stages"]?.arrayValue ?? [])
        .compactMap(\.documentValue).last
      #expect(["plan", "up"].contains(entry?["stage"]?.stringValue))
      let detail = entry?["detail"]?.stringValue ?? ""
      #expect(detail.hasPrefix("not begun: what is left takes about 9 min"), "\(detail)")
      let report = try WindowTests.report(project)
      let notes = (report["notes"]?.arrayValue ?? []).compactMap(\.stringValue)
      #expect(notes.contains("Services were started again."), "\(notes)")
      #expect(notes.contains { $0.contains("not begun") }, "\(notes)")

      try "".write(to: fast, atomically: true, encoding: .utf8)
      let resumed = try window(project, "--resume")
      #expect(resumed.exitCode == 0, "\(resumed.stderr)")
      #expect(WindowTests.log(project) == ["stop", "start", "stop", "start", "health"])
      #expect(try project.states() == ["applied", "applied", "applied"])
    }
  }

  @Test(
    "time that ends in migrate up stops it at a safe point; services stay stopped until --resume")
  func inside() throws {
    try WindowTests.run(stop: "test -e go && echo stop >> log") { (project) throws in
      try project.server.withDatabase { database in
        _ = try database.insert("slow", (0..<3000).map { ["_id": .integer($0)] })
      }
      try project.write(
        "004_slow.yaml",
        """
        up:
          - update: slow
            updates: [ { q: {}, u: { $set: { done: true } }, multi: true } ]
            martlet: { chunk: 100, pause: 600ms }
        """)
      // What comes before is settled by a window that ends at its stop hook.
      #expect(try window(project).exitCode == 1)
      try "".write(to: project.folder.appending(path: "go"), atomically: true, encoding: .utf8)
      try FileManager.default.removeItem(at: project.folder.appending(path: "log"))
      let result = try window(project, "--resume", "--max-runtime", "16s")
      #expect(result.exitCode == 75, "\(result.stderr)")
      #expect(WindowTests.log(project) == ["stop"])
      let notes = (try WindowTests.report(project)["notes"]?.arrayValue ?? [])
        .compactMap(\.stringValue)
      #expect(notes.contains { $0.contains("window --resume goes on") }, "\(notes)")
      let resumed = try window(project, "--resume")
      #expect(resumed.exitCode == 0, "\(resumed.stderr)")
      #expect(try project.states().allSatisfy { $0 == "applied" })
      let done = try project.server.withDatabase { try $0.count("slow", filter: ["done": true]) }
      #expect(done == 3000)
    }
  }
}
