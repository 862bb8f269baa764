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
    journal.entries = entries(document["stages"])
    journal.past = entries(document["attempts"])
    journal.answers = answers(document["answers"])
    journal.notes = (document["notes"]?.arrayValue ?? []).compactMap(\.stringValue)
    journal.backup = document["backup"]?.stringValue
    journal.mayHaveChanged = document["mayHaveChanged"]?.boolValue ?? false
    journal.mayBeStopped = document["mayBeStopped"]?.boolValue ?? journal.mayHaveChanged
    journal.inLedger = document["inLedger"]?.arrayValue?.compactMap(\.stringValue)
    journal.migrators = (document["migrators"]?.arrayValue ?? []).compactMap(\.integerValue)
    journal.recovery = recovery(document["recovery"]?.documentValue)
    if let fields = document["process"]?.documentValue, let pid = fields["pid"]?.integerValue,
      let begunAt = fields["begunAt"]?.stringValue
    {
      journal.process = Process(pid: Int32(truncatingIfNeeded: pid), begunAt: begunAt)
    }
    for element in document["expectedMs"]?.documentValue ?? [:] {
      guard let stage = WindowStage(rawValue: element.key) else { continue }
      journal.expected[stage] = element.value.integerValue
    }
    return journal
  }

  private static func entries(_ list: Value?) -> [Entry] {
    (list?.arrayValue ?? []).compactMap(\.documentValue).compactMap { fields in
      guard let stage = WindowStage(rawValue: fields["stage"]?.stringValue ?? ""),
        let state = State(rawValue: fields["state"]?.stringValue ?? "")
      else { return nil }
      return Entry(
        stage: stage, state: state, startedAt: fields["startedAt"]?.integerValue ?? 0,
        duration: fields["durationMs"]?.integerValue ?? 0, detail: fields["detail"]?.stringValue)
    }
  }

  private static func answers(_ list: Value?) -> [Answer] {
    (list?.arrayValue ?? []).compactMap(\.documentValue).compactMap { fields in
      guard let title = fields["title"]?.stringValue,
        let state = State(rawValue: fields["state"]?.stringValue ?? "")
      else { return nil }
      return Answer(
        title: title, state: state, startedAt: fields["startedAt"]?.integerValue ?? 0,
        duration: fields["durationMs"]?.integerValue ?? 0)
    }
  }

  private static func recovery(_ fields: Document?) -> Recovery? {
    guard let fields, let stage = WindowStage(rawValue: fields["stage"]?.stringValue ?? ""),
      let code = fields["exitCode"]?.integerValue
    else { return nil }
    return Recovery(
      stage: stage, status: CommandStatus(rawValue: Int32(truncatingIfNeeded: code)) ?? .failed,
      detail: fields["detail"]?.stringValue ?? "",
      isSignal: fields["signal"]?.boolValue ?? false,
      isSettled: fields["settled"]?.boolValue ?? false, isBack: fields["back"]?.boolValue ?? false)
  }

  // MARK: -

  func write(_ path: String) throws(CommandError) {
    let expected = expected.sorted { $0.key.rawValue < $1.key.rawValue }
    let json: JSONValue = [
      "schema": .string(Self.schema), "database": .string(database),
      "startedAt": .integer(startedAt), "finished": .bool(isFinished),
      "backup": .string(optional: backup), "mayHaveChanged": .bool(mayHaveChanged),
      "mayBeStopped": .bool(mayBeStopped), "inLedger": inLedger.map { .strings($0) } ?? .null,
      "migrators": .array(migrators.map { .integer($0) }),
      "stages": Self.json(entries), "attempts": Self.json(past),
      "answers": .array(
        answers.map {
          [
            "title": .string($0.title), "state": .string($0.state.rawValue),
            "startedAt": .integer($0.startedAt), "durationMs": .integer($0.duration),
          ]
        }), "notes": .strings(notes),
      "recovery": recovery.map {
        [
          "stage": .string($0.stage.rawValue), "exitCode": .integer(Int64($0.status.rawValue)),
          "detail": .string($0.detail), "signal": .bool($0.isSignal),
          "settled": .bool($0.isSettled), "back": .bool($0.isBack),
        ]
      } ?? .null,
      "process": process.map {
        ["pid": .integer(Int64($0.pid)), "begunAt": .string($0.begunAt)]
      } ?? .null,
      "expectedMs": .object(expected.map { ($0.key.rawValue, .integer($0.value)) }),
    ]
    try DurableFile.write(json.text() + "\n", to: path, mode: 0o600)
  }

  private static func json(_ entries: [Entry]) -> JSONValue {
    .array(
      entries.map { entry in
        [
          "stage": .string(entry.stage.rawValue), "state": .string(entry.state.rawValue),
          "startedAt": .integer(entry.startedAt), "durationMs": .integer(entry.duration),
          "detail": .string(optional: entry.detail),
        ]
      })
  }
}

extension WindowJournal.Process {
  /// A process that has just been started.
  init?(_ pid: Int32) {
    guard let begunAt = Self.begun(pid) else { return nil }
    self.init(pid: pid, begunAt: begunAt)
  }

  /// Its shell, or anything else in its group; zombies are over.
  var isAlive: Bool {
    guard FileManager.default.fileExists(atPath: "/proc/self/stat") else {
      return kill(-pid, 0) == 0
    }
    if let now = Self.begun(pid), now != begunAt { return false }
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return all.compactMap { Int32($0) }.contains { other in
      guard let fields = Self.fields(other), fields.count > 2 else { return false }
      return fields[0] != "Z" && fields[2] == String(pid)
    }
  }

  /// Asks the whole group to end, and ends it after `grace`. Blocks.
  func stop(grace: Duration) {
    kill(-pid, SIGTERM)
    let deadline = ContinuousClock.now + grace
    while ContinuousClock.now < deadline, isAlive { usleep(50_000) }
    kill(-pid, SIGKILL)
    for _ in 0..<200 where isAlive { usleep(10_000) }
  }

  /// When the process began, in ticks since boot; nil where there is none, or the system does not tell.
  private static func begun(_ pid: Int32) -> String? {
    fields(pid).flatMap { $0.count > 19 ? $0[19] : nil }
  }

  /// What follows the name, which may hold blanks: state, parent, group, …
  private static func fields(_ pid: Int32) -> [String]? {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
      let name = text.lastIndex(of: ")")
    else { return nil }
    return text[text.index(after: name)...].split(separator: " ").map(String.init)
  }
}
