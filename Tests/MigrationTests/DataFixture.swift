import BSON
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Migration

/// A data step on a collection `c` of a test's own database.
struct DataFixture {
  let server: TestServer
  var transactions = true
  var chunk = 10
  var keeps = DataContext.Keeps.touchedFields
  var fence: Int64 = 1
  var step = 0

  static let undoCollection = "migrations.undo.test"

  static func run(
    _ kind: TestServer.Kind = .replicaSet, _ body: (DataFixture) throws -> Void
  ) throws {
    try TestServer.run(kind) {
      try body(DataFixture(server: $0, transactions: kind == .replicaSet))
    }
  }

  func runner(
    stoppingAfter chunks: Int? = nil, cancellation: Cancellation = Cancellation(),
    crashPoint: @escaping @Sendable (String) throws -> Void = { _ in }
  ) -> DataStepRunner {
    let counter = Counter()
    return DataStepRunner(
      DataContext(
        pool: server.pool, database: server.databaseName, undoCollection: Self.undoCollection,
        step: step, fence: fence, transactions: transactions, cancellation: cancellation,
        chunk: chunk, keeps: keeps,
        progress: { _ in if counter.next() == chunks { cancellation.cancel(.stopped) } },
        crashPoint: crashPoint))
  }

  @discardableResult
  func run(_ command: Document) throws -> DataOutcome { try runner().run(command) }

  /// Runs until the given number of chunks is committed, as if the process had ended there.
  func run(_ command: Document, stoppingAfter chunks: Int) throws {
    let error = #expect(throws: MongoError.self) {
      try runner(stoppingAfter: chunks).run(command)
    }
    #expect(error?.kind == .cancelled)
  }

  /// A run that ends at its nth crash point.
  struct Crash: Error {}

  /// Does `body` with a runner that dies at the nth crash point; false when there are fewer.
  func crashing(at number: Int, _ body: (DataStepRunner) throws -> Void) throws -> Bool {
    let counter = Counter()
    do {
      try body(runner(crashPoint: { _ in if counter.next() == number { throw Crash() } }))
      return false
    } catch is Crash {
      return true
    }
  }

  func undo() throws -> UndoOutcome { try runner().undo() }

  func withDatabase<R>(_ body: (Database) throws -> R) throws -> R {
    try server.withDatabase(body)
  }

  func insert(_ documents: [Document], into name: String = "c") throws {
    _ = try withDatabase { try $0.insert(name, documents) }
  }

  func insert(count: Int) throws {
    try insert((0..<count).map { ["_id": .integer($0), "n": .integer($0), "s": "x"] })
  }

  /// Removes the documents and everything kept for the way back.
  func clear() throws {
    try withDatabase { database in
      for name in ["c", Self.undoCollection] {
        _ = try database.delete(name, [["q": [:], "limit": 0]])
      }
    }
  }

  /// All documents in the order of the `_id`s.
  func documents(_ name: String = "c") throws -> [Document] {
    try withDatabase { try $0.find(name, options: ["sort": ["_id": 1]]).all() }
  }

  func records() throws -> [Document] {
    try withDatabase {
      try $0.find(Self.undoCollection, filter: ["kind": ["$exists": true]]).all()
    }
  }

  func update(_ q: Document, _ u: Value, _ more: Document = [:], multi: Bool = true) -> Document {
    var statement: Document = ["q": .document(q), "u": u, "multi": .bool(multi)]
    statement.append(contentsOf: more)
    return ["update": "c", "updates": [.document(statement)]]
  }

  func delete(_ q: Document, limit: Int32 = 0) -> Document {
    ["delete": "c", "deletes": [["q": .document(q), "limit": .int32(limit)]]]
  }
}

private final class Counter: Sendable {
  private let count = Mutex(0)
  func next() -> Int {
    count.withLock {
      $0 += 1
      return $0
    }
  }
}
