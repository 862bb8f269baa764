public import BSON
public import MongoDB

/// The append-only record of every attempt.
public struct History {
  /// What an attempt was.
  public enum Action: String, Sendable {
    case up, down, mark, unmark, baseline, repair, forget
    case unlock = "unlock"
  }

  let database: Database
  let names: LedgerNames

  public init(_ database: Database, names: LedgerNames) {
    self.database = database
    self.names = names
  }

  /// Adds one line; waits for the majority.
  public func append(
    _ action: Action, name: String, at: DateTime, outcome: String, by: Document,
    details: Document = [:], session: Session? = nil
  ) throws {
    var document: Document = [
      "_id": .objectID(.generate(seconds: UInt32(truncatingIfNeeded: at.milliseconds / 1000))),
      "name": .string(name), "action": .string(action.rawValue), "at": .date(at),
      "outcome": .string(outcome),
    ]
    document.append(contentsOf: details)
    document.append("by", .document(by))
    _ = try database.insert(names.history, [document], session: session)
  }

  /// Lines in the order of time, of one migration or all; the newest `limit`.
  public func lines(of name: String? = nil, limit: Int = 1000) throws -> [Document] {
    var filter: Document = [:]
    if let name { filter = ["name": .string(name)] }
    let lines = try database.find(
      names.history, filter: filter,
      options: ["sort": ["at": -1, "_id": -1], "limit": .integer(limit)]
    ).all()
    return lines.reversed()
  }
}
