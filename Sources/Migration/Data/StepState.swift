internal import BSON

/// How far a data step is; what its checkpoint document holds.
struct StepState: Sendable, Hashable {
  enum Phase: String, Sendable, Hashable {
    case running, complete, undoing, undone
  }

  var phase = Phase.running
  /// Position of the statement to go on with.
  var statement = 0
  /// True when the statement is being walked by `_id`.
  var walking = false
  /// The `_id` up to which the statement has been done.
  var last: RawValue?
  /// Documents of an insert that are done.
  var position = 0
  /// Number of the next undo record.
  var records = 0
  /// Chunks committed, which names crash points.
  var commits = 0
  var outcome = DataOutcome()
  var undo = UndoOutcome()

  init() {}

  /// Goes on to the next statement.
  mutating func finishStatement() {
    statement += 1
    walking = false
    last = nil
  }

  init?(_ document: Document) {
    guard let phase = document["phase"]?.stringValue.flatMap(Phase.init) else { return nil }
    func number(_ key: String) -> Int64 { document[key]?.integerValue ?? 0 }
    self.phase = phase
    statement = Int(number("statement"))
    walking = document["walking"]?.boolValue ?? false
    last = RawValue(document, "last")
    position = Int(number("position"))
    records = Int(number("records"))
    commits = Int(number("commits"))
    outcome = DataOutcome(
      matched: number("matched"), modified: number("modified"), inserted: number("inserted"),
      deleted: number("deleted"), upserted: number("upserted"))
    undo.restored = number("restored")
    undo.skipped = number("skipped")
    undo.samples = (document["samples"]?.arrayValue ?? []).compactMap { value in
      guard let sample = value.documentValue, let id = sample["id"],
        let reason = sample["reason"]?.stringValue.flatMap(UndoOutcome.Reason.init)
      else { return nil }
      return UndoOutcome.Skip(id: id, reason: reason)
    }
  }

  func encoded() throws(BSONError) -> Document {
    var writer = RawWriter()
    writer.append("phase", .string(phase.rawValue))
    writer.append("statement", .integer(statement))
    writer.append("walking", .bool(walking))
    if let last { writer.append("last", last) }
    for (key, value) in [("position", position), ("records", records), ("commits", commits)] {
      writer.append(key, .integer(value))
    }
    for (key, value) in [
      ("matched", outcome.matched), ("modified", outcome.modified), ("inserted", outcome.inserted),
      ("deleted", outcome.deleted), ("upserted", outcome.upserted), ("restored", undo.restored),
      ("skipped", undo.skipped),
    ] {
      writer.append(key, .int64(value))
    }
    let samples = undo.samples.map { sample -> Value in
      ["id": sample.id, "reason": .string(sample.reason.rawValue)]
    }
    writer.append("samples", .array(samples))
    return try writer.finish()
  }
}
