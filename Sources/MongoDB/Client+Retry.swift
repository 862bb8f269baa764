internal import BSON

extension Client {
  /// Runs `send`, and once more when the server went away or is no longer the primary, if `command`
  /// only reads and no transaction is open. Writes are never sent twice from here.
  func repeating<R>(
    _ command: Document, _ session: Session?, _ send: () throws(MongoError) -> R
  ) throws(MongoError) -> R {
    do {
      return try send()
    } catch {
      // A failed server selection has waited long enough already.
      guard error.isNotPrimary || error.domain == MongoError.networkDomain,
        !(session?.isInTransaction ?? false), command.onlyReads
      else { throw error }
      return try send()
    }
  }
}

extension Document {
  fileprivate var onlyReads: Bool {
    let name = commandName
    guard name == "aggregate" else { return Self.readingCommands.contains(name) }
    let stages = self["pipeline"]?.arrayValue ?? []
    return !stages.contains { stage in
      stage.documentValue.map { $0.has("$out") || $0.has("$merge") } ?? true
    }
  }

  private static let readingCommands: Set<String> = [
    "find", "distinct", "count", "listCollections", "listIndexes", "listDatabases", "hello",
    "isMaster", "buildInfo", "ping", "collStats", "dbStats", "connectionStatus", "getParameter",
    "replSetGetStatus", "serverStatus", "usersInfo", "rolesInfo",
  ]
}
