/// A JSON value whose objects keep their order, so that output is the same every time.
enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  case integer(Int64)
  case double(Double)
  case string(String)
  case array([JSONValue])
  case members([Member])

  struct Member: Sendable, Hashable {
    var name: String
    var value: JSONValue
  }

  static func object(_ fields: [(String, JSONValue)]) -> JSONValue {
    .members(fields.map { Member(name: $0.0, value: $0.1) })
  }

  /// `null` where there is no value.
  static func string(optional text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }

  /// `null` where there is no value.
  static func integer(optional number: (some BinaryInteger)?) -> JSONValue {
    number.map { .integer(Int64($0)) } ?? .null
  }

  static func strings(_ texts: some Sequence<String>) -> JSONValue {
    .array(texts.map(JSONValue.string))
  }

  subscript(name: String) -> JSONValue? {
    guard case .members(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  /// The text of this value; with `pretty`, on several lines indented by two.
  func text(pretty: Bool = true) -> String {
    var out = ""
    write(to: &out, indent: pretty ? 0 : nil)
    return out
  }

  private func write(to out: inout String, indent: Int?) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .integer(let value): out += String(value)
    // JSON has no word for these; null is what other writers print.
    case .double(let value): out += value.isFinite ? String(value) : "null"
    case .string(let value): Self.write(value, to: &out)
    case .array(let values):
      Self.write(values, open: "[", close: "]", to: &out, indent: indent) { value, out, indent in
        value.write(to: &out, indent: indent)
      }
    case .members(let members):
      Self.write(members, open: "{", close: "}", to: &out, indent: indent) { member, out, indent in
        Self.write(member.name, to: &out)
        out += indent == nil ? ":" : ": "
        member.value.write(to: &out, indent: indent)
      }
    }
  }

  private static func write<Item>(
    _ items: [Item], open: String, close: String, to out: inout String, indent: Int?,
    each: (Item, inout String, Int?) -> Void
  ) {
    out += open
    let inner = indent.map { $0 + 2 }
    for (index, item) in items.enumerated() {
      if index > 0 { out += "," }
      newLine(inner, to: &out)
      each(item, &out, inner)
    }
    if !items.isEmpty { newLine(indent, to: &out) }
    out += close
  }

  private static func newLine(_ indent: Int?, to out: inout String) {
    guard let indent else { return }
    out += "\n" + String(repeating: " ", count: indent)
  }

  private static func write(_ text: String, to out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      // Legal in JSON as they are, yet a terminal would obey them.
      case _ where scalar.controlsTerminal: out += "\\u" + scalar.fourHexDigits
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
  ExpressibleByNilLiteral
{
  init(stringLiteral value: String) { self = .string(value) }
  init(integerLiteral value: Int64) { self = .integer(value) }
  init(booleanLiteral value: Bool) { self = .bool(value) }
  init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(elements) }
  init(nilLiteral: ()) { self = .null }
}
