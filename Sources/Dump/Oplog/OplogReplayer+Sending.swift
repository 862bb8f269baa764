internal import BSON
internal import MongoDB

/// How batches go to the server, and what is done when data is of later than the entries.
extension OplogReplayer {
  func send(_ command: Document, _ namespaces: Set<Namespace>) throws {
    do throws(MongoError) { try send(command) } catch {
      // Buckets as 5.0 has written them.
      if error.code == 408, namespaces.contains(where: \.isBuckets) {
        try allowMixedSchema(namespaces)
        return try send(command)
      }
      guard try overlaps && sendInOverlap(command, namespaces, error) else {
        // 8 when it is not atomic: some operations found nothing to change.
        guard error.code == 218 || error.code == 8 else { throw error }
        throw DumpError(
          .inconsistent, "an update's document is missing: entries before it were not applied",
          hint: "the oplog does not fit to the data; is a slice missing?", cause: error)
      }
    }
  }

  private func send(_ command: Document) throws(MongoError) {
    _ = try client.run(command, on: "admin")
  }

  /// Lets time-series take buckets that hold one field with several types, as 5.0 has written them.
  func allowMixedSchema(_ namespaces: Set<Namespace>, fine: Set<Int> = []) throws {
    for namespace in namespaces where namespace.isBuckets {
      let command: Document = [
        "collMod": .string(namespace.logical.collection),
        "timeseriesBucketsMayHaveMixedSchemaData": true,
      ]
      try run(command, namespace, fine: fine)
    }
  }

  /// False when that is not why it has failed. Twice the same does no harm in the overlap.
  private func sendInOverlap(
    _ command: Document, _ namespaces: Set<Namespace>, _ error: MongoError
  ) throws -> Bool {
    // A collection that was dropped later in the overlap is not in the dump, or there is a view of that
    // name now: it is made again, and the oplog will drop it.
    let isMissing = error.code == 26 || error.code == 166
    let made = try isMissing && makeMissing(namespaces.filter { !$0.isBuckets })
    if error.kind == .server, namespaces.contains(where: \.isBuckets) {
      try sendOneByOne(command)
      return true
    }
    // An update of a document that a capped collection has evicted goes alone, see `apply`.
    if error.code == 218, command["alwaysUpsert"] == false { return true }
    guard made else { return false }
    try send(command)
    return true
  }

  /// Buckets cannot be made from the part that an update changes (6781400), nor without their time-series
  /// (26): what is missing is dropped or deleted by a later entry.
  private func sendOneByOne(_ command: Document) throws {
    for operation in command["applyOps"]?.arrayValue ?? [] {
      let name = operation.documentValue?["ns"]?.stringValue.flatMap { Namespace($0) }
      let isBuckets = name?.isBuckets ?? false
      var single = command
      single["applyOps"] = [operation]
      // Otherwise the error is 8, whatever it is.
      single["allowAtomic"] = true
      if isBuckets { single["alwaysUpsert"] = false }
      do throws(MongoError) { try send(single) } catch {
        guard isBuckets, [26, 218, 6_781_400].contains(error.code) else { throw error }
      }
    }
  }

  private func makeMissing(_ namespaces: Set<Namespace>) throws -> Bool {
    var made = false
    for namespace in namespaces where try makeIfMissing(namespace) { made = true }
    return made
  }

  /// False when it is there already.
  private func makeIfMissing(_ namespace: Namespace) throws -> Bool {
    let database = client.database(namespace.database)
    let write = CommandOptions(writeConcern: options.writeConcern)
    let there = try database.listCollections(filter: ["name": .string(namespace.collection)]).first
    if let there, there.type != .view { return false }
    if there != nil { try database.drop(namespace.collection, options: write) }
    _ = try database.run(["create": .string(namespace.collection)], options: write)
    return true
  }
}
