import BSON
import Migration
import MongoDB

/// Compares what the user may do with what migrations do.
struct PrivilegeCheck {
  let server: ServerChecks

  init(_ server: ServerChecks) { self.server = server }

  /// An action on every collection of the database, and what does not work without it.
  struct Need: Sendable, Hashable {
    var action: String
    var costs: String
    /// Nothing works without it.
    var isEssential: Bool
  }

  static let needs = [
    Need(action: "find", costs: "the ledger cannot be read", isEssential: true),
    Need(action: "insert", costs: "the ledger and undo data cannot be written", isEssential: true),
    Need(action: "update", costs: "the ledger cannot be written", isEssential: true),
    Need(action: "remove", costs: "inserts cannot be taken back", isEssential: true),
    Need(action: "createCollection", costs: "no create steps, no ledger", isEssential: true),
    Need(action: "createIndex", costs: "no createIndexes steps, no ledger", isEssential: true),
    Need(action: "listCollections", costs: "no plan", isEssential: true),
    Need(action: "listIndexes", costs: "no plan", isEssential: true),
    Need(action: "dropCollection", costs: "no drop steps, no down of create", isEssential: false),
    Need(
      action: "dropIndex", costs: "no dropIndexes steps, no down of createIndexes",
      isEssential: false),
    Need(
      action: "renameCollectionSameDB", costs: "what a drop would destroy cannot be kept",
      isEssential: false),
    Need(action: "collMod", costs: "no validators, no TTL changes", isEssential: false),
    Need(action: "collStats", costs: "no estimates in the plan", isEssential: false),
    Need(
      action: "bypassDocumentValidation",
      costs: "documents that a validator refuses cannot be restored",
      isEssential: false),
  ]

  func check() -> Check {
    guard let database = server.database else { return .skipped("privileges", "no database named") }
    return server.attempt("privileges", needs: "nothing") {
      guard let privileges = try Privileges.read(server.client) else { return anonymous(database) }
      return Self.verdict(privileges, database: database)
    }
  }

  /// Nobody is logged in: fine where there is no access control, and nowhere else.
  private func anonymous(_ database: String) -> Check {
    do {
      _ = try server.client.database(database).listCollections(filter: ["name": "migrations"])
      return .ok("privileges", "access control is off: everything is allowed")
    } catch {
      return .failed(
        "privileges", "not logged in, and the server wants it",
        fix: "name a user in the URI; password by MARTLET_PASSWORD or --password-file",
        .accessDenied)
    }
  }

  /// The ledger stands for every ordinary collection.
  private static let anyCollection = "migrations"

  static func verdict(_ privileges: Privileges, database: String) -> Check {
    let user = privileges.user
    let missing = needs.filter {
      !privileges.allows($0.action, database: database, collection: anyCollection)
    }
    guard !missing.isEmpty else { return .ok("privileges", "\(user) may do all that is needed") }
    let words = "\(user) lacks on \(database): " + missing.map(\.action).joined(separator: ", ")
    let fix =
      "grant readWrite and dbAdmin on \(database). Without "
      + missing.map { "\($0.action): \($0.costs)" }.joined(separator: ", ")
    return missing.contains(where: \.isEssential)
      ? .failed("privileges", words, fix: fix, .accessDenied)
      : .warning("privileges", words, fix: fix)
  }
}
