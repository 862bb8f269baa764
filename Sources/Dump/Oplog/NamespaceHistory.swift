internal import BSON

/// What entries of an oplog do to names: what is made, renamed and dropped. Data is passed over.
public struct NamespaceHistory: Sendable {
  private var sourcesByName: [Namespace: Set<Namespace>] = [:]
  /// Made by an entry, and not dropped or renamed by a later one.
  private var made: Set<Namespace> = []

  public init() {}

  /// Takes the next entry, in the order of the oplog.
  /// - Throws: ``DumpError`` `.damaged`.
  public mutating func add(_ raw: UnsafeRawBufferPointer) throws {
    try add(RawOperation(raw))
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

  private mutating func add(_ operation: RawOperation) throws {
    guard operation.kind == RawOperation.command else {
      guard operation.namespace.suffix(Self.views.count).elementsEqual(Self.views) else { return }
      return try changeView(operation)
    }
    guard let object = operation.object, let view = try object.nested() else { return }
    var elements = view.makeIterator()
    guard let first = try elements.next() else { return }
    let database = Namespace(String(decoding: operation.namespace, as: UTF8.self))?.database ?? ""
    switch first.key {
    case "applyOps":
      guard var operations = try first.nested()?.makeIterator() else { return }
      while let element = try operations.next() {
        if let inner = try element.nested() { try add(RawOperation(inner.bytes)) }
      }
    case "create":
      guard let name = try first.value().stringValue else { return }
      let namespace = Namespace(database, name)
      if namespace.isBuckets || !name.hasPrefix("system.") { made.insert(namespace.logical) }
    case "drop":
      guard let name = try first.value().stringValue else { return }
      made.remove(Namespace(database, name).logical)
    case "dropDatabase":
      made = made.filter { $0.database != database }
    case "renameCollection":
      guard let from = try first.value().stringValue.flatMap({ Namespace($0)?.logical }),
        let to = try view.first("to")?.value().stringValue.flatMap({ Namespace($0)?.logical })
      else { return }
      sourcesByName[to, default: []].insert(from)
      made.remove(from)
      made.insert(to)
    default: break
    }
  }

  private static let views = Array(".system.views".utf8)

  private mutating func changeView(_ operation: RawOperation) throws {
    let source = operation.kind == RawOperation.delete ? operation.object : operation.key
    let holder = try (source ?? operation.object)?.nested()
    guard let name = try holder?.first("_id")?.value().stringValue.flatMap({ Namespace($0) }) else {
      return
    }
    if operation.kind == RawOperation.delete { made.remove(name) } else { made.insert(name) }
  }
}
