import BSON

extension DataContext.Keeps {
  init(_ undo: StepOptions.Undo) {
    switch undo {
    case .auto: self = .touchedFields
    case .document: self = .wholeDocument
    case .none: self = .nothing
    }
  }
}

extension DataOutcome {
  /// The counts that are not zero, for the journal; nil when all are.
  var document: Document? {
    let counts: [(String, Int64)] = [
      ("matched", matched), ("modified", modified), ("inserted", inserted), ("deleted", deleted),
      ("upserted", upserted),
    ]
    let found = counts.filter { $0.1 > 0 }.map { ($0.0, Value.int64($0.1)) }
    return found.isEmpty ? nil : Document(found)
  }
}

extension UndoOutcome {
  /// A sentence about documents that were left alone; nil without any.
  func note(on collection: String) -> String? {
    guard skipped > 0 else { return nil }
    let examples = samples.prefix(5).map {
      "\(ExtendedJSON.text($0.id, .relaxed)) (\($0.reason.rawValue))"
    }.joined(separator: ", ")
    return "\(skipped) documents of \(collection) were left as they are: _id \(examples)"
  }
}
