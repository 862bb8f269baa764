import BSON
import MongoDB
import TestSupport
import Testing

@testable import Migration

/// Behind a step whose effect only a run shows: nothing is believed that the server does not say.
@Suite struct UncertainTests {
  @Test func `the mark of a migration says which database it changes`() throws {
    try EngineFixture.run(["001_x.yaml": "up: [ { create: a } ]"]) { fixture in
      _ = try fixture.migrator().up()
      let marks = try fixture.server.pool.withClient {
        try $0.database("local").find(
          "oplog.rs",
          filter: ["op": "n", "o.martlet.database": .string(fixture.server.databaseName)]
        ).all()
      }
      #expect(marks.count == 1)
      #expect(marks.first?["o"]?.documentValue?["martlet"]?.documentValue?["migration"] == "001_x")
    }
  }
}
