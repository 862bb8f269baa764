public import BSON

/// The result of a find or an aggregation, read batch by batch. Blocking; of one thread.
public final class Cursor {
  private let client: Client
  private let session: Session
  private let server: UInt32
  private let context: CallContext
  private let database: String
  private let collection: String
  private var id: Int64
  /// Nil once it is taken: a reply that nobody needs is not kept beside the next one.
  private var batch: Batch?
  /// Documents of a batch; nil leaves it to the server (16 MB).
  public var batchSize: Int?
  /// For tailable cursors: how long the server waits for data.
  public var awaitTime: Duration?
  /// The point in time that a snapshot read sees.
  public let atClusterTime: Timestamp?
  /// Where another scan would go on after the batch that was lent last, when the find asked for it with
  /// `$_requestResumeToken`. It means something on the same member only.
  public private(set) var resumeToken: Document?

  init(
    client: Client, session: Session, server: UInt32, reply: Reply, context: CallContext,
    batchSize: Int?
  ) throws(MongoError) {
    self.client = client
    self.session = session
    self.server = server
    self.context = context
    self.batchSize = batchSize
    let head = try Head(reply, context)
    id = head.id
    batch = head.batch
    atClusterTime = head.atClusterTime
    resumeToken = head.resumeToken
    let parts = head.namespace.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    database = String(parts.first ?? "")
    collection = String(parts.last ?? "")
  }

  /// The member of the deployment that it reads from, as this pool counts them.
  public var member: UInt32 { server }

  /// True while the server may have more; a tailable cursor stays open after an empty batch.
  public var isOpen: Bool { id != 0 }

  /// The next document, or nil when there is none (for a tailable cursor: none now).
  /// - Throws: ``MongoError``.
  public func next() throws(MongoError) -> Document? {
    guard try fill(), let bytes = try batch?.next() else { return nil }
    do {
      return try Document(bytes: [UInt8](bytes))
    } catch {
      throw MongoError(.malformedReply, "the server sent a document that is not BSON: \(error)")
    }
  }

  /// Lends the documents that have arrived and not been taken, fetching a batch when there are none;
  /// nil at the end. Nothing is copied: they lie in the reply.
  public func nextBatch<R>(_ body: (RawBatch) throws -> R) throws -> R? {
    guard try fill(), var taken = batch else { return nil }
    batch = nil
    let lent = RawBatch(bytes: taken.takeRest(), owner: taken.reply)
    return try withExtendedLifetime(taken.reply) { try body(lent) }
  }

  /// Calls `body` with every document that is left.
  public func forEach(_ body: (Document) throws -> Void) throws {
    while let document = try next() { try body(document) }
  }

  /// Every document that is left.
  /// - Throws: ``MongoError``.
  public func all() throws(MongoError) -> [Document] {
    var documents: [Document] = []
    while let document = try next() { documents.append(document) }
    return documents
  }

  /// Makes sure that a document is at hand; false when there is none.
  private func fill() throws(MongoError) -> Bool {
    while batch?.isEmpty ?? true {
      batch = nil
      guard id != 0 else { return false }
      try getMore()
      if awaitTime != nil, batch?.isEmpty ?? true { return false }
    }
    return true
  }

  private func getMore() throws(MongoError) {
    var command: Document = ["getMore": .int64(id), "collection": .string(collection)]
    if let batchSize { command.append("batchSize", .integer(batchSize)) }
    if let awaitTime { command.append("maxTimeMS", .integer(awaitTime.wholeMilliseconds)) }
    do {
      let reply = try client.execute(
        command, on: database, session: session, options: .init(), server: server,
        takingBatch: true)
      let head = try Head(reply, context)
      id = head.id
      batch = head.batch
      resumeToken = head.resumeToken
    } catch {
      // Gone at the server, or the connection is: there is nothing to close.
      if error.isCursorGone || error.isNetwork { id = 0 }
      throw error
    }
  }

  deinit {
    guard id != 0 else { return }
    let kill: Document = [
      "killCursors": .string(collection), "cursors": [.int64(id)],
    ]
    // The server drops it after ten minutes anyway.
    _ = try? client.execute(
      kill, on: database, session: session, options: .init(), server: server)
  }

  static func batchSize(of command: Document) -> Int? {
    let size = command["batchSize"] ?? command["cursor"]?.documentValue?["batchSize"]
    return size?.integerValue.flatMap { $0 > 0 ? Int($0) : nil }
  }
}

/// Documents as the server sent them, borrowed for as long as the closure runs.
public struct RawBatch {
  /// The array's elements: type byte, index as text, NUL, document; one after the other.
  let bytes: UnsafeRawBufferPointer
  /// Keeps the bytes alive for whoever cannot be done with them in time; any thread may let it go.
  public let owner: AnyObject

  /// Steps through the documents' bytes: `while let document = try documents.next()`.
  public func makeIterator() -> RawDocumentIterator { RawDocumentIterator(bytes: bytes) }

  /// Calls `body` with each document's bytes, in order.
  /// - Throws: ``MongoError`` of kind `malformedReply`, or what `body` throws.
  public func forEach(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    var walker = RawDocumentIterator(bytes: bytes)
    while let document = try walker.next() { try body(document) }
  }

  /// The number of documents; walks the batch.
  public var count: Int {
    var walker = RawDocumentIterator(bytes: bytes)
    var count = 0
    while (try? walker.next()) != nil { count += 1 }
    return count
  }

  /// Bytes of the batch, a little more than those of its documents.
  public var byteCount: Int { bytes.count }
}

/// Steps through an array of documents, looking at lengths only.
public struct RawDocumentIterator {
  let bytes: UnsafeRawBufferPointer
  private(set) var offset = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var isAtEnd: Bool { offset >= bytes.count }

  /// The next document's bytes, or nil at the end.
  /// - Throws: ``MongoError`` of kind `malformedReply`.
  public mutating func next() throws(MongoError) -> UnsafeRawBufferPointer? {
    guard offset < bytes.count else { return nil }
    guard bytes[offset] == BSONType.document.rawValue else { throw Self.malformed }
    var start = offset + 1
    while start < bytes.count, bytes[start] != 0 { start += 1 }
    start += 1
    guard bytes.count - start >= 5 else { throw Self.malformed }
    let length = Int(
      Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: Int32.self)))
    guard length >= 5, length <= bytes.count - start else { throw Self.malformed }
    offset = start + length
    return UnsafeRawBufferPointer(rebasing: bytes[start..<start + length])
  }

  mutating func takeRest() -> UnsafeRawBufferPointer {
    let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
    offset = bytes.count
    return rest
  }

  static let malformed = MongoError(
    .malformedReply, "a batch of the server is not an array of documents")
}

/// A reply that a cursor keeps, and how far it has been read.
private struct Batch {
  let reply: Reply
  private var walker: RawDocumentIterator

  init(_ reply: Reply, array: UnsafeRawBufferPointer) {
    self.reply = reply
    walker = RawDocumentIterator(
      bytes: UnsafeRawBufferPointer(rebasing: array[4..<array.count - 1]))
  }

  var isEmpty: Bool { walker.isAtEnd }

  mutating func next() throws(MongoError) -> UnsafeRawBufferPointer? { try walker.next() }

  mutating func takeRest() -> UnsafeRawBufferPointer { walker.takeRest() }
}

/// What a reply says about its cursor.
private struct Head {
  var id: Int64 = 0
  var namespace = ""
  var atClusterTime: Timestamp?
  var resumeToken: Document?
  let batch: Batch

  init(_ reply: Reply, _ context: CallContext) throws(MongoError) {
    var found: UnsafeRawBufferPointer?
    do {
      guard let cursor = try DocumentView(reply.unsafeBytes).first("cursor")?.nested() else {
        throw Head.missing(context)
      }
      var iterator = cursor.makeIterator()
      while let element = try iterator.next() {
        if element.isNamed("firstBatch") || element.isNamed("nextBatch") {
          found = try element.nested()?.bytes
        } else if element.isNamed("id") {
          id = try element.integer() ?? 0
        } else if element.isNamed("ns") {
          namespace = try element.value().stringValue ?? ""
        } else if element.isNamed("atClusterTime") {
          atClusterTime = try element.value().timestampValue
        } else if element.isNamed("postBatchResumeToken") {
          resumeToken = try element.value().documentValue
        }
      }
    } catch let error as MongoError { throw error } catch {
      throw Head.missing(context)
    }
    guard let found else { throw Head.missing(context) }
    batch = Batch(reply, array: reply.batch?.array ?? found)
  }

  private static func missing(_ context: CallContext) -> MongoError {
    MongoError(
      .malformedReply, "the reply has no cursor", command: context.command,
      namespace: context.namespace)
  }
}
