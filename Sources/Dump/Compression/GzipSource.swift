import CDeflate
import CZlib

/// Takes off gzip: any number of members, one after the other.
///
/// Members that say their length, as ours do, are inflated whole by libdeflate, which takes half the
/// time; all others go through zlib. - Source: RFC 1952.
public final class GzipSource: ByteSource {
  /// Members of more than this are streamed, whatever they say.
  static let maximumWhole = 32 << 20

  private let source: any ByteSource
  /// Compressed bytes that were read and not used: `input[start..<end]`.
  private let input: UnsafeMutableRawBufferPointer
  private var whole: UnsafeMutableRawBufferPointer
  private var start = 0
  private var end = 0
  private var atEnd = false
  /// Compressed bytes before `input[0]`.
  private var consumed: Int64 = 0

  /// A whole member's content, not all of it handed out yet.
  private var content: UnsafeMutableRawBufferPointer
  private var contentStart = 0
  private var contentEnd = 0

  private let stream: UnsafeMutablePointer<z_stream>
  private var streaming = false
  private let decompressor: OpaquePointer?
  private var members = 0
  /// Goes on behind damage at the next member that says its length.
  private let salvages: Bool
  /// Stands for what was lost where that may have named another collection: no archive has it, for no
  /// document is of one byte.
  static let gap: [UInt8] = [1, 0, 0, 0, 1, 0, 0, 0]
  /// A lost member of more than this held nothing but documents: ``ArchiveWriter`` never puts as much
  /// into one that has framing.
  static let maximumFraming = 256 << 10
  /// The uncompressed size of the member that is being read, as it says itself.
  private var announced = 0
  /// Members, or stretches without a readable one, that were skipped.
  public private(set) var lost = 0

  /// - Parameter salvages: go on behind damage at the next member that says its length; ``lost``
  ///   counts what was skipped, and nothing is thrown for damage.
  public init(_ source: any ByteSource, salvages: Bool = false) {
    self.source = source
    self.salvages = salvages
    input = .allocate(byteCount: 256 << 10, alignment: 16)
    whole = .init(start: nil, count: 0)
    content = .init(start: nil, count: 0)
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    martlet_inflate_init(stream, 15 + 16)
    decompressor = libdeflate_alloc_decompressor()
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
    libdeflate_free_decompressor(decompressor)
    input.deallocate()
    whole.deallocate()
    content.deallocate()
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    guard !buffer.isEmpty else { return 0 }
    while true {
      if contentStart < contentEnd { return take(into: buffer) }
      do throws(DumpError) {
        if streaming {
          let count = try inflateSome(into: buffer)
          if count > 0 { return count }
        } else {
          guard try beginMember() else { return 0 }
        }
      } catch {
        guard salvages, error.code == .damaged else { throw error }
        lost += 1
        streaming = false
        let size = announced
        announced = 0
        guard try findMember() else { return 0 }
        if size <= Self.maximumFraming { insertGap() }
      }
    }
  }

  private func insertGap() {
    if content.count < Self.gap.count { content = Self.grown(content, to: Self.gap.count) }
    content.copyBytes(from: Self.gap)
    contentStart = 0
    contentEnd = Self.gap.count
  }

  private func take(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let count = min(buffer.count, contentEnd - contentStart)
    buffer.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: content[contentStart..<contentStart + count]))
    contentStart += count
    return count
  }

  // MARK: - Members

  /// False at the end of the input.
  private func beginMember() throws(DumpError) -> Bool {
    try need(GzipMember.headerLength)
    guard end > start else {
      guard members > 0 else { throw damaged("the gzip input is empty") }
      return false
    }
    let header = UnsafeRawBufferPointer(rebasing: input[start..<end])
    guard header.count >= 2, header[0] == 0x1F, header[1] == 0x8B else {
      throw damaged("bytes that are not gzip follow the last gzip member")
    }
    members += 1
    guard let length = GzipMember.announcedLength(header), length <= Self.maximumWhole else {
      inflateReset(stream)
      streaming = true
      return true
    }
    try inflateWhole(length)
    return true
  }

  private func inflateWhole(_ length: Int) throws(DumpError) {
    if whole.count < length { whole = Self.grown(whole, to: length) }
    let buffered = min(length, end - start)
    whole.copyMemory(from: UnsafeRawBufferPointer(rebasing: input[start..<start + buffered]))
    start += buffered
    if buffered < length {
      let rest = UnsafeMutableRawBufferPointer(rebasing: whole[buffered..<length])
      guard try source.fill(rest) == rest.count else {
        throw damaged("the gzip input ends inside a member")
      }
      // Those bytes passed `input` by.
      consumed += Int64(rest.count)
    }
    let member = UnsafeRawBufferPointer(rebasing: whole[..<length])
    let size = Int(
      UInt32(littleEndian: member.loadUnaligned(fromByteOffset: length - 4, as: UInt32.self)))
    guard size <= Self.maximumWhole else { throw damaged("a gzip member's size cannot be true") }
    announced = size
    if content.count < size { content = Self.grown(content, to: size) }
    var written = 0
    let result = libdeflate_gzip_decompress(
      decompressor, member.baseAddress, length, content.baseAddress, content.count, &written)
    guard result == LIBDEFLATE_SUCCESS else {
      throw damaged("a gzip member is damaged or its checksum differs")
    }
    announced = 0
    contentStart = 0
    contentEnd = written
  }

  private func inflateSome(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    try need(1)
    guard end > start, let base = input.baseAddress, let out = buffer.baseAddress else {
      throw damaged("the gzip input ends inside a member")
    }
    let room = min(buffer.count, Int(UInt32.max))
    stream.pointee.next_in = (base + start).assumingMemoryBound(to: UInt8.self)
    stream.pointee.avail_in = UInt32(end - start)
    stream.pointee.next_out = out.assumingMemoryBound(to: UInt8.self)
    stream.pointee.avail_out = UInt32(room)
    let status = inflate(stream, Z_NO_FLUSH)
    start = end - Int(stream.pointee.avail_in)
    switch status {
    case Z_STREAM_END: streaming = false
    case Z_OK: break
    case Z_BUF_ERROR: break
    default: throw damaged("a gzip member is damaged or its checksum differs")
    }
    return room - Int(stream.pointee.avail_out)
  }

  /// Looks for the next member that says its length; false when there is none.
  private func findMember() throws(DumpError) -> Bool {
    while true {
      try need(GzipMember.headerLength)
      guard end - start >= GzipMember.headerLength else { return false }
      while end - start >= GzipMember.headerLength {
        if input[start] == 0x1F, input[start + 1] == 0x8B,
          GzipMember.announcedLength(UnsafeRawBufferPointer(rebasing: input[start..<end])) != nil
        {
          return true
        }
        start += 1
      }
    }
  }

  // MARK: - Input

  /// Tries to have `count` compressed bytes at hand; fewer only at the end.
  private func need(_ count: Int) throws(DumpError) {
    guard end - start < count, !atEnd, let base = input.baseAddress else { return }
    if start > 0 {
      (base).copyMemory(from: base + start, byteCount: end - start)
      consumed += Int64(start)
      end -= start
      start = 0
    }
    while end < count {
      let added = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: input[end...]))
      if added == 0 {
        atEnd = true
        return
      }
      end += added
    }
  }

  private func damaged(_ message: String) -> DumpError {
    DumpError(.damaged, message + " (near compressed byte \(consumed + Int64(start)))")
  }

  private static func grown(_ buffer: UnsafeMutableRawBufferPointer, to count: Int)
    -> UnsafeMutableRawBufferPointer
  {
    buffer.deallocate()
    return .allocate(byteCount: count, alignment: 64)
  }
}
