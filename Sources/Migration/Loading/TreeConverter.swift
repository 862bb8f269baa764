import BSON

/// Trees to BSON values, Extended JSON v2 wrappers included.
struct TreeConverter {
  let file: String

  /// - Throws: `invalidValue` for a wrapper that is not what it should be.
  func value(_ tree: Tree) throws(MigrationError) -> Value {
    switch tree.content {
    case .scalar(let value, _): return value
    case .sequence(let items):
      var values: [Value] = []
      values.reserveCapacity(items.count)
      for item in items { values.append(try value(item)) }
      return .array(values)
    case .mapping(let entries):
      if let first = entries.first, first.key.utf8.first == UInt8(ascii: "$"),
        Self.wrappers.contains(first.key)
      {
        return try wrapped(entries, tree)
      }
      return .document(try document(entries))
    }
  }

  func document(_ entries: [Tree.Entry]) throws(MigrationError) -> Document {
    var result = Document()
    for entry in entries { result.append(entry.key, try value(entry.value)) }
    return result
  }

  /// First keys that make a mapping one value. `$regex` and `$type` are not here: they are query
  /// operators, and `$regularExpression` is what version 2 writes for a value.
  private static let wrappers: Set<String> = [
    "$oid", "$symbol", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal", "$binary",
    "$uuid", "$code", "$scope", "$timestamp", "$regularExpression", "$dbPointer", "$date",
    "$minKey", "$maxKey", "$undefined",
  ]

  private func wrapped(_ entries: [Tree.Entry], _ tree: Tree) throws(MigrationError) -> Value {
    if entries.count == 1, entries[0].key == "$date", entries[0].value.string == "now" {
      return RunTime.marker
    }
    do {
      return try ExtendedJSON.parse(json(tree))
    } catch {
      let name = entries[0].key
      throw MigrationError(
        .invalidValue, "not a valid Extended JSON value: \(name): \(error.message)", file: file,
        line: tree.line, column: tree.column,
        hint: Self.examples[name].map { "expected the form { \(name): \($0) }" })
    }
  }

  private static let examples = [
    "$oid": "\"24 hexadecimal digits\"", "$date": "\"2026-01-31T12:00:00Z\"",
    "$numberLong": "\"123\"", "$numberInt": "\"123\"", "$numberDouble": "\"1.5\"",
    "$numberDecimal": "\"1.50\"", "$binary": "{ base64: \"…\", subType: \"00\" }",
    "$uuid": "\"00112233-4455-6677-8899-aabbccddeeff\"",
    "$timestamp": "{ t: 1, i: 1 }", "$regularExpression": "{ pattern: \"…\", options: \"\" }",
    "$minKey": "1", "$maxKey": "1", "$undefined": "true",
  ]

  /// Wrappers whose value is a string in JSON but looks like a number without quotes in YAML:
  /// the text counts, not what the core schema makes of it (`5e12…` would be a float).
  private static let textual: Set<String> = [
    "$oid", "$symbol", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal", "$uuid",
    "$code", "subType", "base64", "pattern", "options",
  ]

  private func json(_ tree: Tree, under key: String? = nil) -> String {
    switch tree.content {
    case .scalar(let value, let text):
      if let key, Self.textual.contains(key), value != .null { return quoted(text) }
      switch value {
      case .null: return "null"
      case .bool(let flag): return flag ? "true" : "false"
      case .int32, .int64, .double: return value.integerValue.map { "\($0)" } ?? quoted(text)
      default: return quoted(text)
      }
    case .sequence(let items): return "[" + items.map { json($0) }.joined(separator: ",") + "]"
    case .mapping(let entries):
      let pairs = entries.map { quoted($0.key) + ":" + json($0.value, under: $0.key) }
      return "{" + pairs.joined(separator: ",") + "}"
    }
  }

  private func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\u{0}"..<"\u{20}":
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}
