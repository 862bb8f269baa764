import Testing

@testable import Dump

@Suite struct GzipTests {
  /// One member of ours.
  static func compress(_ bytes: [UInt8]) throws -> [UInt8] {
    let compressor = try Compressor(level: 1)
    let room = UnsafeMutableRawBufferPointer.allocate(
      byteCount: GzipMember.bound(compressor, bytes.count), alignment: 8)
    defer { room.deallocate() }
    let length = try bytes.withUnsafeBytes { try GzipMember.write($0, with: compressor, to: room) }
    return Array(room[..<length])
  }

  static func inflate(_ bytes: [UInt8], step: Int = .max, salvages: Bool = false) throws -> [UInt8]
  {
    let source = GzipSource(MemorySource(bytes, step: step), salvages: salvages)
    return try FilePath.readAll(source, path: "memory", limit: 1 << 30)
  }

  static let text: [UInt8] = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) }

  @Test("members of ours are read one after the other", arguments: [1, 100, .max])
  func members(_ step: Int) throws {
    let part = Array(Self.text[..<5000])
    let packed = try Self.compress(part) + Self.compress([]) + Self.compress(part)
    #expect(try Self.inflate(packed, step: step) == part + part)
  }

  @Test("members that do not say their length are read with ours")
  func foreign() throws {
    let packed = try Fixtures.bytes("golden.archive.gz")
    let plain = try Self.inflate(packed)
    #expect(plain.starts(with: ArchiveFormat.magic))
    let both = try Self.compress(Self.text) + packed + Self.compress(Self.text)
    #expect(try Self.inflate(both) == Self.text + plain + Self.text)
  }

  @Test(
    "chunks of many threads come out in the order they went in, also when many wait",
    arguments: [2, 64])
  func ordered(_ megabytes: Int) throws {
    let sink = MemorySink()
    let pool = ChunkPool(budget: megabytes << 20, chunkSize: 32 << 10)
    let compression = try CompressionPool(level: 1, threads: 4)
    let output = OrderedOutput(sink, compression: compression)
    var expected: [UInt8] = []
    for n in 0..<300 * megabytes / 2 {
      let chunk = try pool.take()
      let piece = [UInt8](repeating: UInt8(truncatingIfNeeded: n), count: 1 + n * 97 % 30_000)
      piece.withUnsafeBytes { chunk.append($0) }
      expected += piece
      output.enqueue(chunk)
      try output.drain()
    }
    try output.finish()
    compression.close()
    #expect(try Self.inflate(sink.bytes) == expected)
  }

  @Test("a damaged member is refused, and salvage goes on behind it")
  func damaged() throws {
    let part = Array(Self.text[..<5000])
    let one = try Self.compress(part)
    var bad = one
    bad[one.count / 2] ^= 0xFF
    #expect(throws: DumpError.self) { try Self.inflate(one + bad + one) }
    // Small as it is, it may have named another collection.
    #expect(try Self.inflate(one + bad + one, salvages: true) == part + GzipSource.gap + part)
    let large = try Self.compress(Self.text)
    var damaged = large
    damaged[large.count / 2] ^= 0xFF
    #expect(try Self.inflate(one + damaged + one, salvages: true) == part + part)
  }

  @Test("bytes behind the last member are refused")
  func trailing() throws {
    let packed = try Self.compress(Self.text)
    #expect(throws: DumpError.self) { try Self.inflate(packed + Array("hello hello hello".utf8)) }
  }
}
