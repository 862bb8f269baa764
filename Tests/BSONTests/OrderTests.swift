import BSON
import Testing

struct OrderTests {
  private static func decimal(_ text: String) -> Value {
    Decimal128(text).map { .decimal128($0) } ?? .null
  }

  /// Strictly ascending.
  static let ascending: [Value] = [
    .minKey, .undefined, nil,
    .double(.nan), .double(-.infinity), decimal("-1E+400"), .double(-1e300), .int64(.min),
    .double(-1.5), decimal("-1.4"), .int32(0), .double(.leastNonzeroMagnitude), decimal("0.1"),
    .double(0.1),
    decimal("0.2"), 1, decimal("1.000000000000000000000000000000001"),
    .double(9_007_199_254_740_992), .int64(9_007_199_254_740_993), .int64(.max),
    .double(9_223_372_036_854_775_808), decimal("9223372036854775809"), .double(1e300),
    decimal("1E+400"), decimal("Infinity"),
    "", "A", .symbol("B"), "B\u{0}", "a", "ab", "é",
    [:], ["a": 1], ["a": 2], ["b": 0], ["b": 0, "c": 0], ["a": "x"],
    .array([]), [1], [1, 1], [2], ["a"],
    .binary(Binary(bytes: [])), .binary(Binary(bytes: [9])),
    .binary(Binary(bytes: [1], subtype: 4)), .binary(Binary(bytes: [0, 0])),
    .objectID(ObjectID(seconds: 1, random: 0, counter: 0)),
    .objectID(ObjectID(seconds: 0xFFFF_FFFF, random: 0, counter: 0)),
    false, true,
    .date(DateTime(milliseconds: -1)), .date(DateTime(milliseconds: 0)),
    .timestamp(Timestamp(seconds: 1, increment: 2)),
    .timestamp(Timestamp(seconds: 0xFFFF_FFFF, increment: 0)),
    .regex(RegularExpression(pattern: "a")), .regex(RegularExpression(pattern: "a", options: "i")),
    .regex(RegularExpression(pattern: "b")),
    .dbPointer(DBPointer(namespace: "z", id: Samples.id)),
    .dbPointer(DBPointer(namespace: "aa", id: Samples.id)),
    .javascript("a"), .javascript("b"),
    .javascriptWithScope("a", [:]), .javascriptWithScope("a", ["x": 1]),
    .maxKey,
  ]

  @Test("values of all types sort as the server sorts them")
  func allPairs() {
    for (i, a) in Self.ascending.enumerated() {
      for (j, b) in Self.ascending.enumerated() {
        let order = Value.canonicalOrder(a, b)
        #expect(order.signum() == (i - j).signum(), "\(i) against \(j)")
      }
    }
  }

  @Test("numbers of different types that are the same number are equal")
  func equalNumbers() {
    let ones: [Value] = [
      .int32(1), .int64(1), .double(1), Self.decimal("1.00"), Self.decimal("10E-1"),
    ]
    for a in ones { for b in ones { #expect(Value.canonicalOrder(a, b) == 0) } }
    #expect(Value.canonicalOrder(.double(-0.0), .int32(0)) == 0)
    #expect(Value.canonicalOrder(.double(0.5), Self.decimal("0.50")) == 0)
    #expect(Value.canonicalOrder(.double(.nan), Self.decimal("NaN")) == 0)
    #expect(Value.canonicalOrder("a", .symbol("a")) == 0)
  }
}
