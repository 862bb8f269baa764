import BSON
import Dump
import Fingerprint
import MongoDB
import TestSupport
import Testing

@testable import Backup

extension Shop {
  /// Some collections at a moment.
  struct State {
    let time: Timestamp
    let tallies: [String: CollectionTally]
  }

  func state(_ names: String...) throws -> State {
    State(
      time: try now(),
      tallies: Dictionary(uniqueKeysWithValues: try names.map { ($0, try tally($0)) }))
  }

  /// Captures what has happened, and recovers these; nothing of ours may be left.
  func recover(
    to state: State, only names: [String],
    _ change: (inout RestoreOptions) throws -> Void = { _ in }
  ) throws -> RestoreReport {
    try capture()
    let report = try restore(nil) { options in
      options.time = .entry(state.time)
      options.only = try names.map { try NamespacePattern(name + "." + $0) }
      try change(&options)
    }
    #expect(try !collections().contains { $0.contains(Temporary.prefix) })
    return report
  }

  /// What is done to the live database after the moment that it goes back to.
  func spoil(_ names: String...) throws {
    try server.withDatabase { database in
      for name in names {
        try database.drop(name)
        _ = try database.insert(name, [["_id": "spoilt"]])
      }
    }
  }
}
