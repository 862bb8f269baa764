internal import Dump
internal import MongoDB

/// What a restore says of an error of any of the parts below it.
enum FailureWords {
  /// The error with another hint: the parts that there are, joined.
  static func hint(_ error: any Error, _ parts: (String?) -> [String?]) -> any Error {
    func joined(_ own: String?) -> String? {
      let words = parts(own).compactMap(\.self)
      return words.isEmpty ? nil : words.joined(separator: "; ")
    }
    switch error {
    case var error as BackupError:
      error.hint = joined(error.hint)
      return error
    case var error as DumpError:
      error.hint = joined(error.hint)
      return error
    case var error as MongoError:
      error.hint = joined(error.hint)
      return error
    default: return error
    }
  }

  /// One sentence, without hint and place.
  static func sentence(_ error: any Error) -> String {
    switch error {
    case let error as BackupError: error.message
    case let error as DumpError: error.message
    case let error as MongoError: error.message
    default: String(describing: error)
    }
  }

  /// Whether the next run may well meet the same: what the oplog, the store or the backup does not have can
  /// never be done. Not what passes with an election, a full disk, a signal or another user.
  static func isFinal(_ error: any Error) -> Bool {
    switch error {
    case let error as BackupError:
      [
        .gap, .conflict, .notFound, .damaged, .unreachableTime, .unsupported, .encryption,
        .mismatch,
        .usage,
      ].contains(error.code)
    case let error as DumpError:
      [.damaged, .inconsistent, .unsupported, .conflict, .usage, .partial].contains(error.code)
    case let error as MongoError:
      error.kind == .server && !error.isNetwork && !error.isNotPrimary
        && !passing.contains(error.code)
    default: false
    }
  }

  /// Locks, conflicts of writes, time, memory and disk, a build in progress, being stopped.
  private static let passing: Set<Int> = [
    13, 24, 46, 50, 91, 112, 146, 189, 202, 262, 10107, 11600, 11601, 11602, 12587, 13435, 13436,
    14031,
  ]
}
