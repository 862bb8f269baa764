/// Writes chunks to a sink in the order in which they were handed in, compressed by a pool or plain.
///
/// There is no writing thread: whoever finishes the chunk at the head of the line writes it and all
/// finished ones behind it. What waits is bounded by the budget of the chunks' pool, because each
/// chunk is held until it is written.
final class OrderedOutput: Sendable {
  private struct Slot {
    var chunk: Chunk?
    var compressed: [UInt8]?
    var isReady: Bool
  }

  private struct State {
    var slots: [Slot] = []
    /// The number of `slots[head]`.
    var first = 0
    var head = 0
    var isWriting = false
    var error: DumpError?
    var written: Int64 = 0
    /// Bytes that are compressed and not written.
    var backlog = 0
  }

  private static let largestMember = 512 << 10
  private static let largestBacklog = 1 << 20

  private let sink: any ByteSink
  private let compression: CompressionPool?
  private let state = Monitor(State())

  init(_ sink: any ByteSink, compression: CompressionPool?) {
    self.sink = sink
    self.compression = compression
  }

  /// Bytes that the sink has taken.
  var written: Int64 { state.withLock { $0.written } }

  /// Puts a chunk in line. Does not block; ``drain()`` it afterwards, outside of any lock.
  ///
  /// A large document is compressed in parts, by several threads and with little room.
  func enqueue(_ chunk: Chunk) {
    guard compression != nil else { return add(chunk) }
    for piece in chunk.pieces(of: Self.largestMember) { add(piece) }
  }

  private func add(_ chunk: Chunk) {
    let number: Int? = state.withLock { state in
      guard state.error == nil else { return nil }
      state.slots.append(Slot(chunk: chunk, compressed: nil, isReady: compression == nil))
      return state.first + (state.slots.count - state.head) - 1
    }
    guard let number else { return }
    compression?.add(CompressionPool.Job(chunk: chunk, output: self, number: number))
  }

  /// Takes the result of compressing chunk `number`.
  func complete(_ number: Int, _ result: Result<[UInt8], DumpError>) {
    state.withLock(wake: true) { state in
      // After an error nothing is in line any more.
      let index = number - state.first + state.head
      guard state.error == nil, state.slots.indices.contains(index) else { return }
      switch result {
      case .success(let bytes):
        state.slots[index].compressed = bytes
        state.backlog += bytes.count
      case .failure(let error): if state.error == nil { state.error = error }
      }
      state.slots[index].isReady = true
    }
  }

  /// Writes what is ready, unless another thread is at it. Blocks while the sink does.
  /// - Throws: ``DumpError``, once and for all later calls.
  func drain() throws(DumpError) {
    while let slot = try next() {
      let result: Result<Int, DumpError>
      if let compressed = slot.compressed {
        result = compressed.withUnsafeBytes { write($0) }
      } else if let chunk = slot.chunk {
        result = write(chunk.bytes)
      } else {
        result = .success(0)
      }
      state.withLock(wake: true) { state in
        state.isWriting = false
        state.backlog -= slot.compressed?.count ?? 0
        switch result {
        case .success(let count): state.written += Int64(count)
        case .failure(let error): if state.error == nil { state.error = error }
        }
      }
    }
  }

  /// Writes what is ready; while another thread is at it and behind, blocks instead of letting the
  /// caller make more of it.
  /// - Throws: ``DumpError``, as ``drain()``.
  func drainPatiently() throws(DumpError) {
    var isBehind = true
    while isBehind {
      try drain()
      isBehind = state.wait { state -> Bool? in
        if state.error != nil || state.backlog <= Self.largestBacklog { return false }
        if state.isWriting { return nil }
        // What is first in line may be in the making, by another thread.
        return state.head < state.slots.count && state.slots[state.head].isReady
      }
    }
  }

  /// Blocks until all is written.
  /// - Throws: ``DumpError``.
  func finish() throws(DumpError) {
    try drain()
    let error: DumpError?? = state.wait { state in
      if let error = state.error { return .some(error) }
      return state.head == state.slots.count && !state.isWriting ? .some(nil) : nil
    }
    if let error = error ?? nil { throw error }
  }

  /// The slot at the head when it is ready and nobody else writes.
  private func next() throws(DumpError) -> Slot? {
    let result: Result<Slot?, DumpError> = state.withLock { state in
      if let error = state.error {
        // Whoever waits for the budget of these chunks must get it, to come here and learn of it.
        state.slots.removeAll()
        state.head = 0
        return .failure(error)
      }
      guard !state.isWriting, state.head < state.slots.count, state.slots[state.head].isReady
      else { return .success(nil) }
      let slot = state.slots[state.head]
      state.slots[state.head] = Slot(chunk: nil, compressed: nil, isReady: true)
      state.head += 1
      state.first += 1
      if state.head == state.slots.count {
        state.slots.removeAll(keepingCapacity: true)
        state.head = 0
      } else if state.head > 256 {
        state.slots.removeFirst(state.head)
        state.head = 0
      }
      state.isWriting = true
      return .success(slot)
    }
    return try result.get()
  }

  private func write(_ bytes: UnsafeRawBufferPointer) -> Result<Int, DumpError> {
    do throws(DumpError) {
      try sink.write(bytes)
      return .success(bytes.count)
    } catch { return .failure(error) }
  }
}

/// Threads that compress chunks into gzip members for any number of outputs.
final class CompressionPool: Sendable {
  struct Job: Sendable {
    let chunk: Chunk
    let output: OrderedOutput
    let number: Int
  }

  private struct State {
    /// Nil once taken: a chunk that stayed here would keep its room from those who read.
    var jobs: [Job?] = []
    var head = 0
    var isClosed = false
  }

  private let level: Int
  private let state = Monitor(State())
  private let threads = Monitor<[WorkerThread]>([])

  /// - Parameters:
  ///   - level: 1 to 9.
  ///   - threads: how many compress at a time.
  init(level: Int, threads count: Int) throws(DumpError) {
    self.level = level
    for _ in 0..<max(count, 1) {
      guard let thread = WorkerThread({ [state] in Self.work(state, level) }) else { continue }
      threads.withLock { $0.append(thread) }
    }
    guard threads.withLock({ !$0.isEmpty }) else {
      throw DumpError(.file, "the system gives no thread for compression")
    }
  }

  deinit { close() }

  func add(_ job: Job) { state.withLock(wake: true) { $0.jobs.append(job) } }

  /// Lets the threads finish what is in line, and end. Blocks.
  func close() {
    state.withLock(wake: true) { $0.isClosed = true }
    let ending = threads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    for thread in ending { thread.join() }
  }

  private static func work(_ state: Monitor<State>, _ level: Int) {
    guard let compressor = try? Compressor(level: level) else { return }
    var scratch = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    defer { scratch.deallocate() }
    while let job = next(state) {
      let bound = GzipMember.bound(compressor, job.chunk.count)
      if scratch.count < bound {
        scratch.deallocate()
        scratch = .allocate(byteCount: bound, alignment: 64)
      }
      do throws(DumpError) {
        let length = try GzipMember.write(job.chunk.bytes, with: compressor, to: scratch)
        job.output.complete(job.number, .success(Array(scratch[..<length])))
      } catch { job.output.complete(job.number, .failure(error)) }
      // A failed write is kept by the output and thrown to whoever owns it.
      try? job.output.drainPatiently()
    }
  }

  private static func next(_ state: Monitor<State>) -> Job? {
    let job: Job?? = state.wait { state in
      if state.head < state.jobs.count {
        let job = state.jobs[state.head]
        state.jobs[state.head] = nil
        state.head += 1
        if state.head == state.jobs.count {
          state.jobs.removeAll(keepingCapacity: true)
          state.head = 0
        } else if state.head > 256 {
          state.jobs.removeFirst(state.head)
          state.head = 0
        }
        return .some(job)
      }
      return state.isClosed ? .some(nil) : nil
    }
    return job ?? nil
  }
}
