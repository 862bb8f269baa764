public import BSON
internal import MongoDB

/// Applies oplog entries: data in large batches, everything else as ordinary commands.
///
/// - Source: consistency.md "Replay", experiments.md 4. Of one thread.
public struct OplogReplayer {
  /// Entries of one `applyOps`: more is no faster.
  private static let batchCount = 500
  /// Bytes of one `applyOps`, well below what a command may have.
  private static let batchBytes = 12 << 20

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

  private var batch: [Document] = []
  private var batchBytes = 0
  private var transactions = TransactionBuffer(directory: "/tmp")
  private var capped: [Namespace: Bool] = [:]

  init(client: Client, options: LoadOptions, server: ServerVersion, catalog: ReplayCatalog) {
    self.client = client
    self.options = options
    self.server = server
    self.catalog = catalog
  }

  /// Takes the next entry; applies it now or with later ones.
  /// - Throws: ``DumpError``, or ``MongoError`` of the server.
  public mutating func add(_ raw: UnsafeRawBufferPointer) throws {
    guard !isFinished else { return }
    let entry = try OplogEntry(Document(bytes: [UInt8](raw)))
    if let limit = options.oplogLimit, entry.timestamp >= limit {
      isFinished = true
      return
    }
    if let end = options.overlapEnd, let last, last <= end, entry.timestamp > end { try flush() }
    last = entry.timestamp
    try options.cancellation.check()
    try apply(entry)
  }

  /// Applies what is waiting. Transactions that never ended are dropped, as the server would.
  public mutating func finish() throws {
    try flush()
    if transactions.count > 0 {
      options.notice?("\(transactions.count) transactions had not ended: left out")
    }
  }

  /// Entries up to the dump's end may be in the data already: then an update's document may be gone.
  var overlaps: Bool {
    guard let end = options.overlapEnd, let last else { return true }
    return last <= end
  }

  // MARK: - One entry

  private static let skipped: Set<String> = ["n", "cd", "ci", "cu", "km"]

  private mutating func apply(_ entry: OplogEntry) throws {
    guard !Self.skipped.contains(entry.operation) else { return }
    if entry.operation == "c", let key = TransactionBuffer.key(entry.document),
      try applyTransaction(entry, key)
    {
      return
    }
    if entry.operation == "c", entry.command == "applyOps" {
      for operation in Self.operations(entry.object) { try applyInner(operation) }
      return
    }
    try applyInner(entry.document)
  }

  /// False when the entry is not part of a transaction after all.
  private mutating func applyTransaction(_ entry: OplogEntry, _ key: [UInt8]) throws -> Bool {
    switch entry.command {
    case "applyOps":
      // A vectored insert of a retryable write is no transaction.
      if entry.document["multiOpType"]?.integerValue == 1 { return false }
      try transactions.add(Self.operations(entry.object), to: key)
      let isPart =
        entry.object["partialTxn"]?.isTruthy == true || entry.object["prepare"]?.isTruthy == true
      if !isPart { try commit(key) }
      return true
    case "commitTransaction":
      try commit(key)
      return true
    case "abortTransaction":
      transactions.discard(key)
      return true
    default: return false
    }
  }

  private mutating func commit(_ key: [UInt8]) throws {
    var buffer = transactions
    try buffer.commit(key) { try applyInner($0) }
    transactions = buffer
  }

  private static func operations(_ object: Document) -> [Document] {
    (object["applyOps"]?.arrayValue ?? []).compactMap(\.documentValue)
  }

  /// An entry or a transaction's operation.
  private mutating func applyInner(_ document: Document) throws {
    guard let operation = document["op"]?.stringValue, let name = document["ns"]?.stringValue,
      let namespace = Namespace(name), let object = document["o"]?.documentValue
    else { throw DumpError(.damaged, "an oplog operation lacks op, ns or o") }
    guard isReplayable(namespace) else { return }
    switch operation {
    case "i", "u", "d":
      if namespace.collection == "system.views" {
        return try view(operation, object, document["o2"]?.documentValue, namespace.database)
      }
      guard options.selection.takes(namespace) else { return }
      let target = try options.selection.target(of: namespace)
      if operation == "d", try evictsByItself(target) { return }
      var slim: Document = ["op": .string(operation), "ns": .string(target.description)]
      slim.append("o", .document(object))
      if operation == "u", let key = document["o2"] { slim.append("o2", key) }
      try append(slim)
    case "c": try command(object, in: namespace.database)
    default: break
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

  private mutating func append(_ operation: Document) throws {
    if batch.count >= Self.batchCount || batchBytes + operation.bytes.count > Self.batchBytes {
      try flush()
    }
    batch.append(operation)
    batchBytes += operation.bytes.count
  }

  mutating func flush() throws {
    guard !batch.isEmpty else { return }
    let operations = batch
    batch.removeAll(keepingCapacity: true)
    batchBytes = 0
    try send(operations)
    applied += Int64(operations.count)
  }

  private func send(_ operations: [Document]) throws {
    var command: Document = ["applyOps": .array(operations.map { .document($0) })]
    // Not atomic: the default takes the global exclusive lock for the whole batch.
    command.append("allowAtomic", false)
    command.append("alwaysUpsert", .bool(overlaps))
    command.append("bypassDocumentValidation", true)
    let options = CommandOptions(writeConcern: self.options.writeConcern)
    do throws(MongoError) {
      _ = try client.run(command, on: "admin", options: options)
    } catch {
      // A collection that was dropped later in the overlap is not in the dump: it is made again, and
      // the oplog will drop it.
      if error.code == 26, overlaps, try makeMissing(operations) {
        _ = try client.run(command, on: "admin", options: options)
        return
      }
      guard error.code == 218 else { throw error }
      throw DumpError(
        .inconsistent, "an update's document is missing: entries before it were not applied",
        hint: "the oplog does not fit to the data; is a slice missing?", cause: error)
    }
  }

  private func makeMissing(_ operations: [Document]) throws(MongoError) -> Bool {
    var made = false
    for name in Set(operations.compactMap { $0["ns"]?.stringValue }) {
      guard let namespace = Namespace(name) else { continue }
      if try makeIfMissing(namespace) { made = true }
    }
    return made
  }

  /// False when it is there already.
  private func makeIfMissing(_ namespace: Namespace) throws(MongoError) -> Bool {
    do {
      _ = try client.run(
        ["create": .string(namespace.collection)], on: namespace.database,
        options: CommandOptions(writeConcern: options.writeConcern))
      return true
    } catch {
      guard error.code == 48 else { throw error }
      return false
    }
  }

  /// On 5.0 a delete in a capped collection is refused, and the server evicts by itself.
  private mutating func evictsByItself(_ namespace: Namespace) throws -> Bool {
    guard server < ServerVersion(6, 0) else { return false }
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

  mutating func forgetCapped() { capped.removeAll() }
}
