import Foundation
import Martlet
import Synchronization
import TestSupport
import Testing

@Suite("the library, as an application uses it")
struct MigratorTests {
  @Test("files and code are applied in the order of their numbers, and taken back")
  func filesAndCode() async throws {
    try await TestServer.run { server in
      let folder = try Self.folder(
        server, ["001_a.yaml": "up: [ { create: a } ]", "003_c.yaml": "up: [ { create: c } ]"])
      defer { try? FileManager.default.removeItem(atPath: folder) }
      let migrator = try Migrator(
        uri: server.uri, database: server.databaseName, directory: folder,
        migrations: [try Self.inserting("002_b")])
      #expect(try await !migrator.hasCompletedMigrations())
      let report = try await migrator.migrate()
      #expect(report.items.map(\.name) == ["001_a", "002_b", "003_c"])
      #expect(try await migrator.hasCompletedMigrations())
      #expect(try await migrator.migrate().items.isEmpty)
      #expect(try server.withDatabase { try $0.count("b") } == 1)

      try await migrator.rollBack(.all)
      #expect(try await migrator.status().rows.map(\.state) == [.pending, .pending, .pending])
      #expect(try server.withDatabase { try $0.count("b") } == 0)
    }
  }

  @Test("a database of the application's own client will do")
  func ownClient() async throws {
    try await TestServer.run { server in
      let migrator = try server.withDatabase {
        try Migrator($0, migrations: [try Self.inserting("001_b")])
      }
      try await migrator.migrate()
      #expect(try await migrator.hasCompletedMigrations())
    }
  }

  @Test("a body that throws leaves nothing behind, and can be mended")
  func failingBody() async throws {
    struct Broken: Error {}
    try await TestServer.run { server in
      let broken = try CodeMigration(
        id: "001_b",
        up: { database in
          try database.insert("b", [["_id": 1]])
          throw Broken()
        })
      let migrator = try Migrator(
        pool: server.pool, database: server.databaseName, migrations: [broken])
      await #expect(throws: (any Error).self) { try await migrator.migrate() }
      #expect(try server.withDatabase { try $0.count("b") } == 0)
      #expect(try await migrator.status().rows.map(\.state) == [.failed])

      let mended = try Migrator(
        pool: server.pool, database: server.databaseName, migrations: [try Self.inserting("001_b")])
      try await mended.migrate()
      #expect(try await mended.hasCompletedMigrations())
    }
  }

  @Test("instances that start together apply each migration once")
  func together() async throws {
    try await TestServer.run { server in
      let (uri, name) = (server.uri, server.databaseName)
      let counts = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<4 {
          group.addTask {
            try await Migrator(
              uri: uri, database: name, migrations: [try Self.inserting("001_b")]
            ).migrate().items.count
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(counts.sorted() == [0, 0, 0, 1])
      #expect(try server.withDatabase { try $0.count("b") } == 1)
    }
  }

  @Test("a careful application refuses a plan that destroys")
  func careful() async throws {
    try await TestServer.run { server in
      try server.withDatabase { _ = try $0.insert("old", [["a": 1]]) }
      let folder = try Self.folder(server, ["001_drop.yaml": "up: [ { drop: old } ]"])
      defer { try? FileManager.default.removeItem(atPath: folder) }
      let migrator = try Migrator(
        uri: server.uri, database: server.databaseName, directory: folder,
        options: .init(refusesDestruction: true))
      await #expect {
        try await migrator.migrate()
      } throws: { ($0 as? MigrationError)?.code == .declined }
      #expect(try server.withDatabase { try $0.count("old") } == 1)
    }
  }

  @Test("a cancelled task stops, and the next run goes on")
  func cancelled() async throws {
    try await TestServer.run { server in
      try server.withDatabase {
        _ = try $0.insert("users", (0..<3000).map { ["_id": .int32($0), "n": 0] })
      }
      let file = """
        up:
          - update: users
            updates: [ { q: {}, u: { $inc: { n: 1 } }, multi: true } ]
            martlet: { chunk: 100, pause: 50 }
        """
      let folder = try Self.folder(server, ["001_slow.yaml": file])
      defer { try? FileManager.default.removeItem(atPath: folder) }
      let migrator = try Migrator(
        uri: server.uri, database: server.databaseName, directory: folder)
      // Cancelled from within the run: the threads of asynchronous code may be busy with other tests.
      let running = Mutex<Task<RunReport, any Error>?>(nil)
      let task = Task {
        try await migrator.migrate { event in
          if case .stepProgress = event { running.withLock { $0?.cancel() } }
        }
      }
      running.withLock { $0 = task }
      await #expect(throws: (any Error).self) { try await task.value }
      #expect(try await migrator.status().rows.map(\.state) == [.interrupted])
      try await migrator.migrate()
      #expect(try server.withDatabase { try $0.count("users", filter: ["n": 1]) } == 3000)
    }
  }

  private static func inserting(_ id: String) throws -> CodeMigration {
    try CodeMigration(
      id: id, up: { try $0.insert("b", [["_id": 1]]) },
      down: { _ = try $0.delete("b", [["q": [:], "limit": 0]]) })
  }

  private static func folder(_ server: TestServer, _ files: [String: String]) throws -> String {
    let folder = FileManager.default.temporaryDirectory.path + "/martlet-\(server.databaseName)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (name, text) in files {
      try text.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8)
    }
    return folder
  }
}
