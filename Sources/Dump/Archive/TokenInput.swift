internal import BSON

/// Reads tokens (documents and terminators) out of chunks. - Source: archive-format.md 1.2.
struct TokenInput {
  enum Token {
    /// A document of so many bytes, all of them in the buffer.
    case document(Int)
    case terminator
  }

  private let source: any ByteSource
  private let pool: ChunkPool
  private var chunk: Chunk
  private var position = 0
  private var sourceEnded = false
  /// Bytes from the start of the input to the chunk's first byte.
  private var chunkOffset: Int64 = 0

  init(_ source: any ByteSource, pool: ChunkPool) throws(DumpError) {
    self.source = source
    self.pool = pool
    chunk = try pool.take()
  }

  /// Bytes from the start of the input.
  var offset: Int64 { chunkOffset + Int64(position) }

  private var available: Int { chunk.count - position }

  /// Bytes in the buffer that are not dealt with.
  var buffered: Int { available }

  /// True when the source has nothing more.
  var isDrained: Bool { sourceEnded }

  /// Tries to have `count` bytes in the buffer.
  mutating func refill(_ count: Int) throws(DumpError) { try fill(count) }

  mutating func expectMagic() throws(DumpError) {
    try fill(4)
    guard available >= 4 else {
      throw DumpError(.damaged, "the input is too short to be an archive")
    }
    guard chunk.slice(position..<position + 4).elementsEqual(ArchiveFormat.magic) else {
      throw DumpError(
        .damaged, "the input is not a mongodump archive",
        hint: "a folder is loaded with --dir, one .bson file with --db and --collection")
    }
    position += 4
  }

  /// True when nothing follows.
  mutating func isAtEnd() throws(DumpError) -> Bool {
    try fill(1)
    return available == 0
  }

  /// Looks at the next token, which stays in the buffer.
  mutating func token() throws(DumpError) -> Token {
    try fill(4)
    guard available >= 4 else { throw truncated() }
    let length = peekLength()
    if length == UInt32.max { return .terminator }
    try check(length)
    try fill(Int(length))
    guard available >= Int(length) else { throw truncated() }
    try checkLastByte(Int(length))
    return .document(Int(length))
  }

  /// The bytes of a token that ``token()`` has found.
  func current(_ length: Int) -> UnsafeRawBufferPointer {
    chunk.slice(position..<position + length)
  }

  mutating func consume(_ length: Int) { position += length }

  /// The next document, copied; nil for a terminator, which is consumed.
  mutating func document() throws(DumpError) -> Document? {
    switch try token() {
    case .terminator:
      consume(4)
      return nil
    case .document(let length):
      do {
        let document = try Document(copying: DocumentView(current(length)))
        consume(length)
        return document
      } catch { throw DumpError(.damaged, "a document is not BSON", cause: error) }
    }
  }

  /// As many whole documents as the buffer holds, at least one; nil for a terminator, which is
  /// consumed.
  mutating func run() throws(DumpError) -> (Chunk, Range<Int>, Int)? {
    guard case .document(let first) = try token() else {
      consume(4)
      return nil
    }
    let start = position
    position += first
    var count = 1
    while available >= 4 {
      let length = peekLength()
      // The next call deals with terminators, and with damage once these documents are out.
      guard length != UInt32.max, length >= 5, length <= UInt32(ArchiveFormat.maximumDocument),
        Int(length) <= available, chunk.bytes[position + Int(length) - 1] == 0
      else { break }
      position += Int(length)
      count += 1
    }
    return (chunk, start..<position, count)
  }

  // MARK: - Buffer

  @inline(__always)
  private func peekLength() -> UInt32 {
    UInt32(littleEndian: chunk.bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
  }

  private func check(_ length: UInt32) throws(DumpError) {
    guard length >= 5, length <= UInt32(ArchiveFormat.maximumDocument) else {
      throw DumpError(
        .damaged, "\(length) is neither the length of a document nor a terminator")
    }
  }

  private func checkLastByte(_ length: Int) throws(DumpError) {
    guard chunk.bytes[position + length - 1] == 0 else {
      throw DumpError(.damaged, "a document does not end with a zero byte")
    }
  }

  private func truncated() -> DumpError {
    DumpError(.damaged, "the input ends inside a block")
  }

  /// Tries to have `count` bytes in one piece; fewer only at the end of the source.
  private mutating func fill(_ count: Int) throws(DumpError) {
    guard available < count, !sourceEnded else { return }
    if chunk.capacity - position < count || chunk.free.isEmpty {
      // A chunk that is used up goes first: two of the largest entries are not held at a time.
      let rest = available > 0 ? chunk : nil
      if rest == nil { chunk = pool.placeholder() }
      let next = try pool.take(count)
      if let rest { next.append(rest.slice(position..<rest.count)) }
      chunkOffset += Int64(position)
      position = 0
      chunk = next
    }
    let free = chunk.free
    let added = try source.fill(free)
    chunk.advance(added)
    if added < free.count { sourceEnded = true }
  }
}

extension TokenInput {
  /// Steps over bytes that are in the buffer, as many as there are.
  mutating func consumeSkipping(_ length: Int) { consume(min(length, buffered)) }

  /// How far from here something looks like the start of a namespace header: a length of less than
  /// 4 KiB, then a string named `db`. Drops what it has searched. Nil at the end.
  mutating func findHeader() throws(DumpError) -> Int? {
    let mark: [UInt8] = [0x02, UInt8(ascii: "d"), UInt8(ascii: "b"), 0]
    while true {
      try refill(64)
      guard buffered >= 64 || isDrained else { return nil }
      let bytes = current(buffered)
      var at = 0
      while at + 8 <= bytes.count {
        if bytes[at + 4] == mark[0], bytes[at + 5] == mark[1], bytes[at + 6] == mark[2],
          bytes[at + 7] == mark[3], bytes[at + 2] == 0, bytes[at + 3] == 0
        {
          return at
        }
        at += 1
      }
      consume(at)
      if isDrained, buffered < 8 { return nil }
    }
  }
}
