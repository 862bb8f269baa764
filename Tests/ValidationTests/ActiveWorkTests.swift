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
    // Whatever other tests do at a shared server may leave no room for it in the evidence.
    let host = try PrivateServer()
    try TestServer.run(uri: host.uri) { server in
      try server.withDatabase { _ = try $0.insert("a", (0..<3000).map { ["_id": .integer($0)] }) }
      let end = Mutex<String?>(nil)
      let pool = try ClientPool(
        try ConnectionSettings(uri: server.uri, appName: server.databaseName))
      let name = server.databaseName
      // Five minutes at most; the test ends it.
      Thread.detachNewThread {
        let slow: Document = [
          "$function": [
            "lang": "js", "args": [], "body": "function() { sleep(100); return 1 }",
          ]
        ]
        do {
          _ = try pool.withClient { client in
            try client.database(name).aggregate(
              "a", pipeline: [["$group": ["_id": .document(slow)]]],
              command: CommandOptions(maxTime: .seconds(300))
            ).all()
          }
          end.withLock { $0 = "it was over" }
        } catch { end.withLock { $0 = "\(error)" } }
      }
      var options = CheckOptions()
      options.longOperation = .seconds(1)
      try server.withDatabase { database in
        try Patience.wait(for: "the aggregation among the work in progress") {
          let context = try CheckContext(database, .before, options)
          let rows = try ServerProbes.activeWork.run(context).flatMap(\.evidence.rows)
          return rows.contains { $0.contains(.text("\(name).a")) } || end.withLock { $0 != nil }
        }
      }
      #expect(end.withLock { $0 } == nil)
      try Self.kill(server)
      try Patience.wait(for: "its end") { end.withLock { $0 != nil } }
    }
  }

  /// Ends what runs under the database's name.
  private static func kill(_ server: TestServer) throws {
    try server.pool.withClient { client in
      let found = try client.run(
        ["currentOp": 1, "appName": .string(server.databaseName), "active": true], on: "admin")
      for operation in found["inprog"]?.arrayValue ?? [] {
        guard let id = operation.documentValue?["opid"] else { continue }
        _ = try client.run(["killOp": 1, "op": id], on: "admin")
      }
    }
  }
}
