internal import BSON
internal import MongoDB

/// Merges users and roles into the server's own. - Source: archive-format.md 4.9.
struct UsersLoader {
  static let users = Namespace("admin", "tempusers")
  static let roles = Namespace("admin", "temproles")

  let client: Client
  let options: LoadOptions

  /// Where the documents of users and roles are put first.
  static func target(of role: LoadItem.Role) -> Namespace? {
    switch role {
    case .users: users
    case .roles: roles
    default: nil
    }
  }

  /// Removes what a killed load left.
  func clear() throws {
    for namespace in [Self.users, Self.roles] {
      try client.database(namespace.database).drop(namespace.collection)
    }
  }

  /// Merges what was put there, and removes it. With `drop`, users that the dump lacks go.
  func merge(_ roles: Set<LoadItem.Role>) throws {
    var command: Document = ["_mergeAuthzCollections": 1]
    if roles.contains(.users) {
      command.append("tempUsersCollection", .string(Self.users.description))
    }
    if roles.contains(.roles) {
      command.append("tempRolesCollection", .string(Self.roles.description))
    }
    var database = ""
    if case .database(let name) = options.usersAndRoles { database = name }
    command.append("db", .string(database))
    command.append("drop", .bool(options.drop))
    command.append("writeConcern", .document(options.writeConcern))
    _ = try client.run(command, on: "admin")
    try clear()
  }
}
