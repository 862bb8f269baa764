import Testing

@testable import Migration

@Suite struct NamesTests {
  @Test("a name is a full one when it begins with the database, in whatever letters")
  func full() {
    for database in ["shop", "größe", "店"] {
      #expect(Names.collection(database + ".orders.2026", in: database) == "orders.2026")
      #expect(Names.full("orders", in: database) == database + ".orders")
    }
    #expect(Names.collection("archive.2026", in: "shop") == "archive.2026")
    #expect(Names.full("shop.orders", in: "shop") == "shop.orders")
  }
}
