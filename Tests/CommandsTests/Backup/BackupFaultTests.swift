import BSON
import Foundation
import Glibc
import MongoDB
import TestSupport
import Testing

/// Each a clear error with its exit code and a hint, and nothing changed.
@Suite struct BackupFaultTests {
  /// Changes a manifest's text and seals it again, as another version or clock would have made it.
  private func rewrite(
    _ project: BackupProject, _ id: String, as other: String? = nil,
    _ change: (String) -> String
  ) throws {
    let file = project.folder.appending(path: "backups/\(id)/manifest.json")
    let text = try String(contentsOf: file, encoding: .utf8)
    let end = try #require(text.range(of: ",\n  \"checksum\"")?.lowerBound)
    let body = change(String(text[..<end]))
    let sum = try ChildProcess("/usr/bin/sha256sum", [], stdin: body).wait().stdout.prefix(64)
    let sealed = body + ",\n  \"checksum\": \"sha256:\(sum)\"\n}\n"
    try sealed.write(to: file, atomically: true, encoding: .utf8)
    if let other {
      try FileManager.default.moveItem(
        at: project.folder.appending(path: "backups/\(id)"),
        to: project.folder.appending(path: "backups/\(other)"))
    }
  }

  private func state(_ project: BackupProject) throws -> [String] {
    let names = try project.collections().sorted()
    return try names + names.map { "\(try project.count($0))" }
  }

  @Test("a backup of a newer version is refused by name, listed, never pruned, and hides no other")
  func newer() throws {
    try BackupProject.run { project in
      let old = try project.backup()
      let id = try project.backup()
      try rewrite(project, id) {
        $0.replacingOccurrences(of: "\"version\": 1,", with: "\"version\": 99,")
      }
      try project.server.withDatabase { try $0.drop("users") }
      let before = try state(project)
      for words in [["restore", id, "--yes"], ["restore", "--latest", "--yes"]] {
        let refused = try MartletBinary.run(words, directory: project.folder.path)
        #expect(refused.exitCode == 64, "\(refused.stderr)")
        #expect(refused.stderr.contains("version 99"))
        #expect(refused.stderr.contains("HINT:"))
      }
      let verify = try project.martlet("backup", "verify", id)
      #expect(verify.exitCode == 64)
      #expect(verify.stderr.contains("version 99"))
      #expect(try state(project) == before)

      let sets = try project.json("backup", "list").document["backups"]?.arrayValue ?? []
      #expect(sets.compactMap { $0.documentValue?["state"]?.stringValue } == ["newer", "verified"])
      let prune = try project.martlet("backup", "prune", "--keep-last", "1")
      #expect(prune.exitCode == 0, "\(prune.stderr)")
      #expect(prune.stdout.contains("made by a newer version"))
      #expect(try project.json("backup", "list").document["backups"]?.arrayValue?.count == 2)
      #expect(try project.martlet("restore", old, "--yes").exitCode == 0)
      #expect(try project.count("users") == 2)
    }
  }

  @Test(
    "what a clock that jumped has dated in the future is told, takes no slot, is not the latest")
  func clock() throws {
    try BackupProject.run { project in
      let jumped = try project.backup()
      let year = jumped.prefix(4)
      let future = "2099" + jumped.dropFirst(4)
      try rewrite(project, jumped, as: future) {
        $0.replacingOccurrences(of: jumped, with: future)
          .replacingOccurrences(of: "\"started\": \"\(year)", with: "\"started\": \"2099")
          .replacingOccurrences(of: "\"finished\": \"\(year)", with: "\"finished\": \"2099")
      }
      try project.server.withDatabase { _ = try $0.insert("users", [["_id": 3]]) }
      let now = try project.backup()
      let list = try project.martlet("backup", "list")
      #expect(list.exitCode == 0)
      #expect(list.stdout.contains("in the future"))
      let plan = try project.json("restore", "--latest", "--dry-run")
      #expect(plan.document["backup"]?.stringValue == now)
      let prune = try project.martlet("backup", "prune", "--keep-last", "1")
      #expect(prune.exitCode == 0)
      #expect(prune.stdout.contains("its date is in the future"))
      let left = try project.json("backup", "list").document["backups"]?.arrayValue ?? []
      #expect(left.compactMap { $0.documentValue?["id"]?.stringValue } == [future, now])
    }
  }

  @Test("a store that disappears during a backup is an error, and no backup")
  func disappearing() throws {
    try BackupProject.run { project in
      let id = try project.backup()
      // A file in its place is what root, too, cannot write into.
      for hook in [
        "mv backups away && touch backups", "mv backups away",
        "mv backups away && mkdir backups",
      ] {
        try project.configure(
          """
            commands:
              - { name: first, dump: "sh -c '\(hook); echo a'" }
              - { name: second, dump: "echo b" }
          """)
        let failed = try project.martlet("backup", "run")
        #expect(failed.exitCode == 1, "\(hook): \(failed.stderr)")
        #expect(failed.stderr.contains("backups"))
        #expect(failed.stderr.contains("HINT:"), "\(failed.stderr)")
        let folder = project.folder.path
        _ = try ChildProcess("/bin/rm", ["-rf", folder + "/backups"]).wait()
        try FileManager.default.moveItem(atPath: folder + "/away", toPath: folder + "/backups")
        let list = try project.json("backup", "list")
        let sets = list.document["backups"]?.arrayValue ?? []
        #expect(sets.compactMap { $0.documentValue?["id"]?.stringValue } == [id])
      }
      // The next run takes the dead ones' locks and folders away.
      try project.configure("")
      let next = try project.backup()
      let names = try FileManager.default.contentsOfDirectory(atPath: project.store)
      #expect(Set(names).subtracting(["locks", "identity"]) == [id, next])
    }
  }

  @Test("no moment before the first slice or after the last is restored; what can be is told")
  func windows() throws {
    try BackupProject.run { project in
      let early = try project.server.pool.withClient {
        try #require(try $0.hello().lastWriteTime)
      }
      _ = try project.server.withDatabase { try $0.insert("users", [["_id": 3]]) }
      _ = try project.backup()
      try project.capture()
      try project.server.withDatabase { _ = try $0.insert("users", [["_id": 4]]) }
      let late = try project.server.pool.withClient {
        try #require(try $0.hello().lastWriteTime)
      }
      let before = try state(project)
      for (time, more) in [(early, [String]()), (late, []), (late, ["--dry-run"])] {
        let refused = try MartletBinary.run(
          ["restore", "--to-time", "\(time.seconds):\(time.increment)", "--yes"] + more,
          directory: project.folder.path)
        #expect(refused.exitCode == 1, "\(refused.stderr)")
        #expect(refused.stderr.contains("cannot be reached"))
        #expect(refused.stderr.contains("what can be: "))
      }
      #expect(try state(project) == before)
      #expect(try project.json("backup", "list").document["backups"]?.arrayValue?.count == 1)
    }
  }

  @Test("another replica set's chain is not gone on with, and an older server is not restored to")
  func otherServer() throws {
    let older = try PrivateServer()
    try BackupProject.run { project in
      let id = try project.backup()
      try project.capture()
      func slices() throws -> [String] {
        let all = try FileManager.default.subpathsOfDirectory(atPath: project.store + "/oplog")
        return all.sorted()
      }
      let held = try slices()
      let capture = try project.martlet("oplog", "run", "--uri", older.uri)
      #expect(capture.exitCode == 1, "\(capture.stderr)")
      #expect(capture.stderr.contains("another replica set"))
      #expect(capture.stderr.contains("--new-chain"))
      #expect(try slices() == held)

      try rewrite(project, id) {
        $0.replacingOccurrences(of: "\"version\": \"6.0.5\"", with: "\"version\": \"7.0.5\"")
      }
      try TestServer.run(uri: older.uri) { there in
        let empty = try there.pool.withClient {
          try $0.run(["listDatabases": 1, "nameOnly": true], on: "admin")["databases"]
        }
        for more in [["--yes"], ["--yes", "--in-place"]] {
          let refused = try MartletBinary.run(
            ["restore", "--latest", "--uri", older.uri] + more, directory: project.folder.path)
          #expect(refused.exitCode == 10, "\(refused.stderr)")
          #expect(refused.stderr.contains("7.0.5"))
          #expect(refused.stderr.contains("HINT:"))
        }
        let plan = try project.json("restore", "--latest", "--dry-run", "--uri", older.uri)
        #expect(plan.exitCode == 10)
        let after = try there.pool.withClient {
          try $0.run(["listDatabases": 1, "nameOnly": true], on: "admin")["databases"]
        }
        #expect(after == empty)
      }
    }
  }
}
