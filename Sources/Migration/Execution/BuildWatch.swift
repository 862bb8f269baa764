import BSON
import Foundation
import MongoDB
import Synchronization

/// Builds indexes without a time limit and shows the server's own progress.
///
/// - Source: experiments section 5: the build goes on when its client is lost, and sending the same
///   command again waits for it; on 4.4 and newer it shows in `$currentOp` as an operation of its own.
struct BuildWatch: Sendable {
  let pool: ClientPool
  let cancellation: Cancellation
  /// Words and, when the server says it, done and total.
  let progress: @Sendable (String, Int64?, Int64?) -> Void

  /// Sends `createIndexes` and waits until every index is there, across lost connections.
  func build(_ command: Document, on database: Database, collection: String) throws -> Document {
    let poller = Poller(watch: self, namespace: "\(database.name).\(collection)")
    poller.start()
    defer { poller.stop() }
    var attempt = 0
    while true {
      do {
        return try database.run(command, options: .majority)
      } catch {
        guard error.isNetwork, attempt < 20 else { throw error }
        attempt += 1
        progress("connection lost, the build goes on; waiting for it again", nil, nil)
        Thread.sleep(forTimeInterval: min(Double(attempt), 5))
        try cancellation.check()
      }
    }
  }

  /// Asks `$currentOp` once a second from a thread of its own.
  private final class Poller: Sendable {
    let watch: BuildWatch
    let namespace: String
    private let stopped = Mutex(false)

    init(watch: BuildWatch, namespace: String) {
      self.watch = watch
      self.namespace = namespace
    }

    func start() {
      Thread.detachNewThread { [self] in
        // Most builds are over before the first look.
        for tick in 1... {
          Thread.sleep(forTimeInterval: 0.1)
          if stopped.withLock({ $0 }) { return }
          if tick % 10 == 0 { look() }
        }
      }
    }

    func stop() { stopped.withLock { $0 = true } }

    private func look() {
      let found = try? watch.pool.withClient { client in
        try client.cursor(
          [
            "aggregate": 1, "cursor": [:],
            "pipeline": [
              ["$currentOp": ["allUsers": true, "idleConnections": false]],
              ["$match": ["msg": ["$regex": "^Index Build"]]],
              ["$project": ["msg": 1, "progress": 1, "ns": 1, "command.createIndexes": 1]],
            ],
          ], on: "admin", options: .init(maxTime: .seconds(5))
        ).all()
      }
      guard let operation = found?.first(where: { concerns($0) }) ?? found?.first else { return }
      let message = operation["msg"]?.stringValue ?? "index build"
      // "Index Build: scanning collection Index Build: scanning collection: 3/100 3%"
      let words = message.split(separator: ":").dropFirst().first.map(String.init) ?? message
      let progress = operation["progress"]?.documentValue
      watch.progress(
        words.replacingOccurrences(of: " Index Build", with: "").trimmingCharacters(
          in: .whitespaces),
        progress?["done"]?.integerValue, progress?["total"]?.integerValue)
    }

    private func concerns(_ operation: Document) -> Bool {
      operation["ns"]?.stringValue == namespace
    }
  }
}
