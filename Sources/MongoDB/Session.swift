internal import BSON
internal import CLibMongoc

/// A server session, with or without a transaction; used by the thread of its client.
public final class Session {
  private let handle: SessionHandle
  /// The client that the session belongs to.
  public let client: Client
  /// The failed writes that have made the server abort the open transaction.
  private var doom: MongoError?

  init(client: Client, causalConsistency: Bool) throws(MongoError) {
    self.client = client
    handle = try SessionHandle(client, causalConsistency: causalConsistency)
  }

  /// True between start and commit or abort.
  public var isInTransaction: Bool { mongoc_client_session_in_transaction(handle.pointer) }

  func append(to options: borrowing OptionsBSON) throws(MongoError) {
    var error = bson_error_t()
    guard mongoc_client_session_append(handle.pointer, options.pointer, &error) else {
      throw MongoError.from(error, reply: nil, CallContext(settings: client.settings))
    }
  }

  /// A reply with `writeErrors` has already aborted the transaction, though it says `ok: 1`. A commit
  /// would get NoSuchTransaction with the label that says "try again", for ever.
  func noteFailedWrites(_ error: MongoError) {
    if isInTransaction, !error.writeErrors.isEmpty, doom == nil { doom = error }
  }

  /// Starts a transaction that commits with a majority.
  func start(_ readConcern: TransactionReadConcern) throws(MongoError) {
    doom = nil
    let options = TransactionOptions(readConcern)
    var error = bson_error_t()
    guard mongoc_client_session_start_transaction(handle.pointer, options.pointer, &error) else {
      throw failure(error, nil, "startTransaction")
    }
  }

  /// Commits; may be called again after an unknown result.
  func commit() throws(MongoError) {
    if let doom {
      abort()
      throw doom
    }
    let reply = Reply()
    var error = bson_error_t()
    guard mongoc_client_session_commit_transaction(handle.pointer, reply.pointer, &error) else {
      throw failure(error, try? reply.document(), "commitTransaction")
    }
  }

  /// Aborts; a server that cannot be told gives the transaction up by itself.
  func abort() {
    var error = bson_error_t()
    if isInTransaction { _ = mongoc_client_session_abort_transaction(handle.pointer, &error) }
    doom = nil
  }

  private func failure(_ error: bson_error_t, _ reply: Document?, _ command: String) -> MongoError {
    MongoError.from(
      error, reply: reply,
      CallContext(command: command, namespace: "admin", settings: client.settings))
  }
}

/// Owns libmongoc's session; its end returns it to the client's pool of sessions.
private struct SessionHandle: ~Copyable {
  let pointer: OpaquePointer

  init(_ client: Client, causalConsistency: Bool) throws(MongoError) {
    let options = mongoc_session_opts_new()
    defer { mongoc_session_opts_destroy(options) }
    mongoc_session_opts_set_causal_consistency(options, causalConsistency)
    var error = bson_error_t()
    guard let made = mongoc_client_start_session(client.handle.pointer, options, &error) else {
      throw MongoError.from(error, reply: nil, CallContext(settings: client.settings))
    }
    pointer = made
  }

  deinit { mongoc_client_session_destroy(pointer) }
}

/// Owns the options of a transaction: snapshot reads, majority commit, primary.
private struct TransactionOptions: ~Copyable {
  let pointer: OpaquePointer = mongoc_transaction_opts_new()

  init(_ readConcern: TransactionReadConcern) {
    let read = mongoc_read_concern_new()
    defer { mongoc_read_concern_destroy(read) }
    let level =
      readConcern == .local ? MONGOC_READ_CONCERN_LEVEL_LOCAL : MONGOC_READ_CONCERN_LEVEL_SNAPSHOT
    _ = mongoc_read_concern_set_level(read, level)
    mongoc_transaction_opts_set_read_concern(pointer, read)
    let write = mongoc_write_concern_new()
    defer { mongoc_write_concern_destroy(write) }
    mongoc_write_concern_set_wmajority(write, 0)
    mongoc_transaction_opts_set_write_concern(pointer, write)
  }

  deinit { mongoc_transaction_opts_destroy(pointer) }
}

/// What a transaction may read.
public enum TransactionReadConcern: Sendable, Hashable {
  /// One point in time that the majority has.
  case snapshot
  /// What the primary has; the only level with which collections and indexes can be created.
  case local
}
