internal import CLibMongoc

/// Connections to one deployment, lent out one client to a thread.
public final class ClientPool: Sendable {
  private let handle: PoolHandle
  /// What the pool was made from.
  public let settings: ConnectionSettings

  /// Makes a pool of at most `maxSize` clients; connects in the background.
  /// - Throws: ``MongoError`` of kind `invalidURI` or `client`.
  public init(_ settings: ConnectionSettings, maxSize: Int = 16) throws(MongoError) {
    self.settings = settings
    handle = try PoolHandle(settings, maxSize: maxSize)
  }

  /// Lends a client; blocks until one is free. It goes back when `body` and all that it made of the
  /// client, such as cursors, are gone.
  public func withClient<R>(_ body: (Client) throws -> R) throws -> R {
    try body(try takeClient())
  }

  /// Takes a client; blocks until one is free. It goes back when the last reference is gone.
  /// - Throws: ``MongoError`` when the string's `waitQueueTimeoutMS` is over.
  public func takeClient() throws(MongoError) -> Client {
    guard let pointer = mongoc_client_pool_pop(handle.pointer) else {
      throw MongoError(.timedOut, "no connection of the pool became free in time")
    }
    return Client(pool: self, pointer: pointer, link: handle.links.link(of: pointer))
  }

  fileprivate func giveBack(_ pointer: OpaquePointer) {
    mongoc_client_pool_push(handle.pointer, pointer)
  }
}

/// Owns libmongoc's pool, which any thread may use.
private struct PoolHandle: ~Copyable, @unchecked Sendable {
  let pointer: OpaquePointer
  /// Goes after the pool, whose connections use it.
  let links = ReplyLinks()

  init(_ settings: ConnectionSettings, maxSize: Int) throws(MongoError) {
    let uri = try settings.handle()
    var error = bson_error_t()
    guard let made = mongoc_client_pool_new_with_error(uri.pointer, &error) else {
      throw MongoError.from(error, reply: nil, CallContext(settings: settings))
    }
    mongoc_client_pool_max_size(made, UInt32(clamping: max(1, maxSize)))
    // Version 2 tells the server's codes from libmongoc's by their domain.
    mongoc_client_pool_set_error_api(made, 2)
    mongoc_client_pool_set_appname(made, settings.appName)
    pointer = made
  }

  deinit { mongoc_client_pool_destroy(pointer) }
}

/// Owns a client that is out of its pool.
struct ClientHandle: ~Copyable {
  let pointer: OpaquePointer
  let pool: ClientPool
  let link: ReplyLink

  deinit { pool.giveBack(pointer) }
}
