import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("a window with its backup")
struct WindowBackupTests {
  private func sets(_ project: MigrateProject) throws -> [Document] {
    let result = try project.martlet(["backup", "list", "--json"])
    let document = try ExtendedJSON.parseDocument(result.stdout)
    return (document["backups"]?.arrayValue ?? []).compactMap(\.documentValue)
  }

  private func notes(_ project: MigrateProject) throws -> String {
    (try WindowTests.report(project)["notes"]?.arrayValue ?? []).compactMap(\.stringValue)
      .joined(separator: "\n")
  }

  private func window(_ project: MigrateProject, _ more: String...) throws -> ChildProcess.Result {
    try project.martlet(["window", "--yes", "--report", "reports"] + more)
  }

  @Test("it is made with its tag, every document is read back, and the report names it")
  func made() throws {
    try WindowTests.run { (project) throws in
      let result = try window(project)
      #expect(result.exitCode == 0, "\(result.stdout)\n\(result.stderr)")
      let list = try sets(project)
      #expect(list.count == 1)
      #expect(list.first?["tags"]?.arrayValue == ["window"])
      let id = list.first?["id"]?.stringValue ?? ""
      let report = try WindowTests.report(project)
      #expect(report["environment"]?.documentValue?["backup"]?.stringValue == id)
      let verified = (report["timeline"]?.arrayValue ?? []).compactMap(\.documentValue)
        .first { $0["name"] == "verify the backup" }
      #expect(verified?["detail"] == .string("\(id): every document read back"))
    }
  }

  @Test("on_failure: restore brings everything back, the ledger too, and says so by comparison")
  func restored() throws {
    try WindowTests.run(more: "on_failure: restore") { (project) throws in
      try WindowTests.rules("collections: [ { name: nope, when: after } ]", project)
      let before = try contents(project)
      let result = try window(project)
      #expect(result.exitCode == 4, "\(result.stdout)\n\(result.stderr)")
      #expect(WindowTests.log(project) == ["stop", "start"])
      #expect(try contents(project) == before)
      #expect(try project.states() == ["pending", "pending", "pending"])
      let text = try notes(project)
      #expect(text.contains("On failure: restore"))
      #expect(
        text.contains("The database is back as it was: compared with the snapshot"), "\(text)")
      // A second window works on what was restored.
      try WindowTests.rules("", project)
      let again = try window(project, "--abandon")
      #expect(again.exitCode == 0, "\(again.stderr)")
      #expect(try project.states() == ["applied", "applied", "applied"])
    }
  }

  @Test("on_failure: restore keeps an earlier ledger, and what earlier windows applied")
  func restoredLedger() throws {
    try WindowTests.run(more: "on_failure: restore") { (project) throws in
      #expect(try project.migrate("up", "--to", "001", "--yes").exitCode == 0)
      try WindowTests.rules("collections: [ { name: nope, when: after } ]", project)
      let result = try window(project)
      #expect(result.exitCode == 4, "\(result.stderr)")
      #expect(try project.states() == ["applied", "pending", "pending"])
      #expect(try notes(project).contains("back as it was"))
    }
  }

  @Test("on_failure: stop leaves everything as it is")
  func left() throws {
    try WindowTests.run(more: "on_failure: stop") { (project) throws in
      try WindowTests.rules("collections: [ { name: nope, when: after } ]", project)
      #expect(try window(project).exitCode == 4)
      #expect(WindowTests.log(project) == ["stop"])
      #expect(try project.states() == ["applied", "applied", "applied"])
      #expect(try notes(project).contains("services stay stopped"))
    }
  }

  @Test("a backup that cannot be made stops the window before anything is stopped")
  func noStore() throws {
    try WindowTests.run { (project) throws in
      try "".write(
        to: project.folder.appending(path: "backups"), atomically: true, encoding: .utf8)
      let result = try window(project)
      #expect(result.exitCode != 0)
      #expect(WindowTests.log(project) == [])
      #expect(try notes(project).contains("Nothing was changed"))
    }
  }

  private func contents(_ project: MigrateProject) throws -> [String: [Document]] {
    try project.server.withDatabase { database in
      var all: [String: [Document]] = [:]
      for name in try database.listCollections().map(\.name)
      where name != "migrations" && !name.hasPrefix("migrations.") {
        all[name] = try database.find(name, options: ["sort": ["_id": 1]]).all()
      }
      return all
    }
  }
}
