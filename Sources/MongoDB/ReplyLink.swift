internal import BSON
internal import CLibMongoc
internal import Glibc
internal import Synchronization

/// How the connections of a client read what the server sends.
///
/// libmongoc has a large reply three times while it arrives: in the buffer of its stream, which stays as
/// large for as long as the connection lives, in that of the command, and in the copy that the caller gets.
/// Here its buffered stream reads past its buffer, and the batch of a cursor's reply is read into memory
/// that goes to the cursor as it is: libmongoc sees the reply with an empty batch.
///
/// Of one thread at a time, as its client is. Lives as long as the client's connections.
final class ReplyLink: @unchecked Sendable {
  private let client: OpaquePointer
  /// A cursor waits for its batch.
  private var isOpen = false
  private var taken: ReplyBatch?
  /// What libmongoc has still to read of a message that is here.
  private var rest: [UInt8] = []
  private var restStart = 0

  /// Smaller messages are not worth a look.
  private static let smallest = 64 << 10
  /// No server sends more; libmongoc refuses it.
  private static let largest = 48_000_000 + (16 << 10)

  fileprivate init(client: OpaquePointer) { self.client = client }

  private func forget() {
    rest = []
    restStart = 0
    taken = nil
  }

  /// Runs a command whose reply has a cursor. Gives its batch when that was taken out of the reply.
  func takingBatch<R>(_ body: () -> R) -> (R, ReplyBatch?) {
    isOpen = true
    defer {
      isOpen = false
      forget()
    }
    let result = body()
    return (result, taken)
  }

  // MARK: - Connecting

  /// Makes the client's later connections read this way, where the library allows it.
  fileprivate func install() {
    _ = martlet_client_set_connect(
      client,
      { uri, host, data, error in
        guard let data else { return nil }
        let link = Unmanaged<ReplyLink>.fromOpaque(data).takeUnretainedValue()
        guard let stream = martlet_client_connect(uri, host, link.client, error) else { return nil }
        // Of a connection that broke.
        link.forget()
        guard martlet_stream_is_buffered(stream) else { return stream }
        stream.pointee.padding.0 = data
        stream.pointee.readv = { stream, vectors, count, _, timeout in
          guard let stream, let vectors, let data = stream.pointee.padding.0 else { return -1 }
          let link = Unmanaged<ReplyLink>.fromOpaque(data).takeUnretainedValue()
          let room = UnsafeMutableBufferPointer(start: vectors, count: count)
          return link.read(mongoc_stream_get_base_stream(stream), room, timeout)
        }
        return stream
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  // MARK: - Reading

  /// Reads all that is asked for; -1 when it does not come.
  private func read(
    _ base: OpaqueStream, _ vectors: UnsafeMutableBufferPointer<mongoc_iovec_t>, _ timeout: Int32
  ) -> Int {
    let wanted = vectors.reduce(0) { $0 + $1.iov_len }
    if restStart < rest.count { return handOut(vectors, wanted) }
    let isLength = isOpen && wanted == 4 && vectors.count == 1
    // Kept from before: where the bytes come in pieces, libmongoc moves the vector's own on.
    let start = vectors.first?.iov_base
    let got = mongoc_stream_readv(base, vectors.baseAddress, vectors.count, wanted, timeout)
    guard isLength, got == 4, let start else { return got }
    let length = Int(Int32(littleEndian: start.loadUnaligned(as: Int32.self)))
    guard (Self.smallest...Self.largest).contains(length) else { return got }
    return readWhole(base, length, start, timeout) ? got : -1
  }

  /// Reads a message whose length is known, takes its batch out, and corrects the length.
  private func readWhole(
    _ base: OpaqueStream, _ length: Int, _ lengthField: UnsafeMutableRawPointer, _ timeout: Int32
  ) -> Bool {
    guard let start = malloc(length) else { return false }
    let message = ReplyMemory(UnsafeMutableRawBufferPointer(start: start, count: length))
    start.copyMemory(from: lengthField, byteCount: 4)
    guard
      mongoc_stream_read(base, start + 4, length - 4, length - 4, timeout) == length - 4
    else { return false }
    let bytes = UnsafeRawBufferPointer(message.bytes)
    restStart = 4
    if let parts = try? OpMessage(bytes) {
      rest = parts.withoutBatch
      taken = ReplyBatch(memory: message, array: parts.batch)
    } else {
      // Compressed, or the reply of another command.
      rest = Array(bytes)
    }
    lengthField.storeBytes(of: Int32(rest.count).littleEndian, as: Int32.self)
    return true
  }

  private func handOut(
    _ vectors: UnsafeMutableBufferPointer<mongoc_iovec_t>, _ wanted: Int
  ) -> Int {
    guard wanted <= rest.count - restStart else {
      errno = EPROTO
      return -1
    }
    for vector in vectors {
      let part = rest[restStart..<restStart + vector.iov_len]
      part.withUnsafeBytes { source in
        UnsafeMutableRawBufferPointer(start: vector.iov_base, count: vector.iov_len)
          .copyMemory(from: source)
      }
      restStart += vector.iov_len
    }
    if restStart == rest.count {
      rest = []
      restStart = 0
    }
    return wanted
  }
}

/// What libmongoc calls a stream.
private typealias OpaqueStream = UnsafeMutablePointer<mongoc_stream_t>?

/// The links of a pool's clients, for as long as there is the pool.
final class ReplyLinks: Sendable {
  private let links = Mutex<[UInt: ReplyLink]>([:])

  /// The link of a client that was taken from the pool.
  func link(of client: OpaquePointer) -> ReplyLink {
    links.withLock { links in
      let link = links[UInt(bitPattern: client)] ?? ReplyLink(client: client)
      links[UInt(bitPattern: client)] = link
      // Each time: with `minPoolSize` the pool ends clients, and a new one may have the place of an old.
      link.install()
      return link
    }
  }
}

/// Memory of `malloc`, freed with its last owner.
final class ReplyMemory: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer

  fileprivate init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }
  deinit { free(bytes.baseAddress) }
}

/// The documents of a reply, as they came.
struct ReplyBatch {
  let memory: ReplyMemory
  /// The BSON array, within `memory`.
  let array: UnsafeRawBufferPointer
}

/// An OP_MSG of one document with a cursor.
private struct OpMessage {
  /// The array of the batch.
  let batch: UnsafeRawBufferPointer
  /// The message with an empty one.
  let withoutBatch: [UInt8]

  /// Header, flags and the kind of the first section.
  private static let bodyStart = 21
  private static let code: Int32 = 2013

  private enum Other: Error { case message }

  init(_ message: UnsafeRawBufferPointer) throws {
    guard message.count > Self.bodyStart + 5, Self.integer(message, 12) == Self.code,
      Self.integer(message, 16) == 0, message[20] == 0
    else { throw Other.message }
    let body = UnsafeRawBufferPointer(rebasing: message[Self.bodyStart...])
    guard let cursor = try DocumentView(body).first("cursor")?.nested() else { throw Other.message }
    let named = try cursor.first("nextBatch") ?? cursor.first("firstBatch")
    guard let array = try named?.nested()?.bytes, let start = message.baseAddress,
      let cursorStart = cursor.bytes.baseAddress, let arrayStart = array.baseAddress
    else { throw Other.message }
    batch = array
    let empty: [UInt8] = [5, 0, 0, 0, 0]
    let at = arrayStart - start
    var bytes = Array(message[..<at]) + empty + message[(at + array.count)...]
    let less = Int32(array.count - empty.count)
    for place in [0, Self.bodyStart, cursorStart - start] {
      let shorter = (Self.integer(message, place) - less).littleEndian
      bytes.withUnsafeMutableBytes {
        $0.storeBytes(of: shorter, toByteOffset: place, as: Int32.self)
      }
    }
    withoutBatch = bytes
  }

  private static func integer(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Int32 {
    Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
  }
}
