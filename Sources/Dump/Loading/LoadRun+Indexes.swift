internal import BSON
internal import MongoDB

/// Indexes and expiries: when everything is there.
extension LoadRun {
  /// After a replay: what the dump and the oplog together say.
  func buildIndexes() throws {
    guard options.replaysOplog, !options.skipsIndexes else { return }
    guard let catalog = self.catalog.withLock({ $0 }) else { return }
    let names = catalog.namespaces
    try parallel(Array(names.indices)) { client, place in
      let namespace = names[place]
      let indexes = catalog.indexes(of: namespace)
      guard !indexes.isEmpty else { return }
      // The replay may have made it, and with other options than those of the dump.
      let options = try client.database(namespace.database)
        .listCollections(filter: ["name": .string(namespace.collection)]).first?.options
      let built = try buildOrNote(indexes, on: namespace, options, client)
      let index = items.firstIndex { $0.target == namespace && $0.role == .collection }
      if let index { account.withLock { $0.indexes[index] = built } }
    }
  }

  /// At the very end: until then nothing may expire that an entry of the oplog still changes.
  func setExpiries() throws {
    guard !options.withholdsExpiry else { return }
    let catalog = self.catalog.withLock { $0 }
    let made = account.withLock { $0.expiries }
    let names = catalog?.namespaces ?? Array(made.keys)
    try pool.withClient { client in
      for name in names {
        guard let expiry = catalog.map({ $0.expiry(of: name) }) ?? made[name] else { continue }
        _ = try client.run(
          ["collMod": .string(name.collection), "expireAfterSeconds": expiry], on: name.database,
          options: CommandOptions(writeConcern: options.writeConcern))
      }
    }
  }

  func buildIndexes(of index: Int, _ client: Client) throws {
    guard !options.skipsIndexes else { return }
    let item = items[index]
    let built = try buildOrNote(
      item.metadata.indexes, on: item.target, item.metadata.options, client)
    account.withLock { $0.indexes[index] = built }
  }

  /// An index that cannot be keeps no other collection from being loaded; see ``checkIndexes()``.
  private func buildOrNote(
    _ indexes: [Document], on target: Namespace, _ collectionOptions: Document?, _ client: Client
  ) throws -> Int {
    do { return try build(indexes, on: target, collectionOptions, client) } catch let error
      as MongoError
      where error.kind == .server && !ServerTrouble.codes.contains(error.code) && !error.isNetwork
    {
      account.withLock { $0.indexFailures.append((target, error)) }
      return 0
    }
  }

  /// Everything else is there by now.
  /// - Throws: ``DumpError`` `.partial` when indexes could not be built.
  func checkIndexes() throws(DumpError) {
    let failures = account.withLock { $0.indexFailures }
    guard let first = failures.first else { return }
    for failure in failures.dropFirst() {
      options.notice?("indexes of \(failure.namespace) were not built: \(failure.error)")
    }
    throw DumpError(
      .partial, "all documents are loaded, but indexes could not be built",
      namespace: first.namespace.description,
      hint: [2, 67, 197].contains(first.error.code) && !options.convertsLegacyIndexes
        ? "martlet load --convertLegacyIndexes mends what old servers allowed" : nil,
      cause: first.error)
  }

  private func build(
    _ indexes: [Document], on target: Namespace, _ collectionOptions: Document?, _ client: Client
  ) throws -> Int {
    let specs = IndexSpecs(options: options, server: server.version)
      .prepared(indexes, collectionOptions: options.skipsOptions ? nil : collectionOptions)
    guard !specs.isEmpty else { return 0 }
    var command: Document = [
      "createIndexes": .string(target.collection), "indexes": .array(specs.map { .document($0) }),
    ]
    if server.version >= ServerVersion(4, 2) { command.append("ignoreUnknownIndexOptions", true) }
    // Else the build waits for every member, and for ever for one that is down. - Source: experiments.md 5.
    if case .replicaSet = server.topology, server.version >= ServerVersion(4, 4) {
      command.append("commitQuorum", "majority")
    }
    let concern = CommandOptions(writeConcern: options.writeConcern)
    do throws(MongoError) {
      _ = try client.run(command, on: target.database, options: concern)
    } catch {
      // While the feature version is 4.2 still, 4.4 refuses it, and waits for nobody.
      guard command.has("commitQuorum"), error.message.contains("commitQuorum") else { throw error }
      command.remove("commitQuorum")
      _ = try client.run(command, on: target.database, options: concern)
    }
    return specs.count
  }
}
