import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// The five files in `migrations/`, on a shop that has some of what they bring.
@Suite struct ReferenceMigrationTests {
  private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "migrations")

  @Test(arguments: [TestServer.Kind.replicaSet, .standalone])
  func `users keep what they have, get what they lack, and all of it can be taken back`(
    kind: TestServer.Kind
  ) throws {
    try EngineFixture.run([:], on: kind) { fixture in
      try fixture.insert(
        "users",
        [
          ["_id": 1, "email": "plain"],
          ["_id": 2, "2fa_enabled": true, "2fa_method": "totp", "phone_number": "+420 1"],
          ["_id": 3, "phone_number": nil],
          ["_id": 4, "2fa_backup_codes": ["a", "b"]],
        ])
      try fixture.database {
        _ = try $0.run([
          "collMod": "users", "validator": ["_id": ["$exists": true]],
          "validationLevel": "strict", "validationAction": "error",
        ])
        _ = try $0.run([
          "createIndexes": "users", "indexes": [["key": ["email": 1], "name": "email_1"]],
        ])
      }
      let before = try fixture.picture()
      let migrator = try Migrator(
        pool: fixture.server.pool, database: fixture.server.databaseName,
        files: MigrationLoader(directory: Self.folder.path).load())

      #expect(try migrator.up().items.count == 5)
      let users = try fixture.documents("users")
      let fields = [
        "2fa_enabled", "2fa_method", "2fa_secret", "2fa_backup_codes", "phone_number",
      ]
      for user in users { #expect(fields.allSatisfy { user.has($0) }) }
      #expect(users[0]["2fa_enabled"] == false && users[0]["phone_number"] == .null)
      #expect(users[1]["2fa_enabled"] == true && users[1]["2fa_method"] == "totp")
      #expect(users[1]["phone_number"] == "+420 1")
      #expect(users[3]["2fa_backup_codes"] == ["a", "b"])
      #expect(try fixture.documents("roles").count == 3)
      let audit = try fixture.database { try $0.listIndexes("audit_logs") }
      let ttl = audit.first { $0.key == ["timestamp": 1] }?.spec["expireAfterSeconds"]
      #expect(ttl?.integerValue == 7_776_000)

      let down = try migrator.down(.all)
      #expect(down.items.count == 5 && !down.isPartial)
      #expect(try fixture.picture() == before)
    }
  }

  @Test func `a run that is told to wait begins when the other ends`() throws {
    try EngineFixture.run(["001_a.yaml": "up: [ { create: a } ]"]) { fixture in
      let name = fixture.server.databaseName
      let other = try Lease.acquire(
        pool: fixture.server.pool, database: name, collection: "migrations.lock", id: "lock",
        holder: ["host": "elsewhere"], cancellation: Cancellation())
      var migrator = try fixture.migrator()
      migrator.lockWait = .seconds(60)
      Thread.detachNewThread {
        Thread.sleep(forTimeInterval: 0.5)
        try? other.release()
      }
      #expect(try migrator.up().items.count == 1)
    }
  }
}
