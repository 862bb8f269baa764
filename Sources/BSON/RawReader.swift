/// Bounds-checked little-endian loads: the one place of this target that looks at memory by offset.
struct RawReader {
  let bytes: UnsafeRawBufferPointer

  @inline(__always)
  func check(_ offset: Int, _ count: Int) throws(BSONError) {
    guard offset >= 0, count >= 0, offset <= bytes.count, bytes.count - offset >= count else {
      throw BSONError(.truncated, "the input ends before the value it announces", offset: offset)
    }
  }

  @inline(__always)
  func byte(at offset: Int) throws(BSONError) -> UInt8 {
    try check(offset, 1)
    return bytes[offset]
  }

  @inline(__always)
  func int32(at offset: Int) throws(BSONError) -> Int32 {
    try check(offset, 4)
    return Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
  }

  @inline(__always)
  func uint32(at offset: Int) throws(BSONError) -> UInt32 {
    UInt32(bitPattern: try int32(at: offset))
  }

  @inline(__always)
  func int64(at offset: Int) throws(BSONError) -> Int64 {
    try check(offset, 8)
    return Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int64.self))
  }

  @inline(__always)
  func uint64(at offset: Int) throws(BSONError) -> UInt64 {
    UInt64(bitPattern: try int64(at: offset))
  }

  func slice(_ offset: Int, _ count: Int) throws(BSONError) -> UnsafeRawBufferPointer {
    try check(offset, count)
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }

  /// The offset of the NUL that ends the C string at `offset`.
  func terminator(from offset: Int, limit: Int) throws(BSONError) -> Int {
    guard offset >= 0, limit <= bytes.count else {
      throw BSONError(.truncated, "the input ends before the value it announces", offset: offset)
    }
    var at = offset
    while at < limit {
      if bytes[at] == 0 { return at }
      at += 1
    }
    throw BSONError(.invalidString, "a name has no end", offset: offset)
  }
}
