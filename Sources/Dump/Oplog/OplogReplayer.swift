public import BSON
internal import MongoDB

/// Applies oplog entries: data in large batches, everything else as ordinary commands.
///
/// - Source: consistency.md "Replay", experiments.md 4. Of one thread.
public struct OplogReplayer {
  let client: Client
  let options: LoadOptions
  let server: ServerVersion
  private(set) var catalog: ReplayCatalog
  /// Entries that were applied, those inside transactions counted one by one.
  public private(set) var applied: Int64 = 0
  /// The limit was reached.
  public private(set) var isFinished = false
  /// The last entry that was looked at.
  public private(set) var last: Timestamp?

  private var batch = OplogBatch()
  private var transactions: TransactionBuffer
  /// What was decided about a namespace, by its bytes.
  private var routes: [[UInt8]: OplogRoute] = [:]
  /// That of the entry before: the next one is mostly of the same.
  private var route: (name: [UInt8], route: OplogRoute)?
  private var capped: [Namespace: Bool] = [:]
  /// The last inserts into capped collections that the dump has; see ``CappedScan``.
  var cappedUpTo: [Namespace: Timestamp] = [:]
  private var series: [Namespace: BucketKeys?] = [:]

  init(client: Client, options: LoadOptions, server: ServerVersion, catalog: ReplayCatalog) {
    self.client = client
    self.options = options
    self.server = server
    self.catalog = catalog
    transactions = TransactionBuffer(directory: options.spoolDirectory)
  }

  /// Takes the next entry; applies it now or with later ones.
  /// - Throws: ``DumpError``, or ``MongoError`` of the server.
  public mutating func add(_ raw: UnsafeRawBufferPointer) throws {
    guard !isFinished else { return }
    let entry = try RawOperation(raw)
    guard let timestamp = entry.timestamp else {
      throw DumpError(.damaged, "an oplog entry lacks its time")
    }
    if let limit = options.oplogLimit, timestamp >= limit {
      isFinished = true
      return
    }
    if let end = options.overlapEnd, let last, last <= end, timestamp > end { try flush() }
    last = timestamp
    if batch.count == 0 { try options.cancellation.check() }
    if entry.kind == RawOperation.command {
      try applyCommand(entry, at: timestamp)
    } else if !isInData(timestamp) {
      try apply(entry)
    }
  }

  /// What has become of it is in the documents already.
  private func isInData(_ time: Timestamp) -> Bool {
    options.replayAfter.map { time <= $0 } ?? false
  }

  /// Applies what is waiting. Transactions that never ended are dropped, as the server would.
  public mutating func finish() throws {
    try flush()
    if transactions.count > 0 {
      options.notice?("\(transactions.count) transactions had not ended: left out")
    }
  }

  /// The catalog, with what data was written to.
  var finalCatalog: ReplayCatalog {
    var out = catalog
    for route in routes.values where route.fate == .apply {
      out.note(route.target.logical, from: route.source.logical)
    }
    return out
  }

  /// Entries up to the dump's end may be in the data already: then an update's document may be gone.
  var overlaps: Bool {
    guard let end = options.overlapEnd, let last else { return true }
    return last <= end
  }

  // MARK: - One entry

  /// An entry or a transaction's operation: data goes on as the bytes that it is.
  private mutating func apply(_ operation: RawOperation) throws {
    switch operation.kind {
    case RawOperation.insert, RawOperation.update, RawOperation.delete: break
    case RawOperation.command: return try run(operation)
    default:
      if operation.isNoop { return }
      return try refuse(operation)
    }
    let route = try route(of: operation.namespace)
    guard route.fate != .skip else { return }
    guard let object = operation.object, object.type == .document else { throw Self.lacksObject }
    guard route.fate == .apply else { return try changeView(operation, route) }
    if operation.kind == RawOperation.delete, try evictsByItself(route.target) { return }
    if try overlaps && isCapped(route.target) {
      if operation.kind == RawOperation.insert, isInCapped(route.target) { return }
      // By itself: a document that was evicted meanwhile must not come back, and evict another.
      if operation.kind == RawOperation.update { try flush() }
    }
    if batch.isFull(before: operation.bytes.count) { try flush() }
    batch.add(operation, object, to: route)
    if operation.kind == RawOperation.update, overlaps, try isCapped(route.target) {
      try flush(upsert: false)
    }
  }

  /// What it does is not known, so neither is what would be missing without it.
  private mutating func refuse(_ operation: RawOperation) throws {
    let name = String(decoding: operation.namespace, as: UTF8.self)
    if Namespace(name) != nil, try route(of: operation.namespace).fate == .skip { return }
    throw DumpError(
      .inconsistent,
      "the oplog holds an entry of the kind '\(String(decoding: operation.letters, as: UTF8.self))', "
        + "which this version does not know",
      namespace: name,
      hint: "use a version of martlet for this server, or replay up to the entry before it")
  }

  private static let lacksObject = DumpError(.damaged, "an oplog operation lacks op, ns or o")

  private mutating func run(_ operation: RawOperation) throws {
    guard let name = Namespace(String(decoding: operation.namespace, as: UTF8.self)),
      let object = try operation.object?.value().documentValue
    else { throw Self.lacksObject }
    guard isReplayable(name) else { return }
    try command(object, in: name.database)
  }

  private mutating func changeView(_ operation: RawOperation, _ route: OplogRoute) throws {
    let object = try operation.object?.value().documentValue ?? [:]
    try view(
      String(decoding: [operation.kind], as: UTF8.self), object,
      try operation.key?.value().documentValue, route.source.database)
  }

  /// What becomes of a namespace's data.
  private mutating func route(of name: UnsafeRawBufferPointer) throws -> OplogRoute {
    if let route, route.name.elementsEqual(name) { return route.route }
    let bytes = [UInt8](name)
    let found: OplogRoute
    if let known = routes[bytes] {
      found = known
    } else {
      guard let namespace = Namespace(String(decoding: name, as: UTF8.self)) else {
        throw Self.lacksObject
      }
      if !isReplayable(namespace) {
        found = OplogRoute(.skip, namespace, namespace)
      } else if namespace.collection == "system.views" {
        found = OplogRoute(.views, namespace, namespace)
      } else if options.selection.takes(namespace) {
        found = OplogRoute(.apply, namespace, try options.selection.target(of: namespace))
      } else {
        found = OplogRoute(.skip, namespace, namespace)
      }
      routes[bytes] = found
    }
    route = (bytes, found)
    return found
  }

  // MARK: - Transactions

  private mutating func applyCommand(_ entry: RawOperation, at time: Timestamp) throws {
    guard let object = entry.object, let view = try object.nested() else { throw Self.lacksObject }
    var elements = view.makeIterator()
    guard let first = try elements.next() else { return }
    guard let key = try entry.isInTransaction ? TransactionBuffer.key(entry) : nil else {
      if isInData(time) { return }
      guard first.isNamed("applyOps") else { return try run(entry) }
      guard let operations = try first.nested() else { throw Self.lacksObject }
      return try Self.visit(operations) { try apply(RawOperation($0)) }
    }
    switch first.key {
    case "applyOps":
      guard let operations = try first.nested() else { throw Self.lacksObject }
      let previous = try entry.previousTime
      transactions.begin(key, at: time, after: previous)
      try Self.visit(operations) { try transactions.add($0, to: key) }
      if try !Self.isPart(view) { try commit(key, after: nil, at: time) }
    case "commitTransaction":
      // A prepared one is seen from its commit timestamp on, which may lie before the entry's.
      let seen = try view.first("commitTimestamp")?.value().timestampValue ?? time
      try commit(key, after: entry.previousTime, at: seen)
    case "abortTransaction": transactions.discard(key)
    default: if !isInData(time) { try run(entry) }
    }
  }

  /// More of the transaction will come, or its commit.
  private static func isPart(_ object: DocumentView) throws -> Bool {
    for name in ["partialTxn", "prepare"] {
      if try object.first(name)?.value().isTruthy == true { return true }
    }
    return false
  }

  private static func visit(
    _ operations: DocumentView, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    var elements = operations.makeIterator()
    while let element = try elements.next() {
      if let operation = try element.nested() { try body(operation.bytes) }
    }
  }

  /// - Parameters:
  ///   - previous: the time of the part before the commit; nil when it is not known.
  ///   - time: from which on reads see the transaction.
  private mutating func commit(_ key: [UInt8], after previous: Timestamp?, at time: Timestamp)
    throws
  {
    let operations = transactions.take(key)
    if isInData(time) { return }
    // Half a transaction is worse than none.
    guard let operations, operations.isWhole(upTo: previous) else {
      throw DumpError(
        .inconsistent, "the beginning of a transaction is missing: it would be applied in part",
        hint: "replay from an earlier entry of the oplog, or up to an earlier one")
    }
    try operations.visit { raw in
      if batch.count == 0 { try options.cancellation.check() }
      try apply(RawOperation(raw))
    }
  }

  /// What belongs to the server that wrote the oplog, not to its data.
  private func isReplayable(_ namespace: Namespace) -> Bool {
    if namespace.database.hasPrefix("__mdb_internal") || namespace.database == "local" {
      return false
    }
    if namespace.database == "config" { return false }
    if namespace.database == "admin", namespace.collection.hasPrefix("system.") {
      return options.usersAndRoles == .whenWhole
        && ["system.users", "system.roles"].contains(namespace.collection)
    }
    return true
  }

  // MARK: - Data

  mutating func flush() throws { try flush(upsert: overlaps) }

  private mutating func flush(upsert: Bool) throws {
    guard batch.count > 0 else { return }
    let count = batch.count
    let namespaces = batch.namespaces
    var command = try batch.takeCommand(upsert: upsert, options.writeConcern)
    // A single one, whose error is 8 otherwise, whatever it is.
    if overlaps, !upsert { command["allowAtomic"] = true }
    try send(command, namespaces)
    applied += Int64(count)
  }

  /// On 5.0 a delete in a capped collection is refused, and the server evicts by itself.
  private mutating func evictsByItself(_ namespace: Namespace) throws -> Bool {
    guard server < ServerVersion(6, 0) else { return false }
    return try isCapped(namespace)
  }

  /// Whether the dump has the insert that is looked at.
  private func isInCapped(_ namespace: Namespace) -> Bool {
    guard let last, let end = cappedUpTo[namespace] else { return false }
    return last <= end
  }

  private mutating func isCapped(_ namespace: Namespace) throws -> Bool {
    if let known = capped[namespace] { return known }
    try flush()
    let found = try client.database(namespace.database).listCollections(
      filter: ["name": .string(namespace.collection)])
    let isCapped = found.first?.options["capped"]?.isTruthy ?? false
    capped[namespace] = isCapped
    return isCapped
  }

  // MARK: - For the commands

  mutating func withCatalog(_ body: (inout ReplayCatalog) -> Void) { body(&catalog) }

  mutating func ran() { applied += 1 }

  /// After a collection was made, dropped or renamed.
  mutating func forgetCollections() {
    capped.removeAll()
    series.removeAll()
  }

  /// The fields of a time-series, by which its buckets' indexes are told; nil when it is none any more.
  mutating func bucketKeys(of namespace: Namespace) throws -> BucketKeys? {
    if let known = series[namespace] { return known }
    let found = try client.database(namespace.database).listCollections(
      filter: ["name": .string(namespace.collection)])
    let keys = BucketKeys(found.first?.options ?? [:])
    series[namespace] = .some(keys)
    return keys
  }
}
