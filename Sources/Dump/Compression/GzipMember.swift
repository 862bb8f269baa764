import CDeflate

/// One gzip member that says its own length.
///
/// Every member can be inflated alone and the next one found without inflating it. The length stands
/// in an extra field with our id, which every gzip reader skips. - Source: RFC 1952, 2.3.1.1.
enum GzipMember {
  static let headerLength = 20
  private static let trailerLength = 8
  /// `MT`, length 4, the member's length in bytes.
  private static let fieldID: [UInt8] = [0x4D, 0x54]

  /// The most bytes that a member for `count` bytes of content can take.
  static func bound(_ compressor: Compressor, _ count: Int) -> Int {
    headerLength + compressor.bound(count) + trailerLength
  }

  /// Writes one member; `output` must have ``bound(_:_:)`` bytes. Returns its length.
  static func write(
    _ input: UnsafeRawBufferPointer, with compressor: Compressor,
    to output: UnsafeMutableRawBufferPointer
  ) throws(DumpError) -> Int {
    let room = output.count - headerLength - trailerLength
    guard room > 0, let base = output.baseAddress else {
      throw DumpError(.file, "no room for a gzip member")
    }
    let size = compressor.deflate(
      input, to: UnsafeMutableRawBufferPointer(start: base + headerLength, count: room))
    guard size > 0 else { throw DumpError(.file, "a block could not be compressed") }
    let length = headerLength + size + trailerLength
    // Extra field present, no time, fastest, system unknown: what mongodump's own members say.
    output.copyBytes(from: [0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0] + fieldID + [4, 0])
    store(UInt32(length), output, at: 16)
    let checksum = libdeflate_crc32(0, input.baseAddress, input.count)
    store(checksum, output, at: headerLength + size)
    store(UInt32(truncatingIfNeeded: input.count), output, at: headerLength + size + 4)
    return length
  }

  /// One member for a small array.
  static func make(_ bytes: [UInt8], level: Int) throws(DumpError) -> [UInt8] {
    let compressor = try Compressor(level: level)
    let room = UnsafeMutableRawBufferPointer.allocate(
      byteCount: bound(compressor, bytes.count), alignment: 8)
    defer { room.deallocate() }
    let result: Result<Int, DumpError> = bytes.withUnsafeBytes { raw in
      do throws(DumpError) {
        return .success(try write(raw, with: compressor, to: room))
      } catch { return .failure(error) }
    }
    return Array(room[..<(try result.get())])
  }

  /// The length that a member of ours announces; nil for any other.
  static func announcedLength(_ header: UnsafeRawBufferPointer) -> Int? {
    guard header.count >= headerLength, header[3] == 4, header[10] == 8, header[11] == 0,
      header[12] == fieldID[0], header[13] == fieldID[1], header[14] == 4, header[15] == 0
    else { return nil }
    let length = Int(
      UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 16, as: UInt32.self)))
    return length >= headerLength + trailerLength + 2 ? length : nil
  }

  private static func store(_ value: UInt32, _ out: UnsafeMutableRawBufferPointer, at offset: Int) {
    out.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
  }
}
