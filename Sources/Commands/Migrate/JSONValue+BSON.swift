import BSON
import Foundation
import Migration

extension JSONValue {
  /// Relaxed Extended JSON of a document, in its order.
  init(_ document: Document) {
    self = .object(document.map { ($0.key, JSONValue($0.value)) })
  }

  /// Relaxed Extended JSON of a value.
  init(_ value: BSON.Value) {
    switch value {
    case .null: self = .null
    case .bool(let flag): self = .bool(flag)
    case .int32(let number): self = .integer(Int64(number))
    case .int64(let number): self = .integer(number)
    case .double(let number) where number.isFinite: self = .double(number)
    case .string(let text): self = .string(text)
    case .document(let document): self.init(document)
    case .array(let items): self = .array(items.map { JSONValue($0) })
    default: self.init(wrapped: ExtendedJSON.text(value, .relaxed))
    }
  }

  /// The types that JSON lacks come as objects such as `{"$oid": "…"}`, with text in them.
  private init(wrapped text: String) {
    let parsed = try? JSONSerialization.jsonObject(with: Data(text.utf8))
    self = JSONValue(plain: parsed as? [String: Any] ?? [:])
  }

  private init(plain: Any) {
    switch plain {
    case let fields as [String: Any]:
      self = .object(fields.sorted { $0.key < $1.key }.map { ($0.key, JSONValue(plain: $0.value)) })
    case let text as String: self = .string(text)
    case let number as NSNumber: self = .integer(number.int64Value)
    default: self = .null
    }
  }
}

extension MigrationError {
  /// An error within a longer result.
  var json: JSONValue {
    [
      "code": .string(code.rawValue), "message": .string(message),
      "file": .string(optional: file), "line": .integer(optional: line),
      "column": .integer(optional: column), "hint": .string(optional: hint),
    ]
  }
}

extension Page {
  /// Errors that are part of a result, each with its hint.
  mutating func errors(_ title: String, _ errors: [MigrationError]) {
    guard !errors.isEmpty else { return }
    line()
    heading(title)
    for error in errors.flatMap({ [$0] + $0.others }) {
      let place = [error.file, error.line.map(String.init), error.column.map(String.init)]
        .compactMap(\.self).joined(separator: ":")
      line(StyledText("  " + (place.isEmpty ? "" : place + ": ")) + StyledText(error.message, .bad))
      if let hint = error.hint { line("    \("HINT:", .bold) \(hint)") }
    }
  }
}
