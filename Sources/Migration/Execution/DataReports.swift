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
  /// The documents that were left alone, as a report lists them.
  func left(of collection: String) -> [RunReport.Left] {
    samples.map { RunReport.Left(collection: collection, id: $0.id, reason: $0.reason.rawValue) }
  }

  /// A sentence about documents that were left alone; nil without any.
  func note(on collection: String) -> String? {
    guard skipped > 0 else { return nil }
    let examples = samples.prefix(20).map {
      "\(ExtendedJSON.text($0.id, .relaxed)) (\($0.reason.rawValue))"
    }.joined(separator: ", ")
    let more = skipped - Int64(min(samples.count, 20))
    return "\(skipped) document\(skipped == 1 ? "" : "s") of \(collection) "
      + "\(skipped == 1 ? "was left as it is" : "were left as they are"): _id \(examples)"
      + (more > 0 ? " and \(more) more, listed by `migrate history --json`" : "")
  }
}
