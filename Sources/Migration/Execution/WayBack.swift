import BSON
import Foundation
import MongoDB

/// Whether what a `down` needs is still there: what was forgotten, or dropped by hand, cannot come back.
struct WayBack {
  let database: Database
  let names: LedgerNames

  /// - Throws: ``MigrationError`` `.irreversible` for the first step that kept something which is gone;
  ///   `MongoError`.
  func check(_ plan: Plan) throws {
    for planned in plan.migrations where planned.down == .journal {
      guard let entry = planned.entry else { continue }
      for step in planned.steps where step.index < entry.steps.count {
        try check(step, entry.steps[step.index], entry)
      }
    }
  }

  private func check(_ step: PlannedStep, _ line: JournalStep, _ entry: LedgerEntry) throws {
    switch step.command["kind"]?.stringValue {
    case "data": try checkPreimages(step, line, entry)
    case "unkeep": try checkKept(step.command, step, line, entry)
    case "rename":
      guard let target = step.command["target"]?.documentValue else { return }
      try checkKept(target, step, line, entry)
    default: break
    }
  }

  // MARK: - Pre-images

  private func checkPreimages(
    _ step: PlannedStep, _ line: JournalStep, _ entry: LedgerEntry
  ) throws {
    let undo = names.undo(of: entry.name)
    let checkpoint = try database.findOne(
      undo, filter: ["_id": .string("checkpoint.\(step.index)")])
    guard let state = checkpoint?["state"]?.documentValue.flatMap({ StepState($0) }) else {
      let forgotten = try forgottenAt([entry.name, undo], since: entry)
      // One that began without a checkpoint has changed nothing yet, unless that was forgotten.
      guard Self.changed(line) || forgotten != nil else { return }
      throw gone("the pre-images in \(undo)", forgotten, step, entry)
    }
    guard state.phase == .running || state.phase == .complete else { return }
    var filter = UndoRecord.range(step: step.index)
    filter.append("_id.b", ["$exists": false])
    let found = try database.aggregate(
      undo, pipeline: [["$match": .document(filter)], ["$count": "n"]]
    ).next()?["n"]?.integerValue
    if (found ?? 0) < state.records {
      throw gone("a part of the pre-images in \(undo)", nil, step, entry)
    }
  }

  private static func changed(_ line: JournalStep) -> Bool {
    ["modified", "inserted", "deleted", "upserted"].contains {
      (line.result?[$0]?.integerValue ?? 0) > 0
    }
  }

  // MARK: - Kept collections

  private func checkKept(
    _ intent: Document, _ step: PlannedStep, _ line: JournalStep, _ entry: LedgerEntry
  ) throws {
    guard let kept = intent["kept"]?.stringValue,
      let collection = intent["collection"]?.stringValue,
      try !isThere(kept)
    else { return }
    let record = try database.findOne(names.kept, filter: ["_id": .string(kept)])
    guard record?["archive"] == nil else { return }
    let forgotten = try forgottenAt([kept], since: entry)
    // One without documents was dropped, and comes back empty.
    guard record != nil || forgotten != nil || line.result?["kept"]?.stringValue == kept else {
      return
    }
    // Not renamed yet, or empty and dropped just before its record would have been erased.
    if line.state == .started, forgotten == nil { return }
    // A `down` that died may have brought it back already.
    if entry.status == .reverting, try isThere(collection),
      try database.findOne(collection, options: ["projection": ["_id": 1]]) != nil
    {
      return
    }
    throw gone("\(collection), kept as \(kept)", forgotten, step, entry)
  }

  private func isThere(_ collection: String) throws -> Bool {
    try !database.listCollections(filter: ["name": .string(collection)]).isEmpty
  }

  // MARK: - Parts

  /// When one of these was given to `forget`, since the migration began.
  private func forgottenAt(_ forgotten: [String], since entry: LedgerEntry) throws -> DateTime? {
    var filter: Document = [
      "action": .string(History.Action.forget.rawValue),
      "name": ["$in": .array(forgotten.map { .string($0) })],
    ]
    if let began = entry.startedAt { filter.append("at", ["$gte": .date(began)]) }
    return try database.findOne(names.history, filter: filter, options: ["sort": ["at": -1]])?[
      "at"]?
      .dateValue
  }

  private static func text(_ at: DateTime) -> String {
    Date(timeIntervalSince1970: Double(at.milliseconds) / 1000).formatted(.iso8601)
  }

  private func gone(
    _ what: String, _ forgotten: DateTime?, _ step: PlannedStep, _ entry: LedgerEntry
  ) -> MigrationError {
    let why = forgotten.map { "was forgotten at \(Self.text($0))" } ?? "is gone"
    return MigrationError(
      .irreversible,
      "step \(step.index + 1) (\(step.name)) of \(entry.name) cannot be taken back: what it kept "
        + "(\(what)) \(why)",
      hint: "restore a backup from before it, or write a new migration that goes forward")
  }
}
