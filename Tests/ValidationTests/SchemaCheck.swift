import BSON
import Foundation

/// As much of JSON Schema as `docs/report.schema.json` uses.
struct SchemaCheck {
  let root: Document

  init(_ root: Document) { self.root = root }

  func problems(_ value: Value) -> [String] { problems(value, root, "$") }

  private func problems(_ value: Value, _ schema: Document, _ path: String) -> [String] {
    var schema = schema
    if let reference = schema["$ref"]?.stringValue {
      let name = String(reference.split(separator: "/").last ?? "")
      schema = root["$defs"]?.documentValue?[name]?.documentValue ?? [:]
    }
    var problems: [String] = []
    let types =
      schema["type"]?.arrayValue?.compactMap(\.stringValue)
      ?? [schema["type"]?.stringValue].compactMap(\.self)
    if !types.isEmpty,
      !types.contains(where: { $0 == kind(value) || $0 == "number" && kind(value) == "integer" })
    {
      problems.append("\(path) is \(kind(value)), not \(types)")
    }
    if let allowed = schema["enum"]?.arrayValue, !allowed.contains(value) {
      problems.append("\(path) is not in the list")
    }
    if let wanted = schema["const"], wanted != value { problems.append("\(path) is not constant") }
    if let document = value.documentValue {
      let properties = schema["properties"]?.documentValue ?? [:]
      for name in schema["required"]?.arrayValue?.compactMap(\.stringValue) ?? []
      where !document.has(name) {
        problems.append("\(path).\(name) is missing")
      }
      for element in document {
        if let inner = properties[element.key]?.documentValue {
          problems += self.problems(element.value, inner, "\(path).\(element.key)")
        } else if schema["additionalProperties"] == false {
          problems.append("\(path).\(element.key) is unknown")
        }
      }
    }
    if let items = value.arrayValue, let inner = schema["items"]?.documentValue {
      for (index, item) in items.enumerated() {
        problems += self.problems(item, inner, "\(path)[\(index)]")
      }
    }
    return problems
  }

  private func kind(_ value: Value) -> String {
    switch value {
    case .document: "object"
    case .array: "array"
    case .string: "string"
    case .bool: "boolean"
    case .int32, .int64: "integer"
    case .double: "number"
    default: "null"
    }
  }
}

/// Whether tags close in the order in which they open, and nothing stands unescaped.
struct XMLParserCheck {
  let isWellFormed: Bool

  init(_ text: String) {
    var stack: [String] = []
    var isGood = true
    for piece in text.components(separatedBy: "<").dropFirst() {
      guard let end = piece.firstIndex(of: ">") else {
        isGood = false
        break
      }
      let tag = String(piece[..<end])
      if tag.hasPrefix("?") { continue }
      if tag.hasPrefix("/") {
        if stack.popLast() != String(tag.dropFirst()) { isGood = false }
      } else if !tag.hasSuffix("/") {
        stack.append(String(tag.split(separator: " ")[0]))
      }
    }
    isWellFormed = isGood && stack.isEmpty
  }
}
