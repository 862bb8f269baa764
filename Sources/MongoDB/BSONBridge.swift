internal import BSON
internal import CLibMongoc

/// Room for a document that libmongoc hands out; owns it until it goes.
///
/// A class, not a `~Copyable` struct, because a cursor lends out batches while it keeps them.
final class Reply {
  let pointer: OpaquePointer
  /// The documents of a cursor's batch where they did not come through libmongoc.
  var batch: ReplyBatch?

  init() { pointer = martlet_bson_room() }
  deinit { martlet_bson_free(pointer) }

  /// Lends the document's bytes.
  func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try withExtendedLifetime(self) { try body(unsafeBytes) }
  }

  /// The document's bytes; valid only while this object lives.
  var unsafeBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: bson_get_data(pointer), count: Int(bsonLength))
  }

  private var bsonLength: Int32 {
    guard let start = bson_get_data(pointer) else { return 0 }
    return Int32(littleEndian: UnsafeRawPointer(start).loadUnaligned(as: Int32.self))
  }

  /// A checked copy.
  /// - Throws: ``MongoError`` of kind `malformedReply`.
  func document() throws(MongoError) -> Document {
    do {
      return try Document(bytes: [UInt8](unsafeBytes))
    } catch {
      throw MongoError(.malformedReply, "the server's reply is not BSON: \(error.message)")
    }
  }
}

/// A `bson_t` for libmongoc to read, over bytes that somebody else owns.
struct BorrowedBSON: ~Copyable {
  let pointer: OpaquePointer

  init?(_ bytes: UnsafeRawBufferPointer) {
    guard let made = martlet_bson_borrowing(bytes.baseAddress, bytes.count) else { return nil }
    pointer = made
  }

  deinit { martlet_bson_free(pointer) }
}

/// A small `bson_t` that libmongoc appends to: the options of one call.
struct OptionsBSON: ~Copyable {
  let pointer: OpaquePointer = bson_new()

  deinit { bson_destroy(pointer) }

  func set(_ key: String, _ value: Int32) { _ = bson_append_int32(pointer, key, -1, value) }
}

extension Document {
  /// Lends the document to a C function; nil when libbson refuses its length.
  func withBSON<R>(_ body: (OpaquePointer) -> R) -> R? {
    bytes.withUnsafeBytes { raw in
      guard let borrowed = BorrowedBSON(raw) else { return nil }
      return body(borrowed.pointer)
    }
  }

  /// Lends the bytes.
  func withRawBytes<R>(
    _ body: (UnsafeRawBufferPointer) throws(MongoError) -> R
  ) throws(MongoError) -> R {
    try bytes.withUnsafeBufferPointer { buffer throws(MongoError) in
      try body(UnsafeRawBufferPointer(buffer))
    }
  }

  /// The first element's name, without decoding the rest.
  var commandName: String {
    withView { view in
      var iterator = view.makeIterator()
      return (try? iterator.next())?.key ?? ""
    }
  }

  /// The collection that a command names in its first element; nil for others.
  var commandCollection: String? {
    withView { view in
      var iterator = view.makeIterator()
      guard let first = try? iterator.next(), first.type == .string else { return nil }
      guard case .string(let name)? = try? first.value() else { return nil }
      return name
    }
  }
}
