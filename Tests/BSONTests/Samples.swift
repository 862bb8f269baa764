import BSON

/// One document with every type, nested values included.
enum Samples {
  static let id =
    ObjectID("0102030405060708090a0b0c") ?? ObjectID(seconds: 0, random: 0, counter: 0)

  static let everyType: Document = [
    "double": 1.5,
    "string": "grün \u{1F426}",
    "document": ["a": 1, "b": ["c": nil]],
    "array": [1, "two", [true]],
    "binary": .binary(Binary(bytes: [1, 2, 255], subtype: 0x80)),
    "old": .binary(Binary(bytes: [7, 8], subtype: 2)),
    "undefined": .undefined,
    "id": .objectID(id),
    "bool": true,
    "date": .date(DateTime(milliseconds: 1_356_351_330_501)),
    "null": nil,
    "regex": .regex(RegularExpression(pattern: "^a\"b", options: "im")),
    "pointer": .dbPointer(DBPointer(namespace: "db.c", id: id)),
    "code": .javascript("return 1"),
    "symbol": .symbol("s"),
    "scoped": .javascriptWithScope("x", ["x": ["y": 1]]),
    "int32": .int32(-7),
    "timestamp": .timestamp(Timestamp(seconds: 4_294_967_295, increment: 2)),
    "int64": .int64(1 << 40),
    "decimal": .decimal128(Decimal128("12.50") ?? Decimal128(high: 0, low: 0)),
    "min": .minKey,
    "max": .maxKey,
  ]

  /// A document nested `levels` deep.
  static func nested(_ levels: Int) -> Document {
    (0..<levels).reduce(Document()) { inner, _ in ["n": .document(inner)] }
  }
}
