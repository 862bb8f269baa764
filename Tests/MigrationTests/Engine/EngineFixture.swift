import BSON
import Foundation
import MongoDB
import TestSupport

@testable import Migration

/// A folder of migrations and a database of its own on a real server.
struct EngineFixture {
  let server: TestServer
  let folder: URL

  /// Runs `body` with migrations given as file name and YAML text.
  static func run<R>(
    _ files: [String: String], on kind: TestServer.Kind = .replicaSet,
    _ body: (EngineFixture) throws -> R
  ) throws -> R {
    try TestServer.run(kind) { server in
      let folder = FileManager.default.temporaryDirectory
        .appending(path: "martlet-\(server.databaseName)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      let fixture = EngineFixture(server: server, folder: folder)
      for (name, text) in files { try fixture.write(name, text) }
      return try body(fixture)
    }
  }

  func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: folder.appending(path: name))
  }

  func remove(_ name: String) throws {
    try FileManager.default.removeItem(at: folder.appending(path: name))
  }

  func migrator(code: [CodeMigration] = []) throws -> Migrator {
    try Migrator(
      pool: server.pool, database: server.databaseName,
      files: MigrationLoader(directory: folder.path).load(), code: code)
  }

  func database<R>(_ body: (Database) throws -> R) throws -> R { try server.withDatabase(body) }

  /// Every document of a collection, by `_id`.
  func documents(_ collection: String) throws -> [Document] {
    try database { try $0.find(collection, options: ["sort": ["_id": 1]]).all() }
  }

  func insert(_ collection: String, _ documents: [Document]) throws {
    try database { _ = try $0.insert(collection, documents) }
  }

  /// Collections but Martlet's own, with options, indexes and documents.
  func picture() throws -> [String: [Document]] {
    try database { database in
      var picture: [String: [Document]] = [:]
      for info in try database.listCollections() where !LedgerNames().isOurs(info.name) {
        var parts: [Document] = [info.options]
        if info.raw["type"] == "collection" {
          // Order aside: an index that was built again stands last.
          parts += try database.listIndexes(info.name).sorted { $0.name < $1.name }
            .map { plain($0.spec) }
        }
        parts += try database.find(info.name, options: ["sort": ["_id": 1]]).all().map(sorted)
        picture[info.name] = parts
      }
      return picture
    }
  }

  /// Up to 4.4 collMod writes an expiry as a 64-bit number.
  private func plain(_ spec: Document) -> Document {
    var out = spec
    if let expiry = spec["expireAfterSeconds"]?.integerValue {
      out["expireAfterSeconds"] = .integer(expiry)
    }
    return out
  }

  /// Field order aside: a field that was put back stands last.
  private func sorted(_ document: Document) -> Document {
    Document(document.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
  }

  func entry(_ name: String) throws -> LedgerEntry? {
    try database { try Ledger($0, names: LedgerNames()).load()[name] }
  }
}
