import BSON

/// Values as one line of YAML, for the safer form of a step.
enum FlowYAML {
  static func text(_ document: Document) -> String {
    document.isEmpty
      ? "{}"
      : "{ " + document.map { "\(scalar($0.key)): \(text($0.value))" }.joined(separator: ", ")
        + " }"
  }

  static func text(_ value: Value) -> String {
    switch value {
    case .document(let document): text(document)
    case .array(let items): "[" + items.map { text($0) }.joined(separator: ", ") + "]"
    case .string(let string): scalar(string)
    case .int32(let number): "\(number)"
    case .int64(let number): "\(number)"
    case .double(let number): "\(number)"
    case .bool(let flag): "\(flag)"
    case .null: "null"
    default: "…"
    }
  }

  /// A name or a string, quoted where a plain one would be read as something else.
  static func scalar(_ text: String) -> String {
    let plain = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."),
        UInt8(ascii: "$"):
        true
      default: false
      }
    }
    if plain, CoreScalar.value(text) == .string(text) { return text }
    let escaped = text.reduce(into: "") { out, character in
      out += character == "\"" || character == "\\" ? "\\\(character)" : String(character)
    }
    return "\"\(escaped)\""
  }
}

extension Value {
  /// The value cut to what can be shown in a message: the type for everything that may hold data.
  var kind: String {
    switch self {
    case .document: "a mapping"
    case .array: "a list"
    case .string: "a string"
    case .int32, .int64, .double, .decimal128: "a number"
    case .bool: "a boolean"
    case .null: "null"
    default: "another type"
    }
  }

  /// The documents of an array of documents; empty for everything else.
  var documents: [Document] { arrayValue?.compactMap(\.documentValue) ?? [] }
}
