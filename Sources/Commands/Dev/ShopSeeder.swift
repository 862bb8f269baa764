import BSON
import Foundation
import MongoDB
import Synchronization

/// Inserts sample data through several connections at once.
struct ShopSeeder {
  let pool: ClientPool
  let database: String
  let data: ShopData
  let context: CommandContext

  /// What became of one collection.
  struct Outcome: Sendable {
    let collection: String
    /// Documents inserted; nil where the collection had some already and was left alone.
    let inserted: Int?
  }

  private static let batch = 1000
  private static let workers = 4

  /// Fills the collections that are empty; blocks until a majority has everything.
  func run() throws -> [Outcome] {
    try data.collections.map { collection in
      let isEmpty = try pool.withClient {
        try $0.database(database).findOne(
          collection.name, options: ["projection": ["_id": 1]]) == nil
      }
      guard isEmpty else { return Outcome(collection: collection.name, inserted: nil) }
      try index(collection.name)
      try fill(collection.name, collection.count, collection.make)
      return Outcome(collection: collection.name, inserted: collection.count)
    }
  }

  /// Before the documents: a seed that is killed half way has them too.
  private func index(_ collection: String) throws {
    guard let fields = ShopData.indexes[collection] else { return }
    let specs = fields.map { field -> Value in
      ["key": [field: 1], "name": .string("\(field)_1")]
    }
    _ = try pool.withClient {
      try $0.database(database).run(
        ["createIndexes": .string(collection), "indexes": .array(specs)], options: .majority)
    }
  }

  private func fill(
    _ collection: String, _ count: Int, _ make: @escaping @Sendable (Int) -> Document
  ) throws {
    let progress = Progress(context.console, collection, unit: .items, total: Int64(count))
    defer { progress.finish() }
    let state = Mutex(Work(next: 0, failure: nil))
    let (pool, database, cancellation) = (pool, database, context.cancellation)
    DispatchQueue.concurrentPerform(iterations: Self.workers) { _ in
      do {
        try pool.withClient { client in
          while let start = state.withLock({ $0.take(Self.batch, of: count) }) {
            try cancellation.check()
            let end = min(start + Self.batch, count)
            _ = try client.database(database).insert(collection, (start..<end).map(make))
            progress.advance(by: Int64(end - start))
          }
        }
      } catch {
        state.withLock { $0.failure = $0.failure ?? error }
      }
    }
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }

  private struct Work {
    var next: Int
    var failure: (any Error)?

    /// The next range's start; nil when all are taken or a worker failed.
    mutating func take(_ batch: Int, of count: Int) -> Int? {
      guard failure == nil, next < count else { return nil }
      defer { next += batch }
      return next
    }
  }
}

/// What `dev seed` did.
struct SeedPage: CommandOutput {
  let database: String
  let outcomes: [ShopSeeder.Outcome]

  var json: JSONValue {
    [
      "database": .string(database),
      "collections": .array(
        outcomes.map {
          ["name": .string($0.collection), "inserted": .integer(optional: $0.inserted)]
        }),
    ]
  }

  func write(to page: inout Page) {
    var table = Table(["collection", .number("inserted")])
    for outcome in outcomes {
      table.add(
        "\(outcome.collection)",
        outcome.inserted.map { "\(Quantity.grouped(Int64($0)))" }
          ?? StyledText("has documents, left alone", .dim))
    }
    page.table(table)
  }
}
