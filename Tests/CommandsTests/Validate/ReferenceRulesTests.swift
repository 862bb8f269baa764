import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

@Suite("the reference rules")
struct ReferenceRulesTests {
  static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  @Test(
    "seeded data and the reference migrations pass them, before and after; a planted orphan not")
  func seeded() throws {
    try MigrateProject.run([:]) { (project) throws in
      try project.configure("migrations: { directory: '\(Self.root.path)/migrations' }")
      let rules = Self.root.appending(path: "validation/rules.yaml").path
      #expect(try project.martlet(["dev", "seed", "--documents", "500"]).exitCode == 0)
      let before = try project.martlet([
        "validate", "before", "--rules", rules, "--save", "before.json",
      ])
      #expect(before.exitCode == 0, "\(before.stdout)")
      #expect(try project.migrate("up", "--yes").exitCode == 0)
      let after = try project.martlet([
        "validate", "after", "--rules", rules, "--against", "before.json",
      ])
      #expect(after.exitCode == 0, "\(after.stdout)")
      let again = try project.martlet(["validate", "before", "--rules", rules])
      #expect(again.exitCode == 0, "\(again.stdout)")
      try project.server.withDatabase { database in
        _ = try database.insert("orders", [["_id": 1, "user_id": 1]])
      }
      #expect(try project.martlet(["validate", "before", "--rules", rules]).exitCode == 4)
    }
  }
}
