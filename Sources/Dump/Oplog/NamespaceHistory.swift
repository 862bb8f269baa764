internal import BSON

/// What entries of an oplog do to names: what is made, renamed and dropped. Data is passed over.
public struct NamespaceHistory: Sendable {
  private var sourcesByName: [Namespace: Set<Namespace>] = [:]
  /// Made by an entry, and not dropped or renamed by a later one.
  private var made: Set<Namespace> = []
  /// What transactions that have not ended would do.
  private var pending: [[UInt8]: [Change]] = [:]

  private enum Change: Sendable {
    case made(Namespace)
    case gone(Namespace)
    case goneWithDatabase(String)
    case renamed(Namespace, to: Namespace)
  }

  public init() {}

  /// Takes the next entry, in the order of the oplog. What a transaction does counts from its commit on.
  /// - Throws: ``DumpError`` `.damaged`.
  public mutating func add(_ raw: UnsafeRawBufferPointer) throws {
    let entry = try RawOperation(raw)
    var changes: [Change] = []
    try Self.collect(entry, &changes)
    guard entry.kind == RawOperation.command, try entry.isInTransaction,
      let key = try TransactionBuffer.key(entry), let object = try entry.object?.nested()
    else { return apply(changes) }
    var elements = object.makeIterator()
    switch try elements.next()?.key {
    case "applyOps":
      if try entry.previousTime?.rawValue == 0 { pending[key] = nil }
      if !changes.isEmpty { pending[key, default: []] += changes }
      if try !Self.isPart(object) { commit(key) }
    case "commitTransaction": commit(key)
    case "abortTransaction": pending[key] = nil
    default: apply(changes)
    }
  }

  /// Names that are not selected, and whose documents selected ones have got by renames, also over several
  /// steps.
  public func origins(of selects: (Namespace) -> Bool) -> Set<Namespace> {
    var origins: Set<Namespace> = []
    var open = sourcesByName.keys.filter(selects)
    while let name = open.popLast() {
      for source in sourcesByName[name] ?? [] where !selects(source) {
        if origins.insert(source).inserted { open.append(source) }
      }
    }
    return origins
  }

  /// What has come into being, and is there at the end, ordered by name.
  public func made(_ selects: (Namespace) -> Bool) -> [Namespace] {
    made.filter(selects).sorted()
  }

  // MARK: - One entry

  private static func collect(_ operation: RawOperation, _ changes: inout [Change]) throws {
    guard operation.kind == RawOperation.command else {
      guard operation.namespace.suffix(views.count).elementsEqual(views) else { return }
      if let change = try viewChange(operation) { changes.append(change) }
      return
    }
    guard let object = operation.object, let view = try object.nested() else { return }
    var elements = view.makeIterator()
    guard let first = try elements.next() else { return }
    let database = Namespace(String(decoding: operation.namespace, as: UTF8.self))?.database ?? ""
    switch first.key {
    case "applyOps":
      guard var operations = try first.nested()?.makeIterator() else { return }
      while let element = try operations.next() {
        if let inner = try element.nested() { try collect(RawOperation(inner.bytes), &changes) }
      }
    case "create":
      guard let name = try first.value().stringValue else { return }
      let namespace = Namespace(database, name)
      if namespace.isBuckets || !name.hasPrefix("system.") {
        changes.append(.made(namespace.logical))
      }
    case "drop":
      guard let name = try first.value().stringValue else { return }
      changes.append(.gone(Namespace(database, name).logical))
    case "dropDatabase": changes.append(.goneWithDatabase(database))
    case "renameCollection":
      guard let from = try first.value().stringValue.flatMap({ Namespace($0)?.logical }),
        let to = try view.first("to")?.value().stringValue.flatMap({ Namespace($0)?.logical })
      else { return }
      changes.append(.renamed(from, to: to))
    default: break
    }
  }

  private static let views = Array(".system.views".utf8)

  private static func viewChange(_ operation: RawOperation) throws -> Change? {
    let source = operation.kind == RawOperation.delete ? operation.object : operation.key
    let holder = try (source ?? operation.object)?.nested()
    let name = try holder?.first("_id")?.value().stringValue.flatMap { Namespace($0) }
    return name.map { operation.kind == RawOperation.delete ? .gone($0) : .made($0) }
  }

  /// More of the transaction will come, or its commit.
  private static func isPart(_ object: DocumentView) throws -> Bool {
    for name in ["partialTxn", "prepare"] {
      if try object.first(name)?.value().isTruthy == true { return true }
    }
    return false
  }

  private mutating func commit(_ key: [UInt8]) { apply(pending.removeValue(forKey: key) ?? []) }

  private mutating func apply(_ changes: [Change]) {
    for change in changes {
      switch change {
      case .made(let name): made.insert(name)
      case .gone(let name): made.remove(name)
      case .goneWithDatabase(let database): made = made.filter { $0.database != database }
      case .renamed(let from, let to):
        sourcesByName[to, default: []].insert(from)
        made.remove(from)
        made.insert(to)
      }
    }
  }
}
