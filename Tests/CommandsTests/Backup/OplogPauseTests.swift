import BSON
import Foundation
import Glibc
import MongoDB
import TestSupport
import Testing

@Suite struct OplogPauseTests {
  private func edge(_ project: BackupProject, _ direction: Int) throws -> Timestamp {
    try project.server.pool.withClient { client in
      let entry = try client.database("local").findOne(
        "oplog.rs", options: ["sort": ["$natural": .integer(direction)]])
      return try #require(entry?["ts"]?.timestampValue)
    }
  }

  private func chain(_ project: BackupProject) throws -> Document {
    let status = try project.json("oplog", "status")
    return try #require(status.document["chains"]?.arrayValue?.first?.documentValue)
  }

  @Test(
    "an oplog that rolls over under a capture that hangs is a gap that is told, and a new base is asked for"
  )
  func paused() throws {
    let set = try PrivateServer(oplog: 1, arguments: ["--syncdelay", "1"])
    try TestServer.run(uri: set.uri) { server in
      let folder = FileManager.default.temporaryDirectory.appending(
        path: "martlet-tests-\(server.databaseName)")
      defer { try? FileManager.default.removeItem(at: folder) }
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      let project = BackupProject(server: server, folder: folder)
      try project.configure("")
      try server.withDatabase { _ = try $0.insert("orders", [["_id": 1]]) }
      _ = try project.backup()
      let capture = try MartletBinary.start(
        ["oplog", "run", "--slice", "1s", "--json"], directory: folder.path)
      defer {
        capture.kill(SIGCONT)
        capture.kill(SIGKILL)
      }
      try #require(capture.waitFor("\"start\""))

      capture.kill(SIGSTOP)
      // What comes first is a reply that it has asked for already.
      var before = try edge(project, -1)
      let filler = String(repeating: "x", count: 100_000)
      for round in 0..<600 where try round < 4 || edge(project, 1) <= before {
        try server.withDatabase { database in
          _ = try database.insert(
            "filler", (0..<20).map { ["_id": .integer(round * 20 + $0), "t": .string(filler)] })
        }
        if round == 2 { before = try edge(project, -1) }
      }
      try #require(try edge(project, 1) > before)
      let lost = try edge(project, -1)
      capture.kill(SIGCONT)
      try Patience.wait(for: "the gap to be told", of: capture) {
        capture.stderrSoFar.contains("the oplog rolled over")
      }
      #expect(capture.stderrSoFar.contains("take a new backup"), "\(capture.stderrSoFar)")
      try server.withDatabase { _ = try $0.insert("orders", [["_id": 2]]) }
      let after = try edge(project, -1)
      try wait(project, for: after, capture)

      let gaps = try chain(project)["gaps"]?.arrayValue
      #expect(gaps?.count == 1)
      #expect(try chain(project)["needsBase"] == true)
      let status = try project.martlet("oplog", "status")
      #expect(status.exitCode == 0)
      #expect(status.stdout.contains("gap: "))
      #expect(status.stdout.contains("a new base is needed"))
      #expect((status.stdout + status.stderr).contains("martlet backup run"))
      for time in [lost, after] {
        let restore = try project.martlet(
          "restore", "--to-time", "\(time.seconds):\(time.increment)", "--yes")
        #expect(restore.exitCode == 1)
        #expect(restore.stderr.contains("HINT: what can be: "))
      }
      let gapped = try project.martlet(
        "restore", "--to-time", "\(after.seconds):\(after.increment)", "--yes")
      #expect(gapped.stderr.contains("the captured oplog has a gap from"))

      // What it says to do, while the capture goes on.
      _ = try project.backup()
      #expect(try chain(project)["needsBase"] == false)
      try server.withDatabase { _ = try $0.insert("orders", [["_id": 3]]) }
      let last = try edge(project, -1)
      try wait(project, for: last, capture)
      try server.withDatabase { try $0.drop("orders") }
      let restore = try project.martlet(
        "restore", "--to-time", "\(last.seconds):\(last.increment)", "--yes")
      #expect(restore.exitCode == 0, "\(restore.stderr)")
      #expect(try project.count("orders") == 3)
      capture.kill(SIGTERM)
      let end = capture.wait()
      #expect(end.exitCode == 0, "\(end.stderr)")
    }
  }

  /// Until the newest slice ends at that time or later.
  private func wait(
    _ project: BackupProject, for time: Timestamp, _ capture: ChildProcess
  ) throws {
    let folder = project.folder.appending(path: "backups/oplog")
    try Patience.wait(for: "a slice up to \(time)", of: capture) {
      let names = FileManager.default.enumerator(atPath: folder.path)?.compactMap { $0 as? String }
      let ends = (names ?? []).filter { $0.hasSuffix(".json") }.compactMap { name -> Timestamp? in
        let parts = (name.split(separator: "_").last ?? "").dropLast(5).split(separator: "-")
        guard parts.count == 2, let seconds = UInt32(parts[0]), let increment = UInt32(parts[1])
        else { return nil }
        return Timestamp(seconds: seconds, increment: increment)
      }
      return ends.contains { $0 >= time }
    }
  }
}
