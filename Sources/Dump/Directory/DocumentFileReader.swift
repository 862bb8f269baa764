/// Reads a `.bson` file: documents one behind the other, without framing or checksum.
final class DocumentFileReader {
  /// Contiguous whole documents.
  struct Run: @unchecked Sendable {
    let count: Int
    let offset: Int64
    let chunk: Chunk
    let range: Range<Int>

    init(count: Int, offset: Int64, chunk: Chunk, range: Range<Int>) {
      self.count = count
      self.offset = offset
      self.chunk = chunk
      self.range = range
    }

    var bytes: UnsafeRawBufferPointer { chunk.slice(range) }
  }

  private var input: TokenInput

  init(_ source: any ByteSource, pool: ChunkPool) throws(DumpError) {
    input = try TokenInput(source, pool: pool)
  }

  /// As many whole documents as are at hand; nil at the end. Blocks.
  /// - Throws: ``DumpError`` `.damaged` with the offset.
  func next() throws(DumpError) -> Run? {
    do throws(DumpError) {
      guard try !input.isAtEnd() else { return nil }
      let offset = input.offset
      guard let (chunk, range, count) = try input.run() else {
        throw DumpError(.damaged, "no document begins here")
      }
      return Run(count: count, offset: offset, chunk: chunk, range: range)
    } catch { throw error.located(nil, input.offset) }
  }
}
