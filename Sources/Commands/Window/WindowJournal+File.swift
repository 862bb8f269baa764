import BSON
import Foundation

extension WindowJournal {
  /// The journal in a file; nil when there is none.
  /// - Throws: `CommandError` for a file that is no journal.
  static func read(_ path: String) throws(CommandError) -> WindowJournal? {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    guard let document = try? ExtendedJSON.parseDocument(utf8: [UInt8](data)),
      document["schema"]?.stringValue == schema,
      let database = document["database"]?.stringValue,
      let startedAt = document["startedAt"]?.integerValue
    else {
      throw CommandError(
        .file, "\(path) is no journal of a window",
        hint: "look at it; when it is of no use, remove it")
    }
    var journal = WindowJournal(database: database, startedAt: startedAt)
    journal.isFinished = document["finished"]?.boolValue ?? false
    for fields in (document["stages"]?.arrayValue ?? []).compactMap(\.documentValue) {
      guard let stage = WindowStage(rawValue: fields["stage"]?.stringValue ?? ""),
        let state = State(rawValue: fields["state"]?.stringValue ?? "")
      else { continue }
      journal.entries.append(
        Entry(
          stage: stage, state: state, startedAt: fields["startedAt"]?.integerValue ?? 0,
          duration: fields["durationMs"]?.integerValue ?? 0,
          detail: fields["detail"]?.stringValue))
    }
    return journal
  }

  func write(_ path: String) throws(CommandError) {
    let stages = entries.map { entry -> JSONValue in
      [
        "stage": .string(entry.stage.rawValue), "state": .string(entry.state.rawValue),
        "startedAt": .integer(entry.startedAt), "durationMs": .integer(entry.duration),
        "detail": .string(optional: entry.detail),
      ]
    }
    let json: JSONValue = [
      "schema": .string(Self.schema), "database": .string(database),
      "startedAt": .integer(startedAt), "finished": .bool(isFinished), "stages": .array(stages),
    ]
    try DurableFile.write(json.text() + "\n", to: path, mode: 0o600)
  }
}
