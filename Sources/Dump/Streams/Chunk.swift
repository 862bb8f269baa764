/// A block of memory that counts against a budget for as long as somebody holds it.
///
/// Bytes are only ever added behind `count`, so what a reader was handed stays as it is.
final class Chunk: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  let capacity: Int
  /// Bytes in use, from the start.
  private(set) var count = 0
  private let pool: ChunkPool?
  /// Keeps bytes alive that are not the pool's.
  private let owner: AnyObject?

  fileprivate init(base: UnsafeMutableRawPointer, capacity: Int, pool: ChunkPool) {
    self.base = base
    self.capacity = capacity
    self.pool = pool
    owner = nil
  }

  /// Bytes that somebody else owns and nobody changes; they count against no budget.
  init?(borrowing bytes: UnsafeRawBufferPointer, from owner: AnyObject) {
    guard let start = bytes.baseAddress else { return nil }
    base = UnsafeMutableRawPointer(mutating: start)
    capacity = bytes.count
    count = bytes.count
    pool = nil
    self.owner = owner
  }

  deinit { pool?.giveBack(base, capacity) }

  /// The same bytes in parts of at most `size`.
  func pieces(of size: Int) -> [Chunk] {
    guard count > size else { return [self] }
    return stride(from: 0, to: count, by: size).compactMap { start in
      Chunk(borrowing: slice(start..<min(start + size, count)), from: self)
    }
  }

  /// What is in use.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// The unused rest.
  var free: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: base + count, count: capacity - count)
  }

  /// Marks bytes of ``free`` as used.
  func advance(_ added: Int) {
    precondition(added >= 0 && added <= capacity - count)
    count += added
  }

  /// Copies bytes behind those in use; there must be room.
  func append(_ bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count <= capacity - count)
    guard let source = bytes.baseAddress else { return }
    (base + count).copyMemory(from: source, byteCount: bytes.count)
    count += bytes.count
  }

  /// A part of what is in use.
  func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    return UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
  }
}

/// Hands out chunks under one budget of bytes; blocks when it is spent.
final class ChunkPool: Sendable {
  private struct State {
    var used = 0
    /// Chunks that are larger than ordinary ones, for single large documents.
    var large = 0
    var spare: [UnsafeMutableRawPointer] = []
    var stopped = false
  }

  /// The size of an ordinary chunk, in bytes.
  let chunkSize: Int
  private let budget: Int
  private let state = Monitor(State())

  init(budget: Int, chunkSize: Int = 1 << 20) {
    self.budget = budget
    self.chunkSize = chunkSize
  }

  deinit { state.withLock { for base in $0.spare { base.deallocate() } } }

  /// A chunk of at least `capacity` bytes; blocks until the budget allows it.
  ///
  /// Two large ones may be out beyond it: who has one may need the next before giving it back.
  /// - Throws: ``DumpError`` `.cancelled` after ``stop()``.
  func take(_ capacity: Int = 0) throws(DumpError) -> Chunk {
    let size = max(capacity, chunkSize)
    let granted: UnsafeMutableRawPointer?? = state.wait { state in
      if state.stopped { return .some(nil) }
      let isLarge = size > chunkSize
      guard state.used + size <= budget || state.used == 0 || isLarge && state.large < 2 else {
        return nil
      }
      state.used += size
      if isLarge { state.large += 1 }
      return .some(size == chunkSize ? (state.spare.popLast() ?? allocate(size)) : allocate(size))
    }
    guard let base = granted ?? nil else { throw DumpError(.cancelled, "stopped") }
    return Chunk(base: base, capacity: size, pool: self)
  }

  /// A chunk without room, which counts for nothing.
  func placeholder() -> Chunk { Chunk(base: allocate(1), capacity: 0, pool: self) }

  /// Makes every waiting and later ``take(_:)`` throw.
  func stop() { state.withLock(wake: true) { $0.stopped = true } }

  fileprivate func giveBack(_ base: UnsafeMutableRawPointer, _ size: Int) {
    state.withLock(wake: true) { state in
      state.used -= size
      if size > chunkSize { state.large -= 1 }
      if size == chunkSize, !state.stopped { state.spare.append(base) } else { base.deallocate() }
    }
  }

  private func allocate(_ size: Int) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
  }
}
