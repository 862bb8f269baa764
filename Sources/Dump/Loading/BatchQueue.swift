/// Documents on their way to the server.
struct LoadBatch: @unchecked Sendable {
  /// Index into the plan.
  let item: Int
  let count: Int
  /// Holds the bytes.
  private let chunk: Chunk
  private let range: Range<Int>

  init(item: Int, count: Int, chunk: Chunk, range: Range<Int>) {
    self.item = item
    self.count = count
    self.chunk = chunk
    self.range = range
  }

  /// Whole documents, one behind the other.
  var bytes: UnsafeRawBufferPointer { chunk.slice(range) }
  /// One large document, of which the driver makes a copy.
  var isLarge: Bool { range.count > 4 << 20 }
}

/// Work between those who read a dump and those who write to the server.
///
/// Bounded by the budget of the chunks in it. A collection that needs its order has one batch under
/// way at a time, and so have all collections together of large documents.
final class BatchQueue: Sendable {
  enum Work: Sendable {
    case insert(LoadBatch)
    /// All documents of an item are inserted.
    case finish(Int)
  }

  private struct State {
    var waiting: [LoadBatch] = []
    /// Batches of each item that are waiting or under way.
    var open: [Int: Int] = [:]
    var ended: Set<Int> = []
    var ready: [Int] = []
    var busy: Set<Int> = []
    var underWay = 0
    /// A large batch is under way.
    var isLargeBusy = false
    var isClosed = false
    var isStopped = false
  }

  private let ordered: Set<Int>
  private let state = Monitor(State())

  /// - Parameter ordered: items whose batches go one after the other.
  init(ordered: Set<Int>) { self.ordered = ordered }

  func add(_ batch: LoadBatch) {
    state.withLock(wake: true) { state in
      state.waiting.append(batch)
      state.open[batch.item, default: 0] += 1
    }
  }

  /// No more of this item will come.
  func end(_ item: Int) {
    state.withLock(wake: true) { state in
      state.ended.insert(item)
      if state.open[item, default: 0] == 0 { state.ready.append(item) }
    }
  }

  /// No more of anything will come.
  func close() { state.withLock(wake: true) { $0.isClosed = true } }

  /// Throws away what is waiting; everybody goes home.
  func stop() {
    state.withLock(wake: true) { state in
      state.isStopped = true
      state.waiting.removeAll()
    }
  }

  var isStopped: Bool { state.withLock { $0.isStopped } }

  /// The next piece of work; nil when all is done. Blocks.
  func next() -> Work? {
    let work: Work?? = state.wait { state in
      if state.isStopped { return .some(nil) }
      let free = state.waiting.firstIndex {
        (!ordered.contains($0.item) || !state.busy.contains($0.item))
          && !($0.isLarge && state.isLargeBusy)
      }
      if let free {
        let batch = state.waiting.remove(at: free)
        state.busy.insert(batch.item)
        if batch.isLarge { state.isLargeBusy = true }
        state.underWay += 1
        return .some(.insert(batch))
      }
      if !state.ready.isEmpty {
        state.underWay += 1
        return .some(.finish(state.ready.removeFirst()))
      }
      if state.isClosed, state.waiting.isEmpty, state.underWay == 0 { return .some(nil) }
      return nil
    }
    return work ?? nil
  }

  /// The work that ``next()`` gave is done.
  func done(_ work: Work) {
    state.withLock(wake: true) { state in
      state.underWay -= 1
      guard case .insert(let batch) = work else { return }
      if batch.isLarge { state.isLargeBusy = false }
      let left = (state.open[batch.item] ?? 1) - 1
      state.open[batch.item] = left
      if ordered.contains(batch.item) { state.busy.remove(batch.item) }
      if left == 0, state.ended.contains(batch.item) { state.ready.append(batch.item) }
    }
  }
}
