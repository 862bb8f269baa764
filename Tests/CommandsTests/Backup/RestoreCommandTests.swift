import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite struct RestoreCommandTests {
  @Test("a dry run says what would be replaced and changes nothing; a restore needs a yes")
  func dryRun() throws {
    try BackupProject.run { project in
      let id = try project.backup()
      try project.server.withDatabase { database in
        _ = try database.delete("orders", [["q": ["n": ["$gte": 10]], "limit": 0]])
      }
      let plan = try project.json("restore", "--latest", "--dry-run")
      #expect(plan.exitCode == 0)
      #expect(plan.document["backup"]?.stringValue == id)
      let orders = plan.document["items"]?.arrayValue?.compactMap(\.documentValue).first {
        $0["source"]?.stringValue == project.name + ".orders"
      }
      #expect(orders?["documents"]?.integerValue == 100)
      #expect(orders?["liveDocuments"]?.integerValue == 10)
      #expect(plan.document["warnings"]?.arrayValue?.isEmpty == false)
      #expect(try project.count("orders") == 10)
      #expect(try project.martlet("restore", "--latest").exitCode == 64)
      #expect(try project.count("orders") == 10)

      let done = try project.json(
        "restore", "--latest", "--yes", "--only", "\(project.name).orders")
      #expect(done.exitCode == 0)
      #expect(done.document["restored"]?.arrayValue?.count == 1)
      #expect(done.document["safetyBackup"]?.stringValue != nil)
      #expect(try project.count("orders") == 100)
    }
  }

  @Test("the latest of a database is not that of another, and nothing else is rolled back")
  func ofOneDatabase() throws {
    try BackupProject.run { project in
      let other = project.name + "_b"
      defer {
        try? project.server.pool.withClient { _ = try $0.run(["dropDatabase": 1], on: other) }
      }
      func bills() throws -> Int64 {
        try project.server.pool.withClient { try $0.database(other).count("bills") }
      }
      try project.server.pool.withClient { client in
        _ = try client.database(other).insert("bills", [["_id": 1]])
      }
      let id = try project.backup("--db", project.name)
      _ = try project.backup("--db", other)
      try project.server.pool.withClient { client in
        _ = try client.database(other).insert("bills", [["_id": 2]])
        try client.database(project.name).drop("orders")
      }
      let plan = try project.json("restore", "--latest", "--db", project.name, "--dry-run")
      #expect(plan.document["backup"]?.stringValue == id)
      let done = try project.martlet("restore", "--latest", "--db", project.name, "--yes")
      #expect(done.exitCode == 0, "\(done.stderr)")
      #expect(try project.count("orders") == 100)
      #expect(try bills() == 2)
      // The project's own database decides when none is named.
      let own = try project.json("restore", "--latest", "--dry-run")
      #expect(own.document["backup"]?.stringValue == id)
      let none = try project.martlet("restore", "--latest", "--db", "nowhere", "--yes")
      #expect(none.exitCode == 1)
      #expect(none.stderr.contains("of nowhere"))
    }
  }

  @Test(
    "lock and history of a ledger with another name are not replaced", arguments: [false, true])
  func renamedLedger(_ inPlace: Bool) throws {
    try BackupProject.run { project in
      try project.configure("migrations: { collection: schema }")
      try project.server.withDatabase { database in
        for name in ["schema", "schema.lock", "schema.history", "migrations.lock"] {
          _ = try database.insert(name, [["_id": 1, "state": "before"]])
        }
      }
      _ = try project.backup()
      try project.server.withDatabase { database in
        for name in ["schema", "schema.lock", "schema.history", "migrations.lock"] {
          _ = try database.update(name, [["q": ["_id": 1], "u": ["$set": ["state": "now"]]]])
        }
      }
      let done =
        inPlace
        ? try project.martlet("restore", "--latest", "--yes", "--in-place")
        : try project.martlet("restore", "--latest", "--yes")
      #expect(done.exitCode == 0, "\(done.stderr)")
      let states = try project.server.withDatabase { database in
        try ["schema", "schema.lock", "schema.history", "migrations.lock"].map {
          try database.findOne($0)?["state"]?.stringValue
        }
      }
      // What is called migrations.lock is the application's then.
      #expect(states == ["before", "now", "now", "before"])
    }
  }

  @Test("a bad deploy is undone to a moment, to an entry, and to just before a migration")
  func moments() throws {
    try BackupProject.run { project in
      try project.write(
        "migrations/001_empty.yaml",
        "up:\n  - delete: users\n    deletes: [ { q: {}, limit: 0 } ]\n")
      _ = try project.backup()
      try project.capture()
      let mark = try project.server.pool.withClient { client in
        let mark = try #require(try client.hello().lastWriteTime)
        _ = try client.database(project.name).insert("orders", [["_id": 1000, "n": 1000]])
        return mark
      }
      let up = try project.martlet("migrate", "up", "--yes")
      #expect(up.exitCode == 0, "\(up.stderr)")
      #expect(try project.count("users") == 0)
      // What destroys is backed up first, and the ledger names the backup.
      let entry = try project.server.withDatabase { try $0.findOne("migrations") }
      let named = try #require(entry?["backup"]?.stringValue)
      #expect(entry?["oplog_mark"]?.timestampValue != nil)
      let sets = try project.json("backup", "list").document["backups"]?.arrayValue ?? []
      #expect(sets.first?.documentValue?["id"]?.stringValue == named)
      #expect(sets.first?.documentValue?["tags"]?.arrayValue == ["migration"])

      let early = try project.martlet("restore", "--to-time", "2001-01-01T00:00:00Z", "--yes")
      #expect(early.exitCode == 1)
      #expect(early.stderr.contains("what can be: "))
      try project.capture()
      let status = try project.json("oplog", "status")
      #expect(status.exitCode == 0)
      #expect(status.document["windows"]?.arrayValue?.isEmpty == false)
      let late = try project.martlet("restore", "--to-time", "2099-01-01T00:00:00Z", "--yes")
      #expect(late.exitCode == 1)

      let before = try project.json("restore", "--before-migration", "001_empty", "--yes")
      #expect(before.exitCode == 0, "\(before.document)")
      #expect(try project.count("users") == 2)
      #expect(try project.count("orders") == 101)
      try project.server.withDatabase { _ = try $0.delete("orders", [["q": [:], "limit": 0]]) }
      let back = try project.martlet(
        "restore", "--to-time", "\(mark.seconds):\(mark.increment)", "--only",
        "\(project.name).orders", "--rename", "\(project.name).orders=\(project.name).orders_old",
        "--yes")
      #expect(back.exitCode == 0, "\(back.stderr)")
      #expect(try project.count("orders_old") == 100)
      #expect(try project.count("orders") == 0)
      let unknown = try project.martlet("restore", "--before-migration", "009_none", "--yes")
      #expect(unknown.exitCode == 1)
    }
  }

  /// A backup with a file, a stream that is given back into a file, and one that is not.
  private func backUpParts(_ project: BackupProject) throws {
    try project.write("config/app.ini", "a = 1\n")
    try project.configure(
      """
        files: [config]
        commands:
          - { name: other, dump: "printf stream", restore: "sh -c 'cat > given-back'" }
          - { name: oneway, dump: "printf stream" }
      """)
    let made = try project.martlet("backup", "run")
    #expect(made.exitCode == 0, "\(made.stderr)")
  }

  @Test("files and streams are given back on request")
  func parts() throws {
    try BackupProject.run { project in
      try backUpParts(project)
      #expect(try project.martlet("restore", "--latest", "--files", "out").exitCode == 0)
      let file = project.folder.appending(path: "out/config/app.ini")
      #expect(try String(contentsOf: file, encoding: .utf8) == "a = 1\n")
      let stream = try project.martlet("restore", "--latest", "--commands", "other")
      #expect(stream.exitCode == 0, "\(stream.stderr)")
      let given = project.folder.appending(path: "given-back")
      #expect(try String(contentsOf: given, encoding: .utf8) == "stream")
      #expect(try project.martlet("restore", "--latest", "--commands", "none").exitCode == 64)
    }
  }

  @Test("a dry run of files and streams runs nothing, and neither does half of a wrong request")
  func partsThatAreNotRun() throws {
    try BackupProject.run { project in
      try backUpParts(project)
      let both = ["restore", "--latest", "--files", "out", "--commands", "other"]
      let dry = try MartletBinary.run(both + ["--dry-run"], directory: project.folder.path)
      #expect(dry.exitCode == 0, "\(dry.stderr)")
      #expect(dry.stdout.contains("other of ") && dry.stdout.contains("cat > given-back"))
      for more in [
        ["--commands", "none"], ["--commands", "oneway"], ["--to-time", "2026-01-28 10:00:00"],
        ["--before-migration", "x"], ["--only", "a.b"], ["--rename", "a.b=a.c"],
      ] {
        let refused = try MartletBinary.run(both + more, directory: project.folder.path)
        #expect(refused.exitCode == 64, "\(more) \(refused.stderr)")
      }
      for name in ["given-back", "out"] {
        #expect(!FileManager.default.fileExists(atPath: project.folder.path + "/" + name))
      }
    }
  }

  @Test("a backup of the whole server says that other databases go back too, and --db leaves them")
  func wholeServer() throws {
    let set = try PrivateServer()
    try TestServer.run(uri: set.uri) { server in
      let folder = FileManager.default.temporaryDirectory.appending(
        path: "martlet-tests-\(server.databaseName)")
      defer { try? FileManager.default.removeItem(at: folder) }
      let project = BackupProject(server: server, folder: folder)
      try project.write("note", "the folder is there")
      try server.withDatabase { _ = try $0.insert("users", [["_id": 1]]) }
      try server.pool.withClient { _ = try $0.database("bills").insert("a", [["_id": 1]]) }
      let made = try MartletBinary.run(
        ["backup", "run", "--uri", set.uri, "--store", project.store],
        directory: folder.path)
      #expect(made.exitCode == 0, "\(made.stderr)")
      // From now on the folder is about one database.
      try project.configure("")
      try server.pool.withClient { _ = try $0.database("bills").insert("a", [["_id": 2]]) }
      func bills() throws -> Int64 {
        try server.pool.withClient { try $0.database("bills").count("a") }
      }
      let dry = try project.martlet("restore", "--latest", "--dry-run")
      #expect(dry.stderr.contains("bills go back too; --db \(project.name)"), "\(dry.stderr)")
      let own = try project.martlet("restore", "--latest", "--yes", "--db", project.name)
      #expect(own.exitCode == 0 && !own.stderr.contains("go back too"), "\(own.stderr)")
      #expect(try bills() == 2)
      let all = try project.martlet("restore", "--latest", "--yes")
      #expect(all.exitCode == 0 && all.stderr.contains("bills go back too"), "\(all.stderr)")
      #expect(try bills() == 1)
    }
  }

  @Test("hundreds of names do not flood the screen; JSON has them all")
  func manyNames() throws {
    try BackupProject.run { project in
      try project.server.withDatabase { database in
        for number in 0..<15 {
          _ = try database.run(
            ["create": .string("view\(number)"), "viewOn": "users", "pipeline": []])
        }
      }
      let id = try project.backup()
      let text = try project.martlet("restore", id, "--yes")
      #expect(text.exitCode == 0, "\(text.stderr)")
      let lines = text.stdout.split(separator: "\n").filter { $0.contains("not compared") }
      #expect(lines.count == 11)
      #expect(lines.last?.contains("5 more") == true)
      let json = try project.json("restore", id, "--yes").document
      #expect(json["compared"]?.documentValue?["not"]?.arrayValue?.count == 15)
    }
  }

  @Test("a name that nothing has, or that is the server's own, ends a restore before it begins")
  func slips() throws {
    try BackupProject.run { project in
      try project.server.withDatabase {
        _ = try $0.insert("system.js", [["_id": "f", "value": 1]])
      }
      let id = try project.backup()
      let name = project.name
      // A stored function goes along to another database.
      let moved = try project.martlet("restore", id, "--yes", "--rename", "\(name).*=\(name)_b.*")
      #expect(moved.exitCode == 0, "\(moved.stderr)")
      try project.server.pool.withClient { client in
        #expect(try client.database(name + "_b").count("system.js") == 1)
        _ = try client.run(["dropDatabase": 1], on: name + "_b")
      }
      try project.server.withDatabase { _ = try $0.insert("users", [["_id": 3]]) }
      for words in [
        ["--rename", "\(name).oders=\(name).orders_old"], ["--rename", "nosuch.*=other.*"],
        ["--only", "\(name).users", "--only", "\(name).oders"],
        ["--rename", "\(name).users=admin.system.users"],
        ["--rename", "\(name).users=\(name).system.profile"],
        ["--rename", "\(name).*=local.*"],
        ["--only", "\(name).users", "--rename", "\(name).orders=\(name).old"],
      ] {
        let refused = try MartletBinary.run(
          ["restore", id, "--yes"] + words, directory: project.folder.path)
        #expect(refused.exitCode == 64, "\(words) \(refused.stderr)")
        #expect(refused.stderr.contains("HINT:"), "\(refused.stderr)")
      }
      let bare = try project.martlet("restore", id, "--yes", "--only", name)
      #expect(bare.exitCode == 64)
      #expect(bare.stderr.contains("\(name).*"), "\(bare.stderr)")
      #expect(try project.count("users") == 3)
      #expect(try project.collections() == ["users", "orders", "system.js"])
    }
  }
}

@Suite struct MigrationBackupTests {
  @Test("what only adds is not backed up outside production; production is, and --no-backup is not")
  func due() throws {
    try BackupProject.run { project in
      try project.write("migrations/001_a.yaml", "up:\n  - create: a\n")
      #expect(try project.martlet("migrate", "up", "--yes").exitCode == 0)
      #expect(try ledger(project, "001_a")?.has("backup") == false)
      try project.configure("environment: production")
      try project.write("migrations/002_b.yaml", "up:\n  - create: b\n")
      #expect(try project.martlet("migrate", "up", "--yes").exitCode == 0)
      #expect(try ledger(project, "002_b")?["backup"]?.stringValue?.isEmpty == false)
      try project.write("migrations/003_c.yaml", "up:\n  - create: c\n")
      #expect(try project.martlet("migrate", "up", "--yes", "--no-backup").exitCode == 0)
      #expect(try ledger(project, "003_c")?.has("backup") == false)
    }
  }

  @Test("when the backup fails nothing is migrated")
  func failing() throws {
    try BackupProject.run { project in
      try project.write("migrations/001_a.yaml", "up:\n  - create: a\n")
      try project.write("full", "not a folder")
      try project.configure("migrations: { backup: always }")
      let refused = try project.martlet("migrate", "up", "--yes", "--store", "full")
      #expect(refused.exitCode != 0)
      #expect(try !project.collections().contains("a"))
      #expect(try ledger(project, "001_a") == nil)
    }
  }

  private func ledger(_ project: BackupProject, _ name: String) throws -> Document? {
    try project.server.withDatabase {
      try $0.findOne("migrations", filter: ["name": .string(name)])
    }
  }
}
