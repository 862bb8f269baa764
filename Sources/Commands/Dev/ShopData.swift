import BSON

/// Documents of a sample shop: users, products and orders, the same for the same seed.
///
/// Every second user lacks the two-factor fields and most lack a phone number, so that migrations
/// find both kinds.
struct ShopData: Sendable {
  let seed: UInt64
  /// How many of each.
  let users: Int
  let products: Int
  let orders: Int

  /// Divides `documents` into two fifths users, a tenth products and the rest orders.
  init(documents: Int, seed: UInt64) {
    self.seed = seed
    users = max(1, documents * 2 / 5)
    products = max(1, documents / 10)
    orders = max(0, documents - users - products)
  }

  /// The collections in the order of insertion.
  var collections: [(name: String, count: Int, make: @Sendable (Int) -> Document)] {
    [("users", users, user), ("products", products, product), ("orders", orders, order)]
  }

  /// What the application's queries want, and `validation/rules.yaml` asks for.
  static let indexes = ["users": ["email"], "orders": ["user_id", "status"]]

  // MARK: - One document

  func user(_ position: Int) -> Document {
    var random = SeededGenerator(seed: seed, stream: 1, position: position)
    let first = random.one(of: Self.firstNames)
    let last = random.one(of: Self.lastNames)
    let created = Self.moment(&random)
    var user: Document = [
      "_id": .objectID(id(1, position)),
      "username": .string("\(first).\(last).\(position)".lowercased()),
      "email": .string("\(first).\(last).\(position)@shop.example".lowercased()),
      "name": ["first": .string(first), "last": .string(last)],
      "role": position % 50 == 0 ? "staff" : "customer",
      "active": .bool(random.below(20) != 0),
      "created_at": .date(created),
    ]
    if position.isMultiple(of: 2) {
      let enabled = random.below(3) == 0
      user.append("2fa_enabled", .bool(enabled))
      user.append("2fa_method", enabled ? "totp" : nil)
    }
    if position.isMultiple(of: 5) {
      user.append("phone_number", .string("+49 30 \(1_000_000 + random.below(9_000_000))"))
    }
    return user
  }

  func product(_ position: Int) -> Document {
    var random = SeededGenerator(seed: seed, stream: 2, position: position)
    let stock = random.below(500)
    return [
      "_id": .objectID(id(2, position)), "sku": .string("SKU-\(100_000 + position)"),
      "name": .string("\(random.one(of: Self.adjectives)) \(random.one(of: Self.things))"),
      "category": .string(random.one(of: Self.categories)),
      "price": price(position), "stock": .int32(Int32(stock)),
      "tags": .array([.string(random.one(of: Self.adjectives).lowercased())]),
      "created_at": .date(Self.moment(&random)),
    ]
  }

  func order(_ position: Int) -> Document {
    var random = SeededGenerator(seed: seed, stream: 3, position: position)
    var items: [Value] = []
    var cents = 0
    for _ in 0...random.below(3) {
      let product = random.below(products)
      let quantity = 1 + random.below(4)
      cents += quantity * priceInCents(product)
      items.append([
        "product_id": .objectID(id(2, product)), "quantity": .int32(Int32(quantity)),
        "price": price(product),
      ])
    }
    return [
      "_id": .objectID(id(3, position)), "order_number": .string("O-\(1_000_000 + position)"),
      "user_id": .objectID(id(1, random.below(users))), "items": .array(items),
      "total": Self.decimal(cents), "currency": "EUR",
      "status": .string(random.one(of: Self.states)), "placed_at": .date(Self.moment(&random)),
    ]
  }

  // MARK: - Parts

  /// The `_id` of a document, known without making the document.
  private func id(_ stream: UInt64, _ position: Int) -> ObjectID {
    ObjectID(
      seconds: UInt32(Self.start / 1000), random: (seed & 0xFF_FFFF) << 8 | stream,
      counter: UInt32(truncatingIfNeeded: position))
  }

  private func priceInCents(_ product: Int) -> Int {
    var random = SeededGenerator(seed: seed, stream: 4, position: product)
    return 99 + random.below(50_000)
  }

  private func price(_ product: Int) -> Value { Self.decimal(priceInCents(product)) }

  private static func decimal(_ cents: Int) -> Value {
    let rest = cents % 100
    let text = "\(cents / 100).\(rest < 10 ? "0" : "")\(rest)"
    return Decimal128(text).map { .decimal128($0) } ?? .double(Double(cents) / 100)
  }

  /// 2025-01-01, and the year after it.
  private static let start: Int64 = 1_735_689_600_000
  private static let year = 365 * 86_400

  private static func moment(_ random: inout SeededGenerator) -> DateTime {
    DateTime(milliseconds: start + Int64(random.below(year)) * 1000)
  }

  private static let firstNames = [
    "Ada", "Bela", "Chen", "Dilip", "Elif", "Farah", "Goran", "Hanna", "Ines", "Jonas", "Kiran",
    "Lena", "Milan", "Noor", "Olga", "Priya", "Rosa", "Samir", "Tove", "Yara",
  ]
  private static let lastNames = [
    "Adler", "Bauer", "Costa", "Dogan", "Eriksen", "Fischer", "Garcia", "Horvat", "Iyer", "Jensen",
    "Kaya", "Lindt", "Moreau", "Novak", "Okafor", "Patel", "Rossi", "Silva", "Tanaka", "Weber",
  ]
  private static let adjectives = [
    "Blue", "Bright", "Calm", "Fine", "Green", "Light", "Old", "Round", "Solid", "Warm",
  ]
  private static let things = [
    "Bag", "Bowl", "Chair", "Clock", "Desk", "Jacket", "Kettle", "Lamp", "Mug", "Shelf",
  ]
  private static let categories = ["home", "kitchen", "clothing", "garden", "office"]
  private static let states = ["paid", "shipped", "delivered", "cancelled", "pending"]
}
