/// The objects that stand for one BSON value.
///
/// A name of the table makes an object a wrapper; it must then hold exactly the wrapper's names. Query
/// operators that share a name with a legacy form (`$regex`, `$type`) stay what they are.
enum TypeWrapper {
  /// The value that the members stand for, or nil when they are an ordinary object.
  static func value(_ members: [JSON.Member]) throws(BSONError) -> Value? {
    for member in members where member.key.utf8.first == UInt8(ascii: "$") {
      if let value = try wrapped(member.key, member.value, members) { return value }
    }
    return nil
  }

  private static func wrapped(_ name: String, _ inner: JSON, _ all: [JSON.Member])
    throws(BSONError) -> Value?
  {
    switch name {
    case "$code", "$scope": return try code(all)
    case "$regex", "$options": return legacyRegex(all)
    case "$binary":
      if case .string = inner { return try legacyBinary(all) }
    default: break
    }
    guard let read = readers[name] else { return nil }
    guard all.count == 1 else { throw fault(name, "has fields beside it") }
    guard let value = try read(inner) else { throw fault(name, "has a value of another kind") }
    return value
  }

  private typealias Reader = @Sendable (JSON) throws(BSONError) -> Value?

  private static let readers: [String: Reader] = [
    "$oid": { json in string(json).flatMap { ObjectID($0) }.map { .objectID($0) } },
    "$symbol": { json in string(json).map { .symbol($0) } },
    "$numberInt": { json in
      string(json).flatMap { NumberText.isInteger($0) ? Int32($0) : nil }.map { .int32($0) }
    },
    "$numberLong": { json in long(json).map { .int64($0) } },
    "$numberDouble": { json in
      string(json).flatMap { NumberText.parseDouble($0) }.map { .double($0) }
    },
    "$numberDecimal": { json in
      string(json).flatMap { Decimal128($0) }.map { .decimal128($0) }
    },
    "$binary": { json in binary(json) },
    "$uuid": { json in string(json).flatMap { uuid($0) } },
    "$timestamp": { json in timestamp(json) },
    "$regularExpression": { json in regex(json) },
    "$dbPointer": { json in dbPointer(json) },
    "$date": { json in date(json).map { .date(DateTime(milliseconds: $0)) } },
    "$minKey": { json in json == .number("1") ? .minKey : nil },
    "$maxKey": { json in json == .number("1") ? .maxKey : nil },
    "$undefined": { json in json == .bool(true) ? .undefined : nil },
  ]

  private static func fault(_ name: String, _ problem: String) -> BSONError {
    BSONError(.invalidJSON, "the Extended JSON wrapper \(name) \(problem)")
  }

  // MARK: - Values

  private static func string(_ json: JSON?) -> String? {
    if case .string(let text) = json { text } else { nil }
  }

  /// The values of an object that has exactly these names, in their order.
  private static func fields(_ json: JSON, _ names: String...) -> [JSON]? {
    guard case .object(let members) = json else { return nil }
    return fields(members, names)
  }

  private static func fields(_ members: [JSON.Member], _ names: [String]) -> [JSON]? {
    guard members.count == names.count else { return nil }
    var values: [JSON] = []
    for name in names {
      guard let member = members.first(where: { $0.key == name }) else { return nil }
      values.append(member.value)
    }
    return values
  }

  private static func long(_ json: JSON) -> Int64? {
    string(json).flatMap { NumberText.isInteger($0) ? Int64($0) : nil }
  }

  private static func date(_ json: JSON) -> Int64? {
    switch json {
    case .string(let text): ISODate.parse(text)
    case .number(let text): Int64(text)
    case .object: fields(json, "$numberLong").flatMap { long($0[0]) }
    default: nil
    }
  }

  private static func subtype(_ json: JSON) -> UInt8? {
    guard let text = string(json), (1...2).contains(text.utf8.count),
      let bytes = Hex.decode(Array((text.utf8.count == 1 ? "0" + text : text).utf8))
    else { return nil }
    return bytes.first
  }

  private static func binary(_ json: JSON) -> Value? {
    guard let parts = fields(json, "base64", "subType"),
      let text = string(parts[0]), let bytes = Base64.decode(Array(text.utf8)),
      let subtype = subtype(parts[1])
    else { return nil }
    return .binary(Binary(bytes: bytes, subtype: subtype))
  }

  private static func legacyBinary(_ members: [JSON.Member]) throws(BSONError) -> Value {
    guard let parts = fields(members, ["$binary", "$type"]), let text = string(parts[0]),
      let bytes = Base64.decode(Array(text.utf8)), let subtype = subtype(parts[1])
    else { throw fault("$binary", "is neither of its two forms") }
    return .binary(Binary(bytes: bytes, subtype: subtype))
  }

  private static func uuid(_ text: String) -> Value? {
    let digits = Array(text.utf8)
    let dashes = digits.indices.filter { digits[$0] == UInt8(ascii: "-") }
    guard dashes.isEmpty || dashes == [8, 13, 18, 23],
      let bytes = Hex.decode(digits.filter { $0 != UInt8(ascii: "-") }), bytes.count == 16
    else { return nil }
    return .binary(Binary(bytes: bytes, subtype: 4))
  }

  private static func timestamp(_ json: JSON) -> Value? {
    guard let parts = fields(json, "t", "i"), case .number(let t) = parts[0],
      case .number(let i) = parts[1], let seconds = UInt32(t), let increment = UInt32(i)
    else { return nil }
    return .timestamp(Timestamp(seconds: seconds, increment: increment))
  }

  private static func regex(_ json: JSON) -> Value? {
    guard let parts = fields(json, "pattern", "options") else { return nil }
    return regex(pattern: parts[0], options: parts[1])
  }

  private static func regex(pattern: JSON, options: JSON) -> Value? {
    guard let pattern = string(pattern), let options = string(options),
      !pattern.utf8.contains(0), !options.utf8.contains(0)
    else { return nil }
    return .regex(RegularExpression(pattern: pattern, options: sorted(options)))
  }

  /// The letters in the order in which BSON stores them.
  static func sorted(_ options: String) -> String {
    String(String.UnicodeScalarView(options.unicodeScalars.sorted()))
  }

  /// Only the pair of strings was ever written for a value; anything else is the query operator.
  private static func legacyRegex(_ members: [JSON.Member]) -> Value? {
    guard let parts = fields(members, ["$regex", "$options"]) else { return nil }
    return regex(pattern: parts[0], options: parts[1])
  }

  private static func dbPointer(_ json: JSON) -> Value? {
    guard let parts = fields(json, "$ref", "$id"), let namespace = string(parts[0]),
      let id = fields(parts[1], "$oid"), let hex = string(id[0]), let object = ObjectID(hex)
    else { return nil }
    return .dbPointer(DBPointer(namespace: namespace, id: object))
  }

  private static func code(_ members: [JSON.Member]) throws(BSONError) -> Value {
    if let parts = fields(members, ["$code"]), let code = string(parts[0]) {
      return .javascript(code)
    }
    guard let parts = fields(members, ["$code", "$scope"]), let code = string(parts[0]),
      case .object(let scope) = parts[1]
    else { throw fault("$code", "needs a string, and a document in $scope at most") }
    var builder = JSONBuilder()
    return .javascriptWithScope(code, try builder.document(scope))
  }
}
