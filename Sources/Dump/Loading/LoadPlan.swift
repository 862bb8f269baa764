internal import BSON
internal import MongoDB

/// One collection of a dump and what becomes of it.
struct LoadItem: Sendable {
  /// The name that users know, in the dump.
  let source: Namespace
  /// As the documents stand in the dump: buckets for a time-series.
  let sourceData: Namespace
  let metadata: CollectionMetadata
  /// What is done with it.
  let role: Role
  /// The new name, as users know it.
  let target: Namespace
  /// Where the documents go.
  let targetData: Namespace
  /// A folder dump's file.
  var file: String?

  enum Role: Sendable, Hashable {
    case collection
    case view
    case users, roles
    /// Read for its version only.
    case authVersion
    case oplog
    /// Read and thrown away.
    case skipped
  }

  /// One thread, in order.
  func isOrdered(_ options: LoadOptions) -> Bool {
    options.maintainsInsertionOrder || metadata.options?["capped"]?.isTruthy == true
  }
}

/// Decides what becomes of each collection of a dump. - Source: archive-format.md 4.4.
struct LoadPlanner {
  let options: LoadOptions

  /// - Throws: ``DumpError`` `.conflict` when two would become one, `.usage` for a bad rename.
  func plan(
    _ entries: [(source: Namespace, data: Namespace, metadata: CollectionMetadata, file: String?)]
  ) throws(DumpError) -> [LoadItem] {
    var items: [LoadItem] = []
    var taken: [Namespace: Namespace] = [:]
    for entry in entries {
      let role = role(entry.source, entry.metadata)
      var target = entry.source
      if role == .collection || role == .view {
        target = try options.selection.target(of: entry.source)
        if let other = taken.updateValue(entry.source, forKey: target) {
          throw DumpError(
            .conflict, "\(other) and \(entry.source) would both become \(target)",
            hint: "give each its own target with nsFrom and nsTo, or leave one out")
        }
      }
      items.append(
        LoadItem(
          source: entry.source, sourceData: entry.data, metadata: entry.metadata, role: role,
          target: target, targetData: entry.data.isBuckets ? target.buckets : target,
          file: entry.file))
    }
    return items
  }

  private func role(_ source: Namespace, _ metadata: CollectionMetadata) -> LoadItem.Role {
    if source == .oplog { return options.replaysOplog ? .oplog : .skipped }
    if let role = userRole(source) { return role }
    let name = source.collection
    if name == "system.profile" || name.hasPrefix("$") { return .skipped }
    if name == "system.views" || name == "system.keys" || name == "system.indexes" {
      return .skipped
    }
    if source.database == "admin", name.hasPrefix("system.") { return .skipped }
    guard options.selection.takes(source) else { return .skipped }
    return metadata.isView ? .view : .collection
  }

  private func userRole(_ source: Namespace) -> LoadItem.Role? {
    let wanted: Bool
    let name: Substring
    if source.database == "admin", source.isSpecial {
      wanted = options.usersAndRoles == .whenWhole
      name = source.collection.dropFirst("system.".count)
    } else if source.collection.hasPrefix("$admin.system.") {
      wanted = if case .database = options.usersAndRoles { true } else { false }
      name = source.collection.dropFirst("$admin.system.".count)
    } else {
      return nil
    }
    guard wanted else { return .skipped }
    switch name {
    case "users": return .users
    case "roles": return .roles
    case "version": return .authVersion
    default: return .skipped
    }
  }
}

/// Makes collections and views as the dump describes them. - Source: archive-format.md 4.5.
struct CollectionCreator {
  let client: Client
  let options: LoadOptions
  let server: ServerDescription

  /// Refuses, before anything is written, what cannot go well.
  func check(_ items: [LoadItem]) throws {
    for item in items where item.metadata.isTimeseries && item.role == .collection {
      if options.skipsOptions {
        throw DumpError(
          .usage, "a time-series cannot be loaded without its options",
          namespace: item.target.description)
      }
      if options.drop { continue }
      let there = try client.database(item.target.database).listCollections(
        filter: ["name": .string(item.target.collection)])
      guard there.isEmpty else {
        throw DumpError(
          .conflict, "the time-series is there already", namespace: item.target.description,
          hint: "drop it first, or give it another name with nsFrom and nsTo")
      }
    }
  }

  /// Drops it when asked to, and makes it unless it is there: then it is left as it is, and the result is
  /// false.
  func create(_ item: LoadItem) throws -> Bool {
    let database = client.database(item.target.database)
    let name = item.target.collection
    let write = CommandOptions(writeConcern: options.writeConcern)
    if options.drop, options.freesName == nil, !name.hasPrefix("system.") {
      try database.drop(name, options: write)
    }
    let command = command(item)
    if options.preservesUUIDs, item.role == .collection, !item.metadata.isTimeseries,
      let uuid = item.metadata.uuid.flatMap({ Hex.decode($0.utf8) })
    {
      let entry: Document = [
        "op": "c", "ns": .string(item.target.database + ".$cmd"),
        "ui": .binary(Binary(stored: uuid, subtype: 4)), "o": .document(command),
      ]
      _ = try client.run(["applyOps": [.document(entry)]], on: "admin", options: write)
      return true
    }
    for _ in 0..<100 {
      do throws(MongoError) {
        _ = try database.run(command, options: write)
        return true
      } catch {
        guard error.code == 48 else { throw error }
        guard let frees = options.freesName else {
          try accept(item)
          return false
        }
        guard try !frees(item.target) else { continue }
        throw DumpError(
          .conflict, "somebody has made a view or a time-series of that name meanwhile",
          namespace: item.target.description)
      }
    }
    throw DumpError(
      .conflict, "somebody makes it again and again", namespace: item.target.description,
      hint: "stop the application")
  }

  /// Documents are added to a collection that is there; a view is not.
  private func accept(_ item: LoadItem) throws(DumpError) {
    guard item.role == .view else { return }
    throw DumpError(
      .conflict, "a collection or view of that name is there already",
      namespace: item.target.description, hint: "add --drop to replace it")
  }

  private func command(_ item: LoadItem) -> Document {
    var command: Document = ["create": .string(item.target.collection)]
    guard !options.skipsOptions else { return command }
    let described = item.metadata.options ?? [:]
    command.append(
      contentsOf: described.filteringElements { element in
        // The expiry is set when everything is there.
        !["autoIndexId", "recordIdsReplicated", "temp", "create", "expireAfterSeconds"]
          .contains(element.key)
      })
    if item.role == .collection, !item.metadata.isTimeseries {
      let specs = IndexSpecs(options: options, server: server.version)
      if let index = specs.idIndex(item.metadata.indexes, collectionOptions: described) {
        command.append("idIndex", .document(index))
      }
    }
    return command
  }
}
