import BSON
public import MongoDB

/// What the logged-in user may do, as the server lists it.
public struct Privileges: Sendable {
  /// `user@database`.
  public let user: String
  let granted: [Document]

  /// Asks the server; only reads.
  /// - Returns: nil when nobody is logged in, as on a server without access control.
  public static func read(_ client: Client) throws(MongoError) -> Privileges? {
    let reply = try client.run(["connectionStatus": 1, "showPrivileges": true], on: "admin")
    let info = reply["authInfo"]?.documentValue ?? [:]
    guard let user = info["authenticatedUsers"]?.arrayValue?.first?.documentValue else {
      return nil
    }
    return Privileges(
      user: "\(user["user"]?.stringValue ?? "?")@\(user["db"]?.stringValue ?? "?")",
      granted: (info["authenticatedUserPrivileges"]?.arrayValue ?? []).compactMap(\.documentValue))
  }

  /// True when an action is allowed on a collection.
  public func allows(_ action: String, database: String, collection: String) -> Bool {
    granted.contains { privilege in
      let resource = privilege["resource"]?.documentValue ?? [:]
      guard resource["anyResource"]?.isTruthy == true || covers(resource, database, collection)
      else { return false }
      return (privilege["actions"]?.arrayValue ?? []).contains {
        $0.stringValue == action || $0.stringValue == "anyAction"
      }
    }
  }

  /// An empty database or collection name in a resource means all, `system.` collections aside.
  private func covers(_ resource: Document, _ database: String, _ collection: String) -> Bool {
    guard let db = resource["db"]?.stringValue, let name = resource["collection"]?.stringValue
    else {
      return false
    }
    return (db == "" || db == database)
      && (name == "" ? !collection.hasPrefix("system.") : name == collection)
  }

  /// Refuses a run that would be stopped half-way, before anything is written.
  /// - Throws: ``MigrationError`` `.privilege`, all that is missing in one.
  func check(_ migrations: [Migration], database: String, names: LedgerNames) throws(MigrationError)
  {
    var needs: [(action: String, collection: String)] = []
    for collection in [names.ledger, names.lock, names.history] {
      needs += ["find", "insert", "update"].map { ($0, collection) }
    }
    for step in migrations.flatMap(\.up) {
      guard let target = step.target else { continue }
      let collection = Names.collection(target, in: database)
      needs += Self.actions(of: StepKind(command: step.name)).map { ($0, collection) }
    }
    var seen: Set<String> = []
    let missing = needs.filter { !allows($0.action, database: database, collection: $0.collection) }
      .map { "\($0.action) on \(database).\($0.collection)" }.filter { seen.insert($0).inserted }
    guard !missing.isEmpty else { return }
    throw MigrationError(
      .privilege, "\(user) lacks \(missing.joined(separator: ", ")); nothing was written",
      hint:
        "grant readWrite and dbAdmin on \(database); `martlet doctor` says what each action is for")
  }

  private static func actions(of kind: StepKind) -> [String] {
    switch kind {
    case .create: ["createCollection"]
    case .createIndexes: ["createIndex"]
    case .dropIndexes: ["dropIndex"]
    case .collMod: ["collMod"]
    case .renameCollection, .drop: ["renameCollectionSameDB"]
    case .insert: ["insert"]
    case .update: ["find", "update"]
    case .delete: ["find", "remove"]
    case .other: []
    }
  }
}
