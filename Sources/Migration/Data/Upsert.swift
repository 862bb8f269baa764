internal import BSON

/// The `_id` of a document that an upsert is going to make.
extension UpdateStatement {
  /// The `_id` that the statement itself decides: by equality in the filter, or in a replacement.
  var fixedID: RawValue? {
    if let wanted = selection.filter["_id"] {
      guard let operators = wanted.documentValue, operators.keys.first?.hasPrefix("$") == true
      else {
        return RawValue(selection.filter, "_id")
      }
      return RawValue(operators, "$eq")
    }
    guard isReplacement, let made = document["u"]?.documentValue else { return nil }
    return RawValue(made, "_id")
  }

  /// The statement with upsert, making the document under that `_id`, where it leaves the choice.
  func making(_ id: RawValue) throws(BSONError) -> Document {
    let whole = narrowed(to: selection.filter, upsert: true)
    guard fixedID == nil, !Self.mentionsID(.document(selection.filter)), let update = document["u"]
    else { return whole }
    var writer = RawWriter()
    writer.append("_id", id)
    let named = try writer.finish()
    var result = whole
    switch update {
    case .array(let stages):
      result["u"] = .array(
        stages + [["$set": ["_id": ["$literal": named["_id"] ?? .null]]]])
    case .document(let change) where isReplacement:
      var replacement = named
      replacement.append(contentsOf: change)
      result["u"] = .document(replacement)
    case .document(var change):
      var onInsert = change["$setOnInsert"]?.documentValue ?? [:]
      guard !onInsert.has("_id") else { return whole }
      onInsert.append(contentsOf: named)
      change["$setOnInsert"] = .document(onInsert)
      result["u"] = .document(change)
    default: break
    }
    return result
  }

  private var isReplacement: Bool {
    guard case .document(let change)? = document["u"] else { return false }
    return change.isEmpty || !change.keys.allSatisfy { $0.hasPrefix("$") }
  }

  private static func mentionsID(_ value: Value) -> Bool {
    switch value {
    case .document(let document):
      document.contains { $0.key == "_id" || mentionsID($0.value) }
    case .array(let values): values.contains(where: mentionsID)
    default: false
    }
  }
}
