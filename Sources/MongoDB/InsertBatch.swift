public import BSON
internal import CLibMongoc

/// Documents on their way to one collection, in as few copies as libmongoc allows: each is copied once
/// into the message, which is sent as a document sequence.
///
/// libmongoc splits at 48 MB and at 100,000 documents, and retries each message once when the
/// connection breaks and the server can tell a repeated write (replica set, no transaction).
public struct InsertBatch: ~Copyable {
  private let bulk: OpaquePointer
  private let settings: Document
  private let client: Client
  private let session: Session?
  private let context: CallContext
  /// Documents added so far.
  public private(set) var count = 0
  /// Bytes added so far.
  public private(set) var byteCount = 0

  /// Starts an empty batch. Nothing is sent before ``execute()``.
  /// - Parameter ordered: stop at the first failure; else all others are still inserted.
  /// - Throws: ``MongoError``.
  public init(
    client: Client, database: String, collection: String, ordered: Bool = true,
    bypassDocumentValidation: Bool = false, session: Session? = nil,
    writeConcern: Document? = ["w": "majority"]
  ) throws(MongoError) {
    self.client = client
    self.session = session
    context = CallContext(
      command: "insert", namespace: "\(database).\(collection)", settings: client.settings)
    let options = OptionsBSON()
    _ = bson_append_bool(options.pointer, "ordered", -1, ordered)
    if let writeConcern, !(session?.isInTransaction ?? false) {
      _ = writeConcern.withBSON { bson_append_document(options.pointer, "writeConcern", -1, $0) }
    }
    try session?.append(to: options)
    let target = mongoc_client_get_collection(client.handle.pointer, database, collection)
    defer { mongoc_collection_destroy(target) }
    bulk = mongoc_collection_create_bulk_operation_with_opts(target, options.pointer)
    if bypassDocumentValidation { mongoc_bulk_operation_set_bypass_document_validation(bulk, true) }
    // The server decides what a valid document is; libmongoc would refuse empty and dotted names.
    settings = ["validate": false]
  }

  deinit { mongoc_bulk_operation_destroy(bulk) }

  /// Adds a document's bytes; they are copied.
  /// - Throws: ``MongoError`` of kind `client` when they are not as long as they say.
  public mutating func add(_ document: UnsafeRawBufferPointer) throws(MongoError) {
    guard let borrowed = BorrowedBSON(document) else {
      throw MongoError(.client, "document \(count) is not as long as it says", command: "insert")
    }
    var error = bson_error_t()
    let bulk = bulk
    let added = settings.withBSON {
      mongoc_bulk_operation_insert_with_opts(bulk, borrowed.pointer, $0, &error)
    }
    guard added == true else { throw MongoError.from(error, reply: nil, context) }
    count += 1
    byteCount += document.count
  }

  /// Adds documents that lie one after the other.
  /// - Throws: ``MongoError`` of kind `client` when the bytes are not whole documents.
  public mutating func add(concatenated bytes: UnsafeRawBufferPointer) throws(MongoError) {
    var offset = 0
    while offset < bytes.count {
      guard bytes.count - offset >= 5 else {
        throw MongoError(.client, "the bytes end inside document \(count)", command: "insert")
      }
      let length = Int(
        Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
      guard length >= 5, length <= bytes.count - offset else {
        throw MongoError(.client, "the bytes end inside document \(count)", command: "insert")
      }
      try add(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length]))
      offset += length
    }
  }

  /// Sends everything and waits for the replies. Returns `{n: <inserted>}`.
  /// - Throws: ``MongoError``; of kind `writeErrors` with each failed document's index, and the
  ///   number inserted in `reply`.
  public consuming func execute() throws(MongoError) -> Document {
    guard count > 0 else { return ["n": 0, "ok": 1] }
    let reply = Reply()
    var error = bson_error_t()
    let done = mongoc_bulk_operation_execute(bulk, reply.pointer, &error) != 0
    let raw = try reply.document()
    var summary: Document = ["n": raw["nInserted"] ?? 0]
    if done { summary["ok"] = 1 }
    for field in ["writeErrors", "writeConcernErrors", "errorLabels"] {
      if let values = raw[field], values.arrayValue?.isEmpty == false { summary[field] = values }
    }
    if let failure = summary.withView({ MongoError.inside($0, context) }) {
      session?.noteFailedWrites(failure)
      throw failure
    }
    guard done else { throw MongoError.from(error, reply: summary, context) }
    return summary
  }
}

extension Client {
  /// Inserts documents that lie one after the other, with as few copies as possible; blocks until the
  /// write concern is met. See ``InsertBatch``.
  /// - Throws: ``MongoError``; of kind `writeErrors` with each failed document's index, and the
  ///   number inserted in `reply`.
  public func insertRaw(
    database: String, collection: String, documents: UnsafeRawBufferPointer, ordered: Bool = true,
    bypassDocumentValidation: Bool = false, session: Session? = nil,
    writeConcern: Document? = ["w": "majority"]
  ) throws(MongoError) -> Document {
    var batch = try InsertBatch(
      client: self, database: database, collection: collection, ordered: ordered,
      bypassDocumentValidation: bypassDocumentValidation, session: session,
      writeConcern: writeConcern)
    try batch.add(concatenated: documents)
    return try batch.execute()
  }
}
