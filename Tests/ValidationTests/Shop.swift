import BSON
import Foundation
import MongoDB
import TestSupport

@testable import Validation

/// A small shop without faults, and the rules that it keeps.
struct Shop {
  let server: TestServer

  static let rules = """
    version: 1
    collections:
      - { name: users, minimum: 20, maximum: 1000 }
      - { name: orders, minimum: 60, options: { validationLevel: strict } }
      - products
    indexes:
      - { collection: users, key: { email: 1 }, unique: true }
      - { collection: orders, key: { user_id: 1 } }
      - { collection: sessions, key: { expires: 1 }, expireAfterSeconds: 3600 }
    references:
      - { from: orders.user_id, to: users._id }
      - { from: orders.items.product, to: products._id }
      - { from: users.referrer, to: users._id, nullable: true }
    unique:
      - { collection: users, fields: email }
      - { collection: users, fields: name, collation: { locale: en, strength: 2 } }
      - { collection: orders, fields: number }
    schemas:
      - { collection: products, schema: { required: [price], properties: { price: { minimum: 0 } } } }
    fields:
      - { collection: orders, field: total, type: number, required: true, minimum: 0, maximum: 10000 }
      - { collection: orders, field: status, type: string, one_of: [pending, paid] }
    empty:
      - name: paid orders have items
        collection: orders
        pipeline: [ { $match: { status: paid, items: { $size: 0 } } } ]
    queries:
      - name: orders of a user
        collection: orders
        filter: { user_id: 1 }
        sort: { placed: -1 }
        limit: 10
        index: user_id_1_placed_-1
      - name: slow enough
        collection: users
        filter: { email: user1@example.com }
        p95: 5m
    files:
      - { path: app.yaml, minimum_bytes: 3, contains: "shop" }
    commands:
      - { name: disk, run: "test -f app.yaml", timeout: 20s }
    """

  /// A folder with the application's file.
  let folder: String

  init(_ server: TestServer) throws {
    self.server = server
    folder = "\(FileManager.default.temporaryDirectory.path)/\(TestServer.uniqueName())"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try "name: shop\n".write(toFile: "\(folder)/app.yaml", atomically: true, encoding: .utf8)
    try server.withDatabase { try Self.fill($0) }
  }

  static func fill(_ database: Database) throws {
    _ = try database.run([
      "create": "orders", "validator": ["total": ["$exists": true]], "validationLevel": "strict",
      "validationAction": "error",
    ])
    let users = (0..<30).map { n -> Document in
      var user: Document = [
        "_id": .integer(n), "email": .string("user\(n)@example.com"), "name": .string("User \(n)"),
      ]
      if n > 0 { user.append("referrer", .integer(n - 1)) }
      return user
    }
    let products = (0..<10).map { n -> Document in
      ["_id": .integer(n), "price": .double(Double(n) + 0.5), "name": .string("p\(n)")]
    }
    let orders = (0..<100).map(order)
    _ = try database.insert("users", users)
    _ = try database.insert("products", products)
    _ = try database.insert("orders", orders)
    let future = DateTime(milliseconds: 4_000_000_000_000)
    _ = try database.insert("sessions", [["_id": 1, "expires": .date(future)]])
    func index(_ collection: String, _ specs: Value...) throws {
      _ = try database.run(["createIndexes": .string(collection), "indexes": .array(specs)])
    }
    try index("users", ["key": ["email": 1], "name": "email_1", "unique": true])
    try index(
      "orders", ["key": ["user_id": 1], "name": "user_id_1"],
      ["key": ["user_id": 1, "placed": -1], "name": "user_id_1_placed_-1"],
      ["key": ["number": 1], "name": "number_1"])
    try index(
      "sessions", ["key": ["expires": 1], "name": "expires_1", "expireAfterSeconds": 3600])
    _ = try database.run([
      "create": "paid_orders", "viewOn": "orders",
      "pipeline": [
        ["$match": ["status": "paid"]]
      ],
    ])
  }

  private static func order(_ n: Int) -> Document {
    let first: Document = ["product": .integer(n % 10)]
    let second: Document = ["product": .integer((n + 1) % 10)]
    var order: Document = ["_id": .integer(n), "number": .integer(1000 + n)]
    order.append("user_id", .integer(n % 30))
    order.append("items", .array([.document(first), .document(second)]))
    order.append("total", .double(Double(n) + 0.25))
    order.append("status", n.isMultiple(of: 2) ? "paid" : "pending")
    order.append("placed", .date(DateTime(milliseconds: 1_760_000_000_000 + Int64(n) * 1000)))
    return order
  }

  func validate(
    _ phase: Phase = .before, rules: String? = Shop.rules,
    expectations: Expectations = Expectations(), snapshot: Bool = true, against: Snapshot? = nil,
    change: (inout CheckOptions) -> Void = { _ in }
  ) throws -> Validator.Outcome {
    var options = CheckOptions()
    options.folder = folder
    options.queryRuns = 5
    change(&options)
    let rules = try rules.map { try RulesLoader().parse($0, file: "rules.yaml") } ?? Rules()
    return try Validator(
      server.pool, database: server.databaseName, phase: phase, rules: rules,
      expectations: expectations, options: options
    ).run(takesSnapshot: snapshot, against: against)
  }

  static func run(_ body: (Shop) throws -> Void) throws {
    try TestServer.run { server in
      let shop = try Shop(server)
      defer { try? FileManager.default.removeItem(atPath: shop.folder) }
      try body(shop)
    }
  }
}

extension Validator.Outcome {
  /// Ids of everything that did not pass, sorted, without what does not apply.
  var findings: [String] {
    Set(checks.filter { $0.status != .passed && $0.applies }.map(\.id)).sorted()
  }
}
