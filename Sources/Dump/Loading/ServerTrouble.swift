internal import MongoDB

/// Write errors that are not about the document: the next one would fail in the same way.
enum ServerTrouble {
  /// Rights, a member that is no primary or ends, a full disk, time limits.
  static let codes: Set<Int> = [
    13, 50, 91, 189, 262, 8000, 10107, 11600, 11602, 13435, 13436, 14031,
  ]

  static func error(_ failure: MongoError.WriteError, of error: MongoError, _ item: LoadItem)
    -> DumpError
  {
    DumpError(
      .server, "the server cannot write: \(failure.message) (\(failure.code))",
      namespace: item.target.description, hint: hint(failure.code))
  }

  static func hint(_ code: Int) -> String? {
    switch code {
    case 14031: "make room on the server's disk, then load again with --drop"
    case 91, 189, 10107, 11600, 11602, 13435, 13436:
      "the replica set has elected another primary, or is about to: run it again"
    default: nil
    }
  }
}
