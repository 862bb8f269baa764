import BSON
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Migration

@Suite struct LockTests {
  @Test func `two runs at once: each migration once, the other is told who holds the lock`() throws
  {
    var files: [String: String] = [:]
    for n in 1...10 {
      files["00\(n)_x.yaml"] = "up: [ { insert: log, documents: [ { n: \(n) } ] } ]"
    }
    try EngineFixture.run(files) { fixture in
      let outcomes = Mutex<[Result<Int, any Error>]>([])
      DispatchQueue.concurrentPerform(iterations: 4) { _ in
        let outcome = Result { try fixture.migrator().up().items.count }
        outcomes.withLock { $0.append(outcome) }
      }
      let logged = try fixture.documents("log").count
      #expect(logged == 10)
      var applied = 0
      for case .success(let count) in outcomes.withLock({ $0 }) { applied += count }
      #expect(applied == 10)
      for case .failure(let error) in outcomes.withLock({ $0 }) {
        let kind = (error as? MongoError)?.kind
        #expect(kind == .locked)
      }
    }
  }

  @Test func `a lock that somebody dropped does not stop later runs`() throws {
    try EngineFixture.run(["001_a.yaml": "up: [ { create: a } ]"]) { fixture in
      for _ in 0..<3 {
        _ = try fixture.migrator().up()
        _ = try fixture.migrator().down(.all)
      }
      _ = try fixture.migrator().up()
      try fixture.database { try $0.drop("migrations.lock") }
      let report = try fixture.migrator().down(.all)
      #expect(report.items.count == 1)
    }
  }

  @Test func `a stolen lease stops the run, and the next one goes on exactly once`() throws {
    let files = [
      "001_inc.yaml": """
      up:
        - update: things
          updates: [ { q: {}, u: { $inc: { n: 1 } }, multi: true } ]
          martlet: { chunk: 50 }
      """
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("things", (0..<3000).map { ["_id": .int32($0), "n": 0] })
      let stolen = Mutex(false)
      #expect(throws: (any Error).self) {
        _ = try fixture.migrator().up(observer: { event in
          guard case .stepProgress(_, _, _, let done?, _) = event, done >= 500 else { return }
          guard
            !stolen.withLock({
              let was = $0
              $0 = true
              return was
            })
          else { return }
          // Another machine believes this one dead and takes over.
          _ = try? fixture.migrator().unlock(force: true)
          let other = try? Lease.acquire(
            pool: fixture.server.pool, database: fixture.server.databaseName,
            collection: "migrations.lock", id: "lock", holder: ["host": "thief"],
            cancellation: Cancellation())
          _ = try? fixture.database {
            try $0.update("migrations", [["q": [:], "u": ["$inc": ["fence": 1]]]])
          }
          try? other?.release()
        })
      }
      _ = try fixture.migrator().up()
      let counts = Set(try fixture.documents("things").compactMap { $0["n"]?.integerValue })
      #expect(counts == [1])
    }
  }
}
