import BSON
import Foundation
import TestSupport
import Testing

@Suite struct LogTests {
  @Test("one line for each event, with time and level, as text or JSON; more with DEBUG=1")
  func lines() throws {
    try BackupProject.run { project in
      #expect(
        try project.martlet("backup", "run", "--quiet", "--log-file", "logs/a.log").exitCode == 0)
      let text = try String(
        contentsOf: project.folder.appending(path: "logs/a.log"), encoding: .utf8
      ).split(separator: "\n")
      #expect(text.first?.hasSuffix("INFO    backup run: begins") == true)
      #expect(text.last?.contains("ends with exit code 0") == true)
      #expect(text.allSatisfy { $0.wholeMatch(of: /\d{4}-\d\d-\d\dT[\d:]{8}Z [A-Z]+ +.+/) != nil })

      let failed = try project.martlet(
        "backup", "show", "none",
        environment: ["MARTLET_LOG": "logs/b.log", "MARTLET_LOG_FORMAT": "json", "DEBUG": "1"])
      #expect(failed.exitCode == 1)
      let events = try String(
        contentsOf: project.folder.appending(path: "logs/b.log"), encoding: .utf8
      ).split(separator: "\n").map { try ExtendedJSON.parseDocument(String($0)) }
      #expect(events.contains { $0["level"] == "error" && $0["code"] == "notFound" })
      #expect(events.contains { $0["level"] == "debug" })
      #expect(events.last?["exitCode"]?.integerValue == 1)

      let refused = try project.martlet("backup", "list", "--log-file", "/proc/none/log")
      #expect(refused.exitCode == 0)
      #expect(refused.stderr.contains("cannot be written"))
      #expect(try project.martlet("backup", "list", "--log-format", "xml").exitCode == 64)
    }
  }
}
