import BSON
import Foundation
import MongoDB
import TestSupport

/// A folder with migrations and a database, for running the real `martlet` in it.
struct MigrateProject {
  let server: TestServer
  let folder: URL

  /// Lends a project whose folder and database are gone afterwards.
  static func run(
    _ files: [String: String] = MigrateProject.three, _ body: (MigrateProject) throws -> Void
  ) throws {
    try TestServer.run { server in
      let folder = FileManager.default.temporaryDirectory.appending(
        path: "martlet-tests-\(server.databaseName)")
      defer { try? FileManager.default.removeItem(at: folder) }
      let project = MigrateProject(server: server, folder: folder)
      try FileManager.default.createDirectory(
        at: folder.appending(path: "migrations"), withIntermediateDirectories: true)
      for (name, text) in files { try project.write(name, text) }
      try project.configure("")
      try body(project)
    }
  }

  /// Writes martlet.yaml; `more` is added to what every project has.
  func configure(_ more: String) throws {
    let text = "uri: \(server.uri)\ndatabase: \(server.databaseName)\n\(more)\n"
    try text.write(to: folder.appending(path: "martlet.yaml"), atomically: true, encoding: .utf8)
  }

  func write(_ name: String, _ text: String) throws {
    try text.write(
      to: folder.appending(path: "migrations/\(name)"), atomically: true, encoding: .utf8)
  }

  func remove(_ name: String) throws {
    try FileManager.default.removeItem(at: folder.appending(path: "migrations/\(name)"))
  }

  /// Runs `martlet migrate …` in the folder.
  func migrate(_ arguments: String...) throws -> ChildProcess.Result {
    try martlet(["migrate"] + arguments)
  }

  func martlet(
    _ arguments: [String], environment: [String: String?] = [:]
  ) throws -> ChildProcess.Result {
    try MartletBinary.run(arguments, environment: environment, directory: folder.path)
  }

  /// Runs with `--json` and reads the one document on standard output.
  func json(_ arguments: String...) throws -> (document: Document, exitCode: Int32) {
    let result = try martlet(["migrate"] + arguments + ["--json"])
    return (try ExtendedJSON.parseDocument(result.stdout), result.exitCode)
  }

  /// The states of `migrate status`, in order.
  func states() throws -> [String] {
    try json("status").document["migrations"]?.arrayValue?.compactMap {
      $0.documentValue?["state"]?.stringValue
    } ?? []
  }

  func collections() throws -> Set<String> {
    try server.withDatabase { Set(try $0.listCollections().map(\.name)) }
  }

  static let three = [
    "001_roles.yaml": """
    description: Roles
    up:
      - create: roles
      - createIndexes: roles
        indexes: [ { key: { name: 1 }, unique: true } ]
      - insert: roles
        documents: [ { name: admin }, { name: customer } ]
    """,
    "002_plan.yaml": """
    up:
      - update: users
        updates:
          - { q: { plan: { $exists: false } }, u: { $set: { plan: free } }, multi: true }
    """,
    "003_sessions.yaml": """
    up:
      - create: sessions
    """,
  ]
}

extension Document {
  /// Names of the objects in a list: `names("migrations")`.
  func names(_ list: String) -> [String] {
    self[list]?.arrayValue?.compactMap { $0.documentValue?["name"]?.stringValue } ?? []
  }
}
