import BSON
import Foundation
import Migration
import MongoDB
import TestSupport
import Testing

/// Kills the real binary at every named point and runs it again: each change exactly once.
@Suite struct MigrationKillTests {
  static let files = [
    "001_all.yaml": """
    up:
      - create: roles
      - createIndexes: roles
        indexes: [ { key: { name: 1 }, unique: true } ]
      - insert: roles
        documents: [ { name: admin }, { name: staff } ]
      - update: users
        updates: [ { q: {}, u: { $inc: { n: 1 } }, multi: true } ]
        martlet: { chunk: 100 }
      - createIndexes: users
        indexes: [ { key: { email: 1 } } ]
      - collMod: users
        validator: { email: { $type: string } }
      - drop: old
      - renameCollection: names
        to: labels
    """
  ]

  /// Points of `up`; the numbers are positions of groups, steps and chunks.
  static let upPoints = [
    "ledger.begun", "transaction.before-commit", "group.done:0", "step.intent:3",
    "data.before-commit:1", "data.chunk.committed:1", "data.before-commit:7",
    "data.chunk.committed:12", "step.before-journal:3", "step.done:3", "step.intent:4",
    "step.before-journal:4", "step.done:4", "step.intent:5", "step.before-journal:5",
    "step.intent:6", "keep.before-rename", "keep.renamed", "keep.archived", "keep.noted",
    "step.before-journal:6",
    "step.intent:7", "step.before-journal:7", "step.done:7",
  ]

  static let downPoints = [
    "down.claimed", "undo.before-journal:7", "undo.done:7", "keep.loaded", "undo.before-journal:6",
    "undo.before-journal:5", "undo.before-journal:4", "data.undo.before-commit:1",
    "data.undo.committed:5", "undo.before-journal:3", "undo.done:2", "undo.before-journal:1",
    "keep.renamed", "undo.before-journal:0", "undo.done:0",
  ]

  @Test(arguments: upPoints)
  func `an up that is killed is finished by the next, exactly once`(point: String) throws {
    try withProject { project in
      let killed = try project.martlet(["migrate", "up", "--yes"], crashAt: point)
      #expect(killed.exitCode == 128 + SIGKILL || killed.exitCode == -SIGKILL, "\(killed)")
      try project.expireLease()
      let again = try project.martlet(["migrate", "up", "--yes"])
      #expect(again.exitCode == 0, "\(again.stderr)")
      try project.expectApplied()
      try project.expectArchived()
      let down = try project.martlet(["migrate", "down", "--all", "--yes"])
      #expect(down.exitCode == 0, "\(down.stderr)")
      #expect(try project.picture() == project.before)
    }
  }

  @Test(arguments: downPoints)
  func `a down that is killed is finished by the next`(point: String) throws {
    try withProject { project in
      #expect(try project.martlet(["migrate", "up", "--yes"]).exitCode == 0)
      let killed = try project.martlet(["migrate", "down", "--yes"], crashAt: point)
      #expect(killed.exitCode == 128 + SIGKILL || killed.exitCode == -SIGKILL, "\(killed)")
      try project.expireLease()
      let again = try project.martlet(["migrate", "down", "--yes"])
      #expect(again.exitCode == 0, "\(again.stderr)")
      #expect(try project.picture() == project.before)
    }
  }

  @Test(arguments: [
    "data.intent-written:2", "data.applied:2", "data.recorded:2", "data.chunk.committed:2",
  ])
  func `a standalone has no transactions and still changes each document once`(point: String) throws
  {
    try withProject(on: .standalone) { project in
      let killed = try project.martlet(["migrate", "up", "--yes"], crashAt: point)
      #expect(killed.exitCode != 0)
      try project.expireLease()
      #expect(try project.martlet(["migrate", "up", "--yes"]).exitCode == 0)
      try project.expectApplied()
    }
  }

  @Test(arguments: 0..<4)
  func `steps that need what the killed one left are planned with it`(step: Int) throws {
    try withProject { project in
      let chain = """
        up:
          - { dropIndexes: users, index: email_1 }
          - { renameCollection: labels, to: middle }
          - { renameCollection: middle, to: end }
          - { createIndexes: end, indexes: [ { key: { a: 1 } } ] }
        """
      // Of 001 the first three steps share a transaction, so that these points are those of 002.
      try Data(chain.utf8).write(to: project.folder.appending(path: "002_chain.yaml"))
      let point = step < 3 ? "step.before-journal:\(step)" : "step.done:2"
      let killed = try project.martlet(["migrate", "up", "--yes"], crashAt: point)
      #expect(killed.exitCode == 128 + SIGKILL || killed.exitCode == -SIGKILL, "\(killed)")
      try project.expireLease()
      let again = try project.martlet(["migrate", "up", "--yes"])
      #expect(again.exitCode == 0, "\(again.stderr)")
      let indexes = try project.server.withDatabase { database in
        [
          try database.listIndexes("users").map(\.name),
          try database.listIndexes("end").map(\.name),
        ]
      }
      #expect(indexes == [["_id_"], ["_id_", "a_1"]])
      let down = try project.martlet(["migrate", "down", "--all", "--yes"])
      #expect(down.exitCode == 0, "\(down.stderr)")
      #expect(try project.picture() == project.before)
    }
  }

  @Test func `a step that began is not left out for what it has done itself`() throws {
    try withProject { project in
      let step = "{ renameCollection: labels, to: end, martlet: { unless: { collection: end } } }"
      // Of 001 the first step is in a transaction, so that this point is that of 002.
      try Data("up: [ \(step) ]".utf8).write(to: project.folder.appending(path: "002_end.yaml"))
      let killed = try project.martlet(
        ["migrate", "up", "--yes"], crashAt: "step.before-journal:0")
      #expect(killed.exitCode == 128 + SIGKILL || killed.exitCode == -SIGKILL, "\(killed)")
      try project.expireLease()
      #expect(try project.martlet(["migrate", "up", "--yes"]).exitCode == 0)
      let down = try project.martlet(["migrate", "down", "--all", "--yes"])
      #expect(down.exitCode == 0, "\(down.stderr)")
      #expect(try project.picture() == project.before)
    }
  }

  @Test func `what takes the name of a dropped collection before the next run stays as it is`()
    throws
  {
    try withProject { project in
      let killed = try project.martlet(
        ["migrate", "up", "--yes"], crashAt: "step.before-journal:6")
      #expect(killed.exitCode == 128 + SIGKILL || killed.exitCode == -SIGKILL, "\(killed)")
      try project.expireLease()
      try project.server.withDatabase { _ = try $0.insert("old", [["_id": 99]]) }
      #expect(try project.martlet(["migrate", "up", "--yes"]).exitCode == 0)
      try project.expectArchived()
      #expect(try project.picture()["old"]?.last == ["_id": 99])
      try project.server.withDatabase { try $0.drop("old") }
      #expect(try project.martlet(["migrate", "down", "--all", "--yes"]).exitCode == 0)
      #expect(try project.picture() == project.before)
    }
  }

  // MARK: - A project

  private func withProject(
    on kind: TestServer.Kind = .replicaSet, _ body: (Project) throws -> Void
  ) throws {
    try TestServer.run(kind) { server in
      let folder = FileManager.default.temporaryDirectory.appending(
        path: "k-\(server.databaseName)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      for (name, text) in Self.files { try Data(text.utf8).write(to: folder.appending(path: name)) }
      try body(Project(server: server, folder: folder))
    }
  }

  private struct Project {
    let server: TestServer
    let folder: URL
    var before: [String: [Document]] = [:]

    init(server: TestServer, folder: URL) throws {
      self.server = server
      self.folder = folder
      try server.withDatabase { database in
        _ = try database.insert(
          "users", (0..<1500).map { ["_id": .int32($0), "email": .string("u\($0)"), "n": 0] })
        _ = try database.insert("old", [["_id": 1], ["_id": 2]])
        _ = try database.insert("names", [["_id": 1]])
        // Explicit, because a validator that was taken back leaves these behind.
        _ = try database.run([
          "collMod": "users", "validationLevel": "strict", "validationAction": "error",
        ])
      }
      before = try picture()
    }

    func martlet(_ arguments: [String], crashAt point: String? = nil) throws -> ChildProcess.Result
    {
      try MartletBinary.run(
        arguments + [
          "--uri", server.uri, "--db", server.databaseName, "--migrations-dir", folder.path,
        ],
        environment: ["MARTLET_CRASH_AT": point], directory: folder.path)
    }

    /// A killed run leaves its lease; nobody waits a minute for it here.
    func expireLease() throws {
      try server.withDatabase {
        _ = try $0.update(
          "migrations.lock",
          [
            [
              "q": [:], "u": ["$set": ["expires_at": .date(DateTime(milliseconds: 0))]],
              "multi": true,
            ]
          ])
      }
    }

    func expectApplied() throws {
      try server.withDatabase { database in
        let users = try database.find("users", options: ["projection": ["n": 1]]).all()
        #expect(users.count == 1500)
        #expect(Set(users.compactMap { $0["n"]?.integerValue }) == [1])
        #expect(try database.find("roles").all().count == 2)
        #expect(try database.listIndexes("roles").map(\.name) == ["_id_", "name_1"])
        #expect(try database.listIndexes("users").map(\.name) == ["_id_", "email_1"])
        let names = Set(try database.listCollections().map(\.name))
        #expect(names.contains("labels") && !names.contains("names") && !names.contains("old"))
      }
    }

    /// What was dropped is in the archive, whole, and nowhere else.
    func expectArchived() throws {
      try server.withDatabase { database in
        let kept = try KeptCollections(database, names: LedgerNames()).all()
        #expect(kept.map(\.collection) == ["old"])
        #expect(kept.first?.archive?.documents == 2)
        #expect(try !database.listCollections().contains { $0.name.contains("__kept_") })
      }
    }

    func picture() throws -> [String: [Document]] {
      try server.withDatabase { database in
        var picture: [String: [Document]] = [:]
        for info in try database.listCollections() where !info.name.hasPrefix("migrations") {
          picture[info.name] =
            [info.options] + (try database.listIndexes(info.name).map(\.spec))
            + (try database.find(info.name, options: ["sort": ["_id": 1]]).all())
        }
        return picture
      }
    }
  }
}
