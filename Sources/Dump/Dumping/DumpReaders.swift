internal import BSON
import Fingerprint
internal import MongoDB

/// What reading all collections gave, in the order of the plan.
struct ReadResult: Sendable {
  var tallies: [CollectionTally]
  var crcs: [UInt64]
  /// Dropped while they were read, in oplog mode.
  var gone: [Namespace] = []
}

/// The threads that read collections.
///
/// Items are handed out in the order of the plan, all ranges of a collection before the next: so no
/// more collections are open at a time than there are threads, which is what the archive's header
/// promises to mongorestore. Where documents are large, fewer threads take part, always the same
/// ones: the replies of more would only wait for each other, see ``ReplyGate``.
struct DumpReaders {
  let pool: ClientPool
  let chunks: ChunkPool
  let options: DumpOptions
  let basis: DumpBasis
  let output: any DumpOutput
  /// Bytes of replies at a time.
  private static let replies = 4 << 20
  private let gate = ReplyGate(budget: replies)

  init(
    pool: ClientPool, chunks: ChunkPool, options: DumpOptions, basis: DumpBasis,
    output: any DumpOutput
  ) {
    self.pool = pool
    self.chunks = chunks
    self.options = options
    self.basis = basis
    self.output = output
  }

  private struct State {
    var next = 0
    /// Ranges that are waiting, of the collection that is being handed out.
    var items: [ReadItem] = []
    /// Items of each collection that are not done; nil before it was cut.
    var open: [Int: Int] = [:]
    var result: ReadResult
    var progress: DumpProgress
    /// Threads that take part in the collection that is being handed out.
    var takers = 1
    var isCutting = false
    var isStopped = false
  }

  func run() throws -> ReadResult {
    let count = basis.plan.count
    let expected = basis.plan.reduce(0) { $0 + $1.size }
    let state = Monitor(
      State(
        result: ReadResult(
          tallies: Array(repeating: CollectionTally(), count: count),
          crcs: Array(repeating: 0, count: count)),
        progress: DumpProgress(
          documents: 0, bytes: 0, expectedBytes: expected, namespace: Namespace("", ""))))
    // Users and roles are through before anything else begins: mongorestore wants them first.
    try work(state, 0) { basis.plan[$0].target.isSpecial }
    let bodies = (0..<options.parallel).map { number in
      { @Sendable in try work(state, number) { _ in true } }
    }
    try WorkerThreads.run(bodies) { _ in
      state.withLock(wake: true) { $0.isStopped = true }
      chunks.stop()
      gate.stop()
    }
    return state.withLock { $0.result }
  }

  private func work(_ state: Monitor<State>, _ number: Int, while accepts: (Int) -> Bool) throws {
    try pool.withClient { client in
      while let item = try next(state, number, client, accepts) {
        let collection = basis.plan[item.collection]
        var tally = CollectionTally()
        var gone: Namespace?
        if !collection.isView {
          do { tally = try reader(client, state, collection).read(item, of: collection) } catch let
            error as CollectionGone
          { gone = error.namespace }
        }
        try done(item, tally, gone, state)
      }
    }
  }

  private func reader(
    _ client: Client, _ state: Monitor<State>, _ collection: PlannedCollection
  ) -> CollectionReader {
    CollectionReader(
      client: client, pool: chunks, gate: gate, options: options, point: basis.point,
      output: output
    ) { documents, bytes in
      guard let report = options.progress else { return }
      report(
        state.withLock { state in
          state.progress.documents += documents
          state.progress.bytes += bytes
          state.progress.namespace = collection.namespace
          return state.progress
        })
    }
  }

  /// The next item; cuts the next collection when there is none. Nil when all are handed out.
  private func next(
    _ state: Monitor<State>, _ number: Int, _ client: Client, _ accepts: (Int) -> Bool
  ) throws -> ReadItem? {
    enum Step {
      case item(ReadItem)
      case cut(Int)
      case finished
    }
    while true {
      try options.cancellation.check()
      try basis.tail?.check()
      let step: Step = state.wait { state in
        if state.isStopped { return .finished }
        if !state.items.isEmpty {
          return number < state.takers ? .item(state.items.removeFirst()) : nil
        }
        if state.isCutting { return nil }
        guard state.next < basis.plan.count, accepts(state.next) else { return .finished }
        state.isCutting = true
        state.next += 1
        return .cut(state.next - 1)
      }
      switch step {
      case .finished: return nil
      case .item(let item): return item
      case .cut(let index): try cut(index, client, state)
      }
    }
  }

  private func cut(_ index: Int, _ client: Client, _ state: Monitor<State>) throws {
    defer { state.withLock(wake: true) { $0.isCutting = false } }
    let cutter = RangeCutter(client: client, rangeSize: options.rangeSize)
    var items: [ReadItem]?
    var isOrdered = false
    if case .snapshot(let time) = basis.point.level {
      isOrdered = true
      // Reads of other members may have to go on with another one, whose records have other numbers.
      if options.readPreference == .primary {
        items = cutter.cutRecords(basis.plan[index], index: index, at: time)
      }
    }
    let cut = try items ?? cutter.cut(basis.plan[index], index: index, ordered: isOrdered)
    state.withLock { state in
      state.items = cut
      state.takers = max(1, Self.replies / ReplySize(basis.plan[index]).bytes)
      state.open[index] = cut.count
    }
  }

  private func done(
    _ item: ReadItem, _ tally: CollectionTally, _ gone: Namespace?, _ state: Monitor<State>
  ) throws {
    let isLast = state.withLock { state in
      state.result.tallies[item.collection].add(tally)
      if let gone { state.result.gone.append(gone) }
      let left = (state.open[item.collection] ?? 1) - 1
      state.open[item.collection] = left
      return left == 0
    }
    guard isLast else { return }
    let crc = try output.end(basis.plan[item.collection])
    state.withLock { $0.result.crcs[item.collection] = crc }
  }
}
