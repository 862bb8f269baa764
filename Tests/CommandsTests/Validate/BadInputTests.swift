import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

/// Files and rules that cannot be used, through the real program: a named error, and its exit code.
@Suite("bad input of validation and window")
struct BadInputTests {
  private static func run(_ body: (MigrateProject) throws -> Void) throws {
    try WindowTests.run { (project) throws in
      try project.server.withDatabase { database in
        _ = try database.run(["create": "few", "viewOn": "orders", "pipeline": []])
      }
      try body(project)
    }
  }

  private func write(_ text: String, _ name: String, _ project: MigrateProject) throws {
    try text.write(
      to: project.folder.appending(path: name), atomically: true, encoding: .utf8)
  }

  @Test("a pipeline that writes is refused with its line and column, however deep the stage lies")
  func writingPipelines() throws {
    try Self.run { (project) throws in
      for pipeline in [
        "[ { $out: stolen } ]", "[ { $match: {} }, { $merge: { into: stolen } } ]",
        "[ { $lookup: { from: users, as: x, pipeline: [ { $out: stolen } ] } } ]",
        "[ { $facet: { a: [ { $merge: stolen } ] } } ]",
        "[ { $unionWith: { coll: users, pipeline: [ { $out: { db: a, coll: stolen } } ] } } ]",
        "[ { $graphLookup: { from: users, restrictSearchWithMatch: { x: { $out: 1 } } } } ]",
        "[ { \"$\\u006fut\": stolen } ]",
      ] {
        for rules in [
          "empty: [ { name: e, collection: orders, pipeline: \(pipeline) } ]",
          "empty:\n  - name: e\n    collection: orders\n    pipeline: \(pipeline)",
        ] {
          try WindowTests.rules(rules, project)
          for command in [["validate", "before"], ["validate", "after"], ["window", "--yes"]] {
            let result = try project.martlet(command)
            #expect(result.exitCode == 64, "\(command) \(pipeline): \(result.stderr)")
            #expect(
              result.stderr.contains("writes: a check only reads")
                && result.stderr.contains("validation/rules.yaml:"), "\(result.stderr)")
          }
        }
      }
      #expect(try !project.collections().contains("stolen"))
      #expect(WindowTests.log(project) == [])
    }
  }

  @Test("a snapshot that is cut off anywhere, a folder, or something else, is refused by name")
  func snapshots() throws {
    try Self.run { (project) throws in
      #expect(try project.martlet(["validate", "before", "--save", "s.json"]).exitCode == 0)
      let path = project.folder.appending(path: "s.json")
      let text = try String(contentsOf: path, encoding: .utf8)
      func refused(_ words: String, _ code: Int32 = 1, file: String = "s.json") throws {
        for arguments in [
          ["validate", "after", "--against", file], ["validate", "compare", file, file],
        ] {
          let result = try project.martlet(arguments)
          #expect(result.exitCode == code, "\(arguments) \(words): \(result.stderr)")
          #expect(result.stderr.contains(words), "\(words): \(result.stderr)")
          #expect(result.stderr.contains(file))
        }
      }
      for length in [0, 1, 2, 40, text.count / 3, text.count / 2, text.count - 3] {
        try String(text.prefix(length)).write(to: path, atomically: true, encoding: .utf8)
        try refused("not a snapshot")
      }
      for (change, words, code) in [
        (
          text.replacing("martlet-snapshot/1", with: "martlet-snapshot/2"), "this martlet reads", 64
        ),
        (text.replacing("\"collections\"", with: "\"others\""), "lacks parts", 1),
        (text.replacing("\"fingerprint\"", with: "\"finger"), "not a snapshot", 1),
        ("{}", "neither a snapshot", 1), ("[]", "not a snapshot", 1),
        ("{\"schema\": 1}", "neither a snapshot", 1), ("null", "not a snapshot", 1),
      ] as [(String, String, Int32)] {
        try change.write(to: path, atomically: true, encoding: .utf8)
        try refused(words, code)
      }
      try FileManager.default.removeItem(at: path)
      try refused("No such file")
      try refused("Is a directory", file: "migrations")
      try refused("larger than a snapshot may be", file: "/dev/zero")
      try text.write(to: path, atomically: true, encoding: .utf8)
      let other = try project.martlet(
        ["validate", "after", "--against", "s.json", "--db", "another"])
      #expect(other.exitCode == 64 && other.stderr.contains("is of the database"))
    }
  }

  @Test("a folder or file that cannot be written is found before the checks are made")
  func unwritable() throws {
    try Self.run { (project) throws in
      try write("mine", "file", project)
      for (arguments, words) in [
        (["--report", "file"], "cannot make the folder"),
        (["--report", "file/below"], "cannot make the folder"),
        (["--report", "/proc/martlet"], "cannot make the folder"),
        (["--save", "migrations"], "it is a folder"), (["--save", "file/s.json"], "cannot"),
        (["--save", "/proc/s.json"], "cannot"), (["--state", "file"], "is not a state of martlet"),
        (["--state", "migrations"], "it is a folder"),
        (["--state", "/dev/null"], "is not a state of martlet"),
        (["--save", "/dev/full"], "No space left on device"),
      ] {
        let result = try project.martlet(["validate", "before"] + arguments)
        #expect(result.exitCode == 1, "\(arguments): \(result.stderr)")
        #expect(result.stderr.contains(words), "\(arguments): \(result.stderr)")
        #expect(result.stderr.contains("error: "))
      }
      // A device is written to, never replaced, and a user's file is left alone.
      let kind = try FileManager.default.attributesOfItem(atPath: "/dev/full")[.type]
      #expect(kind as? FileAttributeType == .typeCharacterSpecial)
      let mine = try String(contentsOf: project.folder.appending(path: "file"), encoding: .utf8)
      #expect(mine == "mine")
      for folder in ["file", "/proc/martlet"] {
        let window = try project.martlet(["window", "--yes", "--no-backup", "--report", folder])
        #expect(window.exitCode == 1, "\(window.stderr)")
      }
      #expect(WindowTests.log(project) == [], "no service was stopped")
      #expect(try project.states() == ["pending", "pending", "pending"])
    }
  }

  @Test("a report folder that becomes unwritable meanwhile fails the window, services running")
  func reportIsLost() throws {
    // The start hook puts a file where the report should go.
    try WindowTests.run(start: "echo start >> log; rm -rf reports; echo x > reports") {
      (project) throws in
      let result = try project.martlet(["window", "--yes", "--no-backup", "--report", "reports"])
      #expect(result.exitCode == 1, "\(result.stderr)")
      #expect(result.stderr.contains("cannot make the folder"), "\(result.stderr)")
      #expect(WindowTests.log(project) == ["stop", "start", "health"])
      #expect(try project.states() == ["applied", "applied", "applied"])
    }
  }

  @Test("a stop hook that hangs and ignores signals is named, and services are started again")
  func hangs() throws {
    try WindowTests.run(stop: "trap \"\" TERM INT; (sleep 600) & sleep 600; wait") {
      (project) throws in
      let result = try project.martlet([
        "window", "--yes", "--no-backup", "--report", "reports", "--hook-timeout", "1s",
      ])
      #expect(result.exitCode == 1, "\(result.stderr)")
      #expect(result.stderr.contains("did not end within 1.0 s"), "\(result.stderr)")
      #expect(WindowTests.log(project) == ["start"])
      let notes = (try WindowTests.report(project)["notes"]?.arrayValue ?? [])
        .compactMap(\.stringValue)
      #expect(notes.contains("Services were started again."), "\(notes)")
      #expect(try project.states() == ["pending", "pending", "pending"])
    }
  }
}
