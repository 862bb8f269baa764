import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite struct BackupCommandTests {
  @Test("a backup is made, listed, shown, verified, copied and drilled")
  func everything() throws {
    try BackupProject.run { project in
      let id = try project.backup("--tag", "first")
      let list = try project.json("backup", "list")
      #expect(list.exitCode == 0)
      let first = list.document["backups"]?.arrayValue?.first?.documentValue
      #expect(first?["id"]?.stringValue == id)
      #expect(first?["tags"]?.arrayValue == ["first"])
      #expect(first?["consistency"] == "snapshot")
      #expect(list.document["windows"]?.arrayValue?.count == 1)
      #expect(try project.martlet("backup", "list").stdout.contains("can be recovered to"))

      let show = try project.json("backup", "show", id)
      let manifest = show.document["manifest"]?.documentValue
      #expect(manifest?["collections"]?.arrayValue?.isEmpty == false)
      #expect(try project.martlet("backup", "show", "2099").exitCode == 1)

      let verify = try project.json("backup", "verify", "--depth", "documents")
      #expect(verify.exitCode == 0)
      #expect(verify.document["good"] == true)

      let copy = try project.json("backup", "copy", id, "elsewhere")
      #expect(copy.exitCode == 0)
      let there = try project.json("backup", "verify", "--latest", "--store", "elsewhere")
      #expect(there.exitCode == 0)
    }
  }

  @Test("a drill restores, checks the rules, prints the time; a broken rule is exit 4")
  func drill() throws {
    let mongod = try TestServer.environment("MARTLET_MONGOD")
    try BackupProject.run { project in
      let id = try project.backup()
      try project.write(
        "validation/rules.yaml",
        "version: 1\ncollections:\n  - { name: orders, minimum: 100 }\n")
      let good = try project.json(
        "backup", "drill", id, environment: ["MARTLET_MONGOD": mongod])
      #expect(good.exitCode == 0, "\(good.document)")
      #expect((good.document["checks"]?.integerValue ?? 0) > 0)
      #expect((good.document["recoveryMs"]?.integerValue ?? 0) > 0)
      try project.write(
        "validation/rules.yaml",
        "version: 1\ncollections:\n  - { name: orders, minimum: 101 }\n")
      let bad = try project.json(
        "backup", "drill", id, environment: ["MARTLET_MONGOD": mongod])
      #expect(bad.exitCode == 4)
      #expect(bad.document["findings"]?.arrayValue?.count == 1)
      let none = try project.martlet(
        "backup", "drill", id, environment: ["MARTLET_MONGOD": "/no/such/mongod"])
      #expect(none.exitCode == 10)
      #expect(none.stderr.contains("MARTLET_MONGOD"))
    }
  }

  @Test("prune says why it keeps what it keeps, and never removes the newest good one")
  func prune() throws {
    try BackupProject.run { project in
      let old = try project.backup()
      let new = try project.backup()
      let none = try project.martlet("backup", "prune")
      #expect(none.exitCode == 64)
      let dry = try project.json("backup", "prune", "--keep-last", "1", "--dry-run")
      #expect(dry.exitCode == 0)
      #expect(try project.json("backup", "list").document["backups"]?.arrayValue?.count == 2)
      #expect(try project.martlet("backup", "prune", "--keep-last", "1").exitCode == 0)
      let left = try project.json("backup", "list").document["backups"]?.arrayValue
      #expect(left?.first?.documentValue?["id"]?.stringValue == new)
      #expect(left?.count == 1)
      #expect(try project.martlet("backup", "show", old).exitCode == 1)
    }
  }

  @Test("damage is exit 20 and names the file; a restore of it changes nothing")
  func damage() throws {
    try BackupProject.run { project in
      let id = try project.backup()
      let file = project.folder.appending(path: "backups/\(id)/data.archive.gz")
      var bytes = try Data(contentsOf: file)
      bytes[bytes.count / 2] ^= 1
      try bytes.write(to: file)
      let verify = try project.martlet("backup", "verify", id)
      #expect(verify.exitCode == 20)
      #expect(verify.stderr.contains("data.archive.gz"))
      try project.server.withDatabase { try $0.drop("users") }
      let restore = try project.martlet("restore", id, "--yes")
      #expect(restore.exitCode == 20)
      #expect(try !project.collections().contains("users"))
      // Now it is known: none is left, and a new backup would be one of what is broken.
      for words in [["restore", "--latest", "--yes"], ["backup", "drill"]] {
        let none = try MartletBinary.run(words, directory: project.folder.path)
        #expect(none.exitCode == 20, "\(none.stderr)")
        #expect(none.stderr.contains("damaged") && !none.stderr.contains("backup run"))
      }

      let manifest = project.folder.appending(path: "backups/\(id)/manifest.json")
      try Data("{}".utf8).write(to: manifest)
      #expect(try project.martlet("backup", "verify", id, "--depth", "manifest").exitCode == 20)
    }
  }

  @Test("a store that another run holds is exit 11; no server is exit 10; no rclone is exit 1")
  func refusals() throws {
    try BackupProject.run { project in
      let gone = try project.martlet(
        "backup", "run", "--uri", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300")
      #expect(gone.exitCode == 10)
      let listed = try project.json("backup", "list")
      #expect(listed.document["backups"]?.arrayValue?.isEmpty == true)
      let rclone = try project.martlet(
        "backup", "list", "--store", "rclone:no-such-remote:x",
        environment: ["PATH": "/nowhere"])
      #expect(rclone.exitCode == 1)
      #expect(rclone.stderr.contains("HINT:"))
      #expect(try project.martlet("backup", "run", "--level", "11").exitCode == 64)
      #expect(try project.martlet("restore").exitCode == 64)
      #expect(try project.martlet("restore", "--latest", "--rename", "a").exitCode == 64)
      #expect(try project.martlet("restore", "--latest", "--yes").exitCode == 1)
    }
  }

  @Test("an encrypted backup is refused without its key, with the wrong one, and restored with it")
  func keys() throws {
    try BackupProject.run { project in
      func key(_ name: String) throws -> String {
        let made = try ChildProcess(
          "/usr/bin/env", ["age-keygen", "-o", name], directory: project.folder.path
        ).wait()
        #expect(made.exitCode == 0)
        return try #require(
          made.stderr.split(whereSeparator: \.isWhitespace).last.map(String.init))
      }
      let recipient = try key("key.txt")
      _ = try key("wrong.txt")
      try project.configure("  encrypt: { recipients: [\(recipient)] }")
      let id = try project.backup()
      for arguments in [[], ["--identity", "wrong.txt"]] {
        let refused = try MartletBinary.run(
          ["restore", id, "--yes"] + arguments, directory: project.folder.path)
        #expect(refused.exitCode == 12)
        #expect(refused.stderr.contains("HINT:"))
      }
      try project.server.withDatabase { try $0.drop("users") }
      let restored = try project.martlet("restore", id, "--yes", "--identity", "key.txt")
      #expect(restored.exitCode == 0, "\(restored.stderr)")
      #expect(try project.count("users") == 2)
      // The real age opens it, and `load` reads what comes out, as mongorestore does.
      let plain = try ChildProcess(
        "/bin/sh",
        ["-c", "age -d -i key.txt backups/\(id)/data.archive.gz.age > plain.archive.gz"],
        directory: project.folder.path
      ).wait()
      #expect(plain.exitCode == 0, "\(plain.stderr)")
      try project.server.withDatabase { try $0.drop("users") }
      let loaded = try project.martlet(
        "load", "--gzip", "--archive=plain.archive.gz", "--nsInclude", "\(project.name).users")
      #expect(loaded.exitCode == 0, "\(loaded.stderr)")
      #expect(try project.count("users") == 2)
    }
  }
}
