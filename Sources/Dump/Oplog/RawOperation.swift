internal import BSON

/// An oplog entry, or an operation inside of one, as it lies in the bytes that hold it.
///
/// Finds the fields that decide what becomes of it in one pass and decodes nothing: nearly all
/// entries are data, whose parts go to the server as they are. Borrowed, like ``DocumentView``.
struct RawOperation {
  /// The one letter that tells data from the rest; 0 for longer ones.
  private(set) var kind: UInt8 = 0
  /// The whole of it.
  private(set) var letters: UnsafeRawBufferPointer
  /// The namespace's bytes.
  let namespace: UnsafeRawBufferPointer
  /// Nil inside of transactions.
  private(set) var timestamp: Timestamp?
  private(set) var object: ElementView?
  private(set) var key: ElementView?
  private(set) var session: ElementView?
  private(set) var transaction: ElementView?
  /// `prevOpTime`: of a transaction's entry, the part before it.
  private var previous: ElementView?
  private var manyKind: ElementView?
  /// All of it.
  let bytes: UnsafeRawBufferPointer

  /// - Throws: ``DumpError`` `.damaged`.
  init(_ raw: UnsafeRawBufferPointer) throws(DumpError) {
    bytes = raw
    letters = UnsafeRawBufferPointer(start: nil, count: 0)
    var namespace: UnsafeRawBufferPointer?
    var hasKind = false
    do {
      var elements = try DocumentView(raw).makeIterator()
      while let element = try elements.next() {
        switch Field(element.keyBytes) {
        case .ts: timestamp = try element.value().timestampValue
        case .op:
          guard let text = try element.stringBytes() else { break }
          hasKind = true
          letters = text
          kind = text.count == 1 ? text[0] : 0
        case .ns: namespace = try element.stringBytes()
        case .o: object = element
        case .o2: key = element
        case .lsid: session = element
        case .txnNumber: transaction = element
        case .multiOpType: manyKind = element
        case .prevOpTime: previous = element
        case nil: break
        }
      }
    } catch { throw DumpError(.damaged, "an oplog entry is not BSON", cause: error) }
    guard let namespace, hasKind else {
      throw DumpError(.damaged, "an oplog entry lacks op or ns")
    }
    self.namespace = namespace
  }

  /// False also for the vectored insert of a retryable write, which has a session all the same.
  var isInTransaction: Bool {
    get throws { try session != nil && transaction != nil && manyKind?.integer() != 1 }
  }

  /// The time of the part before it; zero for the first, nil when the entry does not say.
  var previousTime: Timestamp? {
    get throws { try previous?.nested()?.first("ts")?.value().timestampValue }
  }

  /// Says something to the members of the set and changes nothing: `n`; `db` of long ago.
  var isNoop: Bool { kind == UInt8(ascii: "n") || letters.elementsEqual("db".utf8) }

  static let insert = UInt8(ascii: "i")
  static let update = UInt8(ascii: "u")
  static let delete = UInt8(ascii: "d")
  static let command = UInt8(ascii: "c")

  private enum Field {
    case ts, op, ns, o, o2, lsid, txnNumber, multiOpType, prevOpTime

    /// By length first: every entry of an oplog goes through here.
    init?(_ name: UnsafeRawBufferPointer) {
      switch name.count {
      case 1 where name[0] == UInt8(ascii: "o"): self = .o
      case 2:
        switch (name[0], name[1]) {
        case (UInt8(ascii: "t"), UInt8(ascii: "s")): self = .ts
        case (UInt8(ascii: "o"), UInt8(ascii: "p")): self = .op
        case (UInt8(ascii: "n"), UInt8(ascii: "s")): self = .ns
        case (UInt8(ascii: "o"), UInt8(ascii: "2")): self = .o2
        default: return nil
        }
      case 4 where name.elementsEqual("lsid".utf8): self = .lsid
      case 9 where name.elementsEqual("txnNumber".utf8): self = .txnNumber
      case 10 where name.elementsEqual("prevOpTime".utf8): self = .prevOpTime
      case 11 where name.elementsEqual("multiOpType".utf8): self = .multiOpType
      default: return nil
      }
    }
  }
}

/// Operations on their way to the server: the array of an `applyOps`, built as bytes.
struct OplogBatch {
  /// Entries of one `applyOps`: more is no faster.
  static let mostOperations = 500
  /// Bytes of one `applyOps`, well below what a command may have.
  static let mostBytes = 12 << 20
  /// An operation of which no two copies should be made.
  private static let large = 1 << 20
  /// For what stands around an operation and behind the last one.
  private static let room = 1 << 10

  private(set) var count = 0
  /// Where the operations go.
  private(set) var namespaces: Set<Namespace> = []
  private var bytes = Self.start

  /// A document's length, `applyOps`, the array's length; both are filled in at the end.
  private static let start: [UInt8] = [0, 0, 0, 0, 4] + Array("applyOps".utf8) + [0, 0, 0, 0, 0]
  private static let arrayStart = start.count - 4

  /// True when an operation of so many bytes belongs into the next batch.
  func isFull(before length: Int) -> Bool {
    count >= Self.mostOperations || count > 0 && bytes.count + length > Self.mostBytes
  }

  /// Adds what every version of the server takes: `op`, `ns`, `o`, and `o2` of an update.
  mutating func add(_ operation: RawOperation, _ object: ElementView, to route: OplogRoute) {
    // An array that grows by itself takes twice its bytes, and three times while it does.
    if operation.bytes.count > Self.large {
      bytes.reserveCapacity(bytes.count + operation.bytes.count + route.element.count + Self.room)
    }
    bytes.append(3)
    append(number: count)
    bytes.append(0)
    let start = bytes.count
    bytes.append(contentsOf: [0, 0, 0, 0, 2])
    bytes.append(contentsOf: [UInt8(ascii: "o"), UInt8(ascii: "p"), 0, 2, 0, 0, 0])
    bytes.append(contentsOf: [operation.kind, 0])
    bytes.append(contentsOf: route.element)
    bytes.append(contentsOf: object.bytes)
    if operation.kind == RawOperation.update, let key = operation.key {
      bytes.append(contentsOf: key.bytes)
    }
    bytes.append(0)
    patch(at: start)
    if count == 0 || !namespaces.contains(route.target) { namespaces.insert(route.target) }
    count += 1
  }

  /// The command for what is there; the batch is empty afterwards. What nobody else holds is not copied.
  mutating func takeCommand(upsert: Bool, _ writeConcern: Document) throws(DumpError) -> Document {
    bytes.append(0)
    patch(at: Self.arrayStart)
    bytes.append(0)
    patch(at: 0)
    var whole = Self.start
    whole.reserveCapacity(min(bytes.count, Self.large))
    swap(&whole, &bytes)
    var command: Document
    do { command = try Document(bytes: consume whole) } catch {
      throw DumpError(.damaged, "an oplog entry is not BSON", cause: error)
    }
    // Not atomic: the default takes the global exclusive lock for the whole batch.
    command.append("allowAtomic", false)
    command.append("alwaysUpsert", .bool(upsert))
    command.append("bypassDocumentValidation", true)
    command.append("writeConcern", .document(writeConcern))
    count = 0
    namespaces.removeAll(keepingCapacity: true)
    return command
  }

  private mutating func append(number: Int) {
    if number >= 10 { append(number: number / 10) }
    bytes.append(UInt8(ascii: "0") + UInt8(number % 10))
  }

  private mutating func patch(at start: Int) {
    let length = UInt32(truncatingIfNeeded: bytes.count - start)
    for place in 0..<4 { bytes[start + place] = UInt8(truncatingIfNeeded: length >> (8 * place)) }
  }
}

/// What becomes of the data of one namespace.
struct OplogRoute {
  enum Fate {
    case skip
    /// Views are documents of `system.views`, and need commands.
    case views
    case apply
  }

  let fate: Fate
  let source: Namespace
  let target: Namespace
  /// The element `ns` of an operation.
  let element: [UInt8]

  init(_ fate: Fate, _ source: Namespace, _ target: Namespace) {
    self.fate = fate
    self.source = source
    self.target = target
    let name: Document = ["ns": .string(target.description)]
    element = Array(name.bytes.dropFirst(4).dropLast())
  }
}
