/// Writes an archive; documents of several namespaces may come from several threads.
///
/// The prelude comes first and in a fixed order; each chunk becomes a block, or goes on with the
/// open one when it is of the same namespace. - Source: archive-format.md 1.7.
final class ArchiveWriter: Sendable {
  private struct State {
    var current: Namespace?
    var crcs: [Namespace: CRC64] = [:]
    /// Framing and small chunks, not yet in line: a thousand tiny collections share one member.
    var pending: Chunk?
  }

  private let output: OrderedOutput
  /// Of its own: who holds documents must never wait for room that only documents can give back.
  private let pool = ChunkPool(budget: 16 << 20, chunkSize: 256 << 10)
  private let state = Monitor(State())

  init(_ output: OrderedOutput) { self.output = output }

  /// Writes magic and prelude.
  func begin(_ prelude: ArchivePrelude) throws(DumpError) {
    try append(prelude.encoded)
    try output.drain()
  }

  /// Adds documents of a namespace. May block while the sink does.
  ///
  /// - Parameters:
  ///   - chunk: whole documents, one behind the other; may be empty.
  ///   - crc: their checksum.
  func write(_ chunk: Chunk, crc: CRC64, to namespace: Namespace) throws(DumpError) {
    // Room for framing is taken before the lock: waiting for the budget inside would stop those
    // who could give some back.
    let spare = try pool.take()
    state.withLock { state in
      var spare: Chunk? = spare
      if state.current != namespace {
        var framing = state.current == nil ? [] : ArchiveFormat.terminator
        framing += NamespaceHeader(namespace: namespace, isEnd: false, crc: 0).encoded
        put(framing, &state, &spare)
        state.current = namespace
      }
      state.crcs[namespace, default: CRC64()].append(crc)
      if chunk.count <= pool.chunkSize / 4 {
        put(chunk.bytes, &state, &spare)
      } else {
        flush(&state)
        output.enqueue(chunk)
      }
    }
    try output.drain()
  }

  /// Ends a namespace; one without documents gets its empty block. Gives back its checksum.
  @discardableResult
  func end(_ namespace: Namespace) throws(DumpError) -> UInt64 {
    let spare = try pool.take()
    let crc = state.withLock { state in
      var spare: Chunk? = spare
      var framing: [UInt8] = []
      let crc = state.crcs.removeValue(forKey: namespace)
      if state.current != nil { framing += ArchiveFormat.terminator }
      if crc == nil {
        framing += NamespaceHeader(namespace: namespace, isEnd: false, crc: 0).encoded
        framing += ArchiveFormat.terminator
      }
      let value = crc?.value ?? 0
      framing += NamespaceHeader(namespace: namespace, isEnd: true, crc: value).encoded
      framing += ArchiveFormat.terminator
      state.current = nil
      put(framing, &state, &spare)
      return value
    }
    try output.drain()
    return crc
  }

  /// Hands over what is pending and blocks until all is written.
  func finish() throws(DumpError) {
    state.withLock { flush(&$0) }
    try output.finish()
  }

  // MARK: - Pending bytes

  private func append(_ bytes: [UInt8]) throws(DumpError) {
    var done = 0
    while done < bytes.count {
      var spare: Chunk? = try pool.take()
      let end = min(done + pool.chunkSize / 2, bytes.count)
      state.withLock { put(Array(bytes[done..<end]), &$0, &spare) }
      done = end
    }
  }

  private func put(_ bytes: [UInt8], _ state: inout State, _ spare: inout Chunk?) {
    bytes.withUnsafeBytes { put($0, &state, &spare) }
  }

  /// Adds to the pending chunk; `spare` takes over when that is full.
  private func put(_ bytes: UnsafeRawBufferPointer, _ state: inout State, _ spare: inout Chunk?) {
    if let pending = state.pending, pending.free.count < bytes.count { flush(&state) }
    if state.pending == nil {
      state.pending = spare
      spare = nil
    }
    state.pending?.append(bytes)
  }

  private func flush(_ state: inout State) {
    guard let pending = state.pending, pending.count > 0 else { return }
    output.enqueue(pending)
    state.pending = nil
  }
}
