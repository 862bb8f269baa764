import BSON
import Foundation
import Glibc
import MongoDB
import TestSupport
import Testing

/// What goes wrong in use: each a clear error with its exit code, and nothing changed.
@Suite struct BackupUseTests {
  private func files(_ folder: String) -> [String] {
    ((try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []).sorted()
  }

  /// What the store has besides locks and its identity.
  private func sets(_ project: BackupProject) -> [String] {
    files(project.store).filter { !$0.hasPrefix("locks") && !$0.hasPrefix("identity") }
  }

  @Test("a database that is not there, or has no possible name, gives no empty backup")
  func missingDatabase() throws {
    try BackupProject.run { project in
      let missing = try project.martlet("backup", "run", "--db", project.name + "x")
      #expect(missing.exitCode == 1, "\(missing.stderr)")
      #expect(missing.stderr.contains("there is no database"))
      #expect(missing.stderr.contains("HINT:"))
      for name in ["", "a/b", "a b"] {
        #expect(try project.martlet("backup", "run", "--db", name).exitCode == 64)
      }
      #expect(sets(project).isEmpty)
      let nothing = try project.martlet("backup", "verify")
      #expect(nothing.exitCode == 1)
      #expect(nothing.stderr.contains("mounted"))
    }
  }

  @Test(
    "a command that fails, is killed, writes nothing or is missing fails the set and leaves nothing",
    arguments: [
      ("sh -c 'echo some; echo it was $PGPASSWORD >&2; exit 3'", "exit code 3: it was ***"),
      ("sh -c 'echo some; kill -9 $$'", "signal 9"), ("true", "wrote nothing"),
      ("/no/such/program", "is not there"),
      ("sh -c 'head -c 50000000 /dev/zero >&2; exit 1'", "exit code 1"),
    ])
  func commands(dump: String, words: String) throws {
    try BackupProject.run { project in
      try project.configure(
        """
          commands:
            - name: other
              dump: >-
                \(dump)
        """)
      let failed = try project.martlet(
        "backup", "run", "--log-file", "logs/backup.log", environment: ["PGPASSWORD": "geheim99"])
      #expect(failed.exitCode == 1, "\(failed.stderr)")
      #expect(failed.stderr.contains(words), "\(failed.stderr)")
      #expect(failed.stderr.contains("HINT:"))
      #expect(failed.stderr.utf8.count < 2000)
      let log = try String(
        contentsOf: project.folder.appending(path: "logs/backup.log"), encoding: .utf8)
      #expect(!log.contains("geheim99"))
      #expect(sets(project).isEmpty)
    }
  }

  @Test("a command that hangs ends with the run, and the store is free again")
  func hanging() throws {
    try BackupProject.run { project in
      try project.configure(
        "  commands: [ { name: other, dump: \"sh -c 'touch begun; sleep 600; true'\" } ]")
      let child = try MartletBinary.start(["backup", "run"], directory: project.folder.path)
      try Patience.wait(forFile: project.folder.appending(path: "begun").path, of: child)
      child.kill(SIGTERM)
      #expect(child.wait().exitCode == 75)
      #expect(sets(project).isEmpty)
      try project.configure("")
      _ = try project.backup()
    }
  }

  @Test("a wrong key, or none, starts no restore command and unpacks nothing")
  func wrongKey() throws {
    try BackupProject.run { project in
      let folder = project.folder.path
      for key in ["right", "wrong"] {
        #expect(
          try ChildProcess("/usr/bin/age-keygen", ["-o", "\(folder)/\(key)"]).wait().exitCode == 0)
      }
      let recipient = try ChildProcess("/usr/bin/age-keygen", ["-y", "\(folder)/right"]).wait()
        .stdout.filter { !$0.isWhitespace }
      try project.configure(
        """
          encrypt: { recipients: [\(recipient)] }
          files: [precious]
          commands: [ { name: redis, dump: "echo new", restore: "sh -c 'cat > precious'" } ]
        """)
      try project.write("precious", "old")
      #expect(try project.martlet("backup", "run").exitCode == 0)
      func precious() throws -> String {
        try String(contentsOf: project.folder.appending(path: "precious"), encoding: .utf8)
      }
      for key in ["\(folder)/wrong", "/no/such/key", ""] {
        for part in [["--commands", "redis"], ["--files", "out"], ["--yes"]] {
          let refused = try MartletBinary.run(
            ["restore", "--latest"] + part, environment: ["MARTLET_AGE_IDENTITY": key],
            directory: folder)
          #expect(refused.exitCode == 12, "\(refused.stderr)")
        }
      }
      #expect(try precious() == "old")
      #expect(files(folder + "/out").isEmpty)
      let given = try project.martlet(
        "restore", "--latest", "--commands", "redis",
        environment: ["MARTLET_AGE_IDENTITY": folder + "/right"])
      #expect(given.exitCode == 0, "\(given.stderr)")
      #expect(try precious() == "new\n")
    }
  }

  @Test(
    "a file that is no key says nothing about the backup; an altered header is damage all the same")
  func noKey() throws {
    try BackupProject.run { project in
      let folder = project.folder.path
      #expect(
        try ChildProcess("/usr/bin/age-keygen", ["-o", "\(folder)/right"]).wait().exitCode == 0)
      let recipient = try ChildProcess("/usr/bin/age-keygen", ["-y", "\(folder)/right"]).wait()
        .stdout.filter { !$0.isWhitespace }
      try project.configure("  encrypt: { recipients: [\(recipient)] }")
      let id = try project.backup()
      try project.write("empty", "")
      let cut = try String(contentsOfFile: folder + "/right", encoding: .utf8).dropLast(20)
      try project.write("cut", String(cut))
      for file in ["martlet.yaml", "empty", "cut", "."] {
        for words in [["backup", "verify", "--depth", "documents"], ["restore", id, "--yes"]] {
          let refused = try MartletBinary.run(
            words + ["--identity", file], directory: folder)
          #expect(refused.exitCode == 12, "\(file) \(refused.stderr)")
          #expect(refused.stderr.contains("the key file cannot be used"), "\(refused.stderr)")
        }
      }
      let listed = try project.json("backup", "list").document
      let first = listed["backups"]?.arrayValue?.first?.documentValue
      #expect(first?["state"]?.stringValue == "verified")

      // The line of the recipient: age only sees that no key fits.
      let path = "\(project.store)/\(id)/data.archive.gz.age"
      var bytes = try [UInt8](Data(contentsOf: URL(filePath: path)))
      bytes[40] ^= 1
      try Data(bytes).write(to: URL(filePath: path))
      let damaged = try project.martlet(
        "backup", "verify", "--depth", "documents", "--identity", "right")
      #expect(damaged.exitCode == 20, "\(damaged.stderr)")
    }
  }

  @Test("slices of no time, and databases that cannot be, are refused before anything is captured")
  func oddCaptures() throws {
    try BackupProject.run { project in
      for words in [
        ["--slice", "0s"], ["--slice", "500ms"], ["--only-db", "a.b"], ["--only-db", ""],
      ] {
        let refused = try MartletBinary.run(
          ["oplog", "run"] + words, directory: project.folder.path)
        #expect(refused.exitCode == 64, "\(words) \(refused.stderr)")
      }
      #expect(!FileManager.default.fileExists(atPath: project.store + "/oplog"))
    }
  }

  @Test("kill -INT stops what a script has started in the background")
  func backgroundInterrupt() throws {
    try BackupProject.run { project in
      try project.configure(
        "  commands: [ { name: other, dump: \"sh -c 'touch begun; sleep 600; true'\" } ]")
      let binary = try TestServer.environment("MARTLET_BINARY")
      // As a shell does without job control.
      let child = try ChildProcess(
        "/bin/sh", ["-c", "trap '' INT; exec \(binary) backup run"],
        directory: project.folder.path)
      try Patience.wait(forFile: project.folder.appending(path: "begun").path, of: child)
      child.kill(SIGINT)
      #expect(child.wait().exitCode == 130)
    }
  }

  @Test("an archive of files that was made to break out stays in its folder")
  func hostileFiles() throws {
    try BackupProject.run { project in
      let python = try TestServer.environment("MARTLET_TEST_PYTHON")
      try project.write("config/a", "a")
      try project.write("precious", "old")
      // tar is told to store what this makes of its names.
      try project.write(
        "hostile.py",
        """
        import io, sys, tarfile
        t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
        def file(name):
            i = tarfile.TarInfo(name); i.size = 4; t.addfile(i, io.BytesIO(b"evil"))
        def link(name, to, kind=tarfile.SYMTYPE):
            i = tarfile.TarInfo(name); i.type = kind; i.linkname = to; t.addfile(i)
        home = sys.argv[1]
        file("../escaped"); file(home + "/escaped"); file("inside")
        link("link", home); file("link/escaped")
        link("up", ".."); file("up/escaped")
        link("hard", home + "/precious", tarfile.LNKTYPE); file("hard")
        link("soft", home + "/precious"); file("soft")
        t.close()
        """)
      try ChildProcess.writeProgram(
        "#!/bin/sh\nexec \(python) hostile.py '\(project.folder.path)'\n",
        to: project.folder.path + "/bin/tar")
      try project.configure("  files: [config]")
      let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
      let made = try project.martlet(
        "backup", "run", "--kind", "files",
        environment: ["PATH": project.folder.path + "/bin:" + path])
      #expect(made.exitCode == 0, "\(made.stderr)")
      let unpacked = try project.martlet("restore", "--latest", "--files", "out/in")
      #expect(unpacked.exitCode == 1, "\(unpacked.stderr)")
      let escaped = files(project.folder.path).filter {
        $0.hasSuffix("escaped") && !$0.hasPrefix("out/in/")
      }
      #expect(escaped.isEmpty)
      #expect(
        try String(contentsOf: project.folder.appending(path: "precious"), encoding: .utf8) == "old"
      )
    }
  }

  @Test("what another machine's restore has begun is taken over only when somebody says it is dead")
  func takeOver() throws {
    try BackupProject.run { project in
      _ = try project.backup()
      let holder: Document = [
        "format": "martlet-lock/1", "host": "another", "pid": 1, "purpose": "restore",
        "since": "2026-01-28T10:00:00Z", "heartbeat": "2026-01-28T10:00:00Z",
      ]
      let token = "0123456789abcdef"
      try project.server.pool.withClient { client in
        _ = try client.database("martlet_restore").insert(
          "journal",
          [
            [
              "_id": .string(token), "state": "loading", "backup": "x",
              "databases": [.string(project.name)], "holder": .document(holder),
            ]
          ])
      }
      defer {
        try? project.server.pool.withClient { client in
          _ = try client.database("martlet_restore").delete(
            "journal", [["q": ["_id": .string(token)], "limit": 1]])
        }
      }
      let refused = try project.martlet("restore", "--latest", "--yes")
      #expect(refused.exitCode == 11, "\(refused.stderr)")
      #expect(refused.stderr.contains("another"))
      #expect(refused.stderr.contains("--take-over"))
      let taken = try project.martlet("restore", "--latest", "--yes", "--take-over")
      #expect(taken.exitCode == 0, "\(taken.stderr)")
      #expect(taken.stderr.contains("earlier restore"))
    }
  }

  @Test("a damaged, cut or lost slice of the oplog is found by reading the store")
  func slices() throws {
    try BackupProject.run { project in
      _ = try project.backup()
      try project.server.withDatabase { _ = try $0.insert("users", [["_id": 3]]) }
      try project.capture()
      #expect(try project.martlet("backup", "verify", "--depth", "documents").exitCode == 0)
      let data = try #require(files(project.store).first { $0.hasSuffix(".bson.gz") })
      let path = project.store + "/" + data
      let whole = try Data(contentsOf: URL(fileURLWithPath: path))
      var flipped = whole
      flipped[whole.count / 2] ^= 1
      for (bytes, depth) in [
        (flipped as Data?, "checksums"), (flipped, "documents"),
        (whole.prefix(whole.count - 3), "manifest"), (nil, "manifest"),
      ] {
        if let bytes {
          try bytes.write(to: URL(fileURLWithPath: path))
        } else {
          try FileManager.default.removeItem(atPath: path)
        }
        let found = try project.martlet("backup", "verify", "--depth", depth)
        #expect(found.exitCode == 20, "\(depth)")
        #expect(found.stderr.contains(data), "\(found.stderr)")
      }
    }
  }

  @Test("one backup is chosen from a list on a terminal, and a no changes nothing")
  func interactive() throws {
    try BackupProject.run { project in
      let id = try project.backup()
      try project.server.withDatabase { try $0.drop("users") }
      let python = try TestServer.environment("MARTLET_TEST_PYTHON")
      let binary = try TestServer.environment("MARTLET_BINARY")
      let script = """
        import os, pty, sys
        answers = [answer.encode() + b"\\n" for answer in sys.argv[2].split(",")]
        def read(descriptor):
            data = os.read(descriptor, 4096)
            if answers and (b"one? " in data or b"[y/N] " in data): os.write(descriptor, answers.pop(0))
            return data
        status = pty.spawn([sys.argv[1], "restore", "--interactive"], read)
        sys.exit(os.waitstatus_to_exitcode(status))
        """
      func answer(_ answers: String) throws -> ChildProcess.Result {
        try ChildProcess(
          python, ["-c", script, binary, answers], environment: ["NO_COLOR": "1"],
          directory: project.folder.path
        ).wait()
      }
      for answers in ["7", "x", "0", "1,n"] {
        #expect(try answer(answers).exitCode == 75, "\(answers)")
      }
      #expect(try project.collections().contains("users") == false)
      let done = try answer("1,y")
      #expect(done.exitCode == 0, "\(done.stdout)")
      #expect(done.stdout.contains(id))
      #expect(try project.count("users") == 2)
      let nobody = try project.martlet("restore", "--interactive")
      #expect(nobody.exitCode == 64)
    }
  }
}
