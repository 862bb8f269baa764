internal import BSON

/// An inverse as it stands in the ledger.
///
/// Servers before 5.0 refuse an update that stores a name with `$` (52), which a validator or a partial
/// index has. What holds one is stored as the bytes of its BSON, on every server, so that a ledger can be read
/// wherever it came from.
enum StoredUndo {
  private static let field = "bson"

  static func storable(_ undo: Document) -> Document {
    guard hasOperator(undo) else { return undo }
    var out = Document()
    for name in ["kind", "collection"] {
      if let value = undo[name] { out.append(name, value) }
    }
    out.append(field, .binary(Binary(bytes: undo.bytes)))
    return out
  }

  /// What ``storable(_:)`` was given.
  static func read(_ stored: Document) -> Document {
    guard let bytes = stored[field]?.binaryValue?.stored else { return stored }
    return (try? Document(bytes: bytes)) ?? stored
  }

  private static func hasOperator(_ document: Document) -> Bool {
    document.contains { $0.key.hasPrefix("$") || hasOperator($0.value) }
  }

  private static func hasOperator(_ value: Value) -> Bool {
    switch value {
    case .document(let document): hasOperator(document)
    case .array(let values): values.contains(where: hasOperator)
    default: false
    }
  }
}
