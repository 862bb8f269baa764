import BSON
import Foundation
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Validation

@Suite struct ActiveWorkTests {
  @Test("an aggregation that runs for long is work in progress, as a query is")
  func aggregation() throws {
    try TestServer.run { server in
      try server.withDatabase { _ = try $0.insert("a", (0..<50).map { ["_id": .integer($0)] }) }
      let isOver = Mutex(false)
      let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
      let name = server.databaseName
      Thread.detachNewThread {
        let slow: Document = [
          "$function": [
            "lang": "js", "args": [], "body": "function() { sleep(100); return 1 }",
          ]
        ]
        // Six seconds at most, then the server ends it.
        _ = try? pool.withClient { client in
          try client.database(name).aggregate(
            "a", pipeline: [["$group": ["_id": .document(slow)]]],
            command: CommandOptions(maxTime: .seconds(6))
          ).all()
        }
        isOver.withLock { $0 = true }
      }
      var options = CheckOptions()
      options.longOperation = .seconds(1)
      var isFound = false
      try server.withDatabase { database in
        while !isFound, !isOver.withLock({ $0 }) {
          let context = try CheckContext(database, .before, options)
          let rows = try ServerProbes.activeWork.run(context).flatMap(\.evidence.rows)
          isFound = rows.contains { $0.contains(.text("\(name).a")) }
        }
      }
      #expect(isFound)
      while !isOver.withLock({ $0 }) { usleep(50_000) }
    }
  }
}
