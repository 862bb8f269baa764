import BSON
import Foundation
import Glibc
import MongoDB
import TestSupport

/// A folder with a configuration, a filled database, and the real `martlet`.
struct BackupProject {
  let server: TestServer
  let folder: URL

  var name: String { server.databaseName }
  var store: String { folder.path + "/backups" }

  /// Lends a project whose folder and database are gone afterwards.
  static func run(_ body: (BackupProject) throws -> Void) throws {
    try TestServer.run { server in
      let folder = FileManager.default.temporaryDirectory.appending(
        path: "martlet-tests-\(server.databaseName)")
      defer { try? FileManager.default.removeItem(at: folder) }
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      let project = BackupProject(server: server, folder: folder)
      try project.configure("")
      try server.withDatabase { database in
        _ = try database.insert("orders", (0..<100).map { ["_id": .int32($0), "n": .int32($0)] })
        _ = try database.insert("users", [["_id": 1], ["_id": 2]])
      }
      try body(project)
    }
  }

  func configure(_ more: String) throws {
    let text = "uri: \(server.uri)\ndatabase: \(name)\nbackup:\n  store: ./backups\n\(more)\n"
    try text.write(to: folder.appending(path: "martlet.yaml"), atomically: true, encoding: .utf8)
  }

  func write(_ file: String, _ text: String) throws {
    let url = folder.appending(path: file)
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try text.write(to: url, atomically: true, encoding: .utf8)
  }

  func martlet(_ arguments: String..., environment: [String: String?] = [:]) throws
    -> ChildProcess.Result
  {
    try MartletBinary.run(arguments, environment: environment, directory: folder.path)
  }

  /// A command that a test builds on has failed.
  struct Failed: Error { let said: String }

  /// Runs with `--json` and reads the one document on standard output.
  func json(_ arguments: String..., environment: [String: String?] = [:]) throws -> (
    document: Document, exitCode: Int32
  ) {
    let result = try MartletBinary.run(
      arguments + ["--json"], environment: environment, directory: folder.path)
    return (try ExtendedJSON.parseDocument(result.stdout), result.exitCode)
  }

  /// Makes a backup and returns its id.
  func backup(_ more: String...) throws -> String {
    let result = try MartletBinary.run(
      ["backup", "run", "--kind", "database", "--json"] + more, directory: folder.path)
    guard result.exitCode == 0,
      let id = try ExtendedJSON.parseDocument(result.stdout)["id"]?.stringValue
    else { throw Failed(said: result.stderr) }
    return id
  }

  /// `oplog run` until everything up to now is captured.
  func capture() throws {
    let child = try MartletBinary.start(
      ["oplog", "run", "--slice", "1s", "--json"], directory: folder.path)
    try server.pool.withClient { client in
      _ = try client.run(["appendOplogNote": 1, "data": ["test": 1]], on: "admin")
    }
    let mark = try server.pool.withClient { try $0.hello().lastWriteTime }
    let target = mark.map { "\($0.seconds):\($0.increment)" } ?? ""
    defer {
      child.kill(SIGTERM)
      _ = child.wait()
    }
    try Patience.wait(for: "a slice up to \(target)", of: child) {
      // Slices are told as they are written; the last one covers the note.
      let ends = child.stdoutSoFar.split(separator: "\n").compactMap { line in
        (try? ExtendedJSON.parseDocument(String(line)))?["end"]?.stringValue
      }
      return ends.contains { Self.order($0) >= Self.order(target) }
    }
  }

  private static func order(_ time: String) -> UInt64 {
    let parts = time.split(separator: ":").compactMap { UInt64($0) }
    return parts.count == 2 ? parts[0] << 32 | parts[1] : 0
  }

  func count(_ collection: String) throws -> Int64 {
    try server.withDatabase { try $0.count(collection) }
  }

  func collections() throws -> Set<String> {
    try server.withDatabase { Set(try $0.listCollections().map(\.name)) }
  }
}
