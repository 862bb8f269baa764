internal import BSON
internal import MongoDB

/// Follows the oplog from before a dump begins until it ends, into a file.
///
/// Majority reads only: what is rolled back never shows. The first entry must be the one that was
/// asked for, which proves that nothing is missing before it; the server closes a cursor that has
/// fallen off the end, so a gap cannot be passed over. - Source: consistency.md, experiments.md 4.
final class OplogTail: Sendable {
  private struct State {
    var last: Timestamp
    var events: [SchemaEvent] = []
    var transactions = TransactionSpans()
    var error: (any Error)?
    var isStopping = false
    var spooled: Int64 = 0
  }

  /// Inclusive.
  let start: Timestamp
  private let state: Monitor<State>
  private let spool: OplogSpool
  private let thread: Monitor<WorkerThread?>

  /// Starts following; `spool` gets the entries that `filter` keeps.
  init(pool: ClientPool, start: Timestamp, filter: OplogFilter, spool: OplogSpool) throws {
    self.start = start
    self.spool = spool
    let state = Monitor(State(last: Timestamp(rawValue: 0)))
    self.state = state
    thread = Monitor(nil)
    let made = WorkerThread {
      do {
        try pool.withClient { client in
          try Self.follow(client, from: start, filter, spool, state)
        }
      } catch { state.withLock(wake: true) { if $0.error == nil { $0.error = error } } }
    }
    guard let made else { throw DumpError(.file, "the system gives no thread to follow the oplog") }
    thread.withLock { $0 = made }
  }

  deinit { stop() }

  /// Blocks until every entry up to `time` has been seen.
  /// - Throws: what made the tail end.
  func wait(for time: Timestamp) throws {
    try state.wait { state -> Void? in
      if let error = state.error { throw error }
      return state.last >= time ? () : nil
    }
  }

  /// Throws what made the tail end, if it has.
  func check() throws {
    if let error = state.withLock({ $0.error }) { throw error }
  }

  /// What happened to collections after `from`, up to `to` inclusive.
  func events(after from: Timestamp, to: Timestamp) -> [SchemaEvent] {
    state.withLock { $0.events.filter { $0.timestamp > from && $0.timestamp <= to } }
  }

  /// The first entry of the oldest transaction that had begun by `time` and was seen later only, if at all.
  func begun(by time: Timestamp) -> Timestamp? {
    state.withLock { $0.transactions.begun(by: time) }
  }

  /// Ends the tail. Blocks for at most one round trip.
  func stop() {
    state.withLock(wake: true) { $0.isStopping = true }
    let ending = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    ending?.join()
  }

  private static func follow(
    _ client: Client, from start: Timestamp, _ filter: OplogFilter, _ spool: OplogSpool,
    _ state: Monitor<State>
  ) throws {
    var resume = start
    while !state.withLock({ $0.isStopping }) {
      let find: Document = [
        "find": "oplog.rs", "filter": ["ts": ["$gte": .timestamp(resume)]], "tailable": true,
        "awaitData": true, "batchSize": 1000, "readConcern": ["level": "majority"],
      ]
      let cursor = try client.cursor(find, on: "local")
      cursor.awaitTime = .milliseconds(100)
      var isOverlap = true
      do {
        while cursor.isOpen || isOverlap {
          let got: Void? = try cursor.nextBatch { batch in
            try RawDocuments.forEach(in: batch) { raw in
              let entry = try OplogEntry(Document(bytes: [UInt8](raw)))
              if isOverlap {
                guard entry.timestamp == resume else { throw rolledOver() }
                isOverlap = false
                if state.withLock({ $0.last }) == resume { return }
              }
              try take(entry, filter, spool, state)
              resume = entry.timestamp
            }
          }
          if got == nil, isOverlap, !cursor.isOpen { throw rolledOver() }
          if state.withLock({ $0.isStopping }) { return }
        }
      } catch let error as MongoError where error.code == 136 || error.code == 43 {
        // 136: the cursor's place was overwritten. 43: closed, for example by a stepdown.
        if error.code == 136 { throw rolledOver() }
      }
    }
  }

  private static func take(
    _ entry: OplogEntry, _ filter: OplogFilter, _ spool: OplogSpool, _ state: Monitor<State>
  ) throws {
    if let kept = filter.apply(entry) { try spool.append(kept) }
    let event = SchemaEvent(entry)
    state.withLock(wake: true) { state in
      state.last = entry.timestamp
      if let event { state.events.append(event) }
      state.transactions.add(entry)
    }
  }

  private static func rolledOver() -> DumpError {
    DumpError(
      .inconsistent, "the oplog rolled over: entries since the dump's start are gone",
      hint: "make the oplog larger (replSetResizeOplog), or dump when there are fewer writes")
  }
}

extension OplogTail {
  /// Where a capture must start: at the oldest open transaction, else at the majority point.
  ///
  /// Behind the newest visible entry one with a smaller timestamp may still commit; behind the
  /// majority point none can. The point may lie inside a large transaction, and a prepared one may end while
  /// these questions are asked.
  static func startingPoint(_ client: Client) throws -> Timestamp {
    guard let majority = try client.hello().majorityTime else {
      throw DumpError(.inconsistent, "the server does not tell its majority point")
    }
    let open = try client.run(
      [
        "find": "transactions",
        "filter": [
          "state": ["$in": ["prepared", "inProgress"]], "startOpTime": ["$exists": true],
        ],
        "sort": ["startOpTime.ts": 1], "limit": 1, "singleBatch": true,
      ], on: "config")
    let first = open["cursor"]?.documentValue?["firstBatch"]?.arrayValue?.first?.documentValue
    var start = majority
    if let begun = first?["startOpTime"]?.documentValue?["ts"]?.timestampValue {
      start = min(start, begun)
    }
    guard let now = open["operationTime"]?.timestampValue, now >= majority else { return start }
    let later = try client.database("local").find(
      "oplog.rs",
      filter: [
        "ts": ["$gte": .timestamp(majority), "$lte": .timestamp(now)], "op": "c",
        "prevOpTime.ts": ["$gt": .timestamp(Timestamp(rawValue: 0)), "$lt": .timestamp(majority)],
      ], options: ["projection": ["prevOpTime": 1]])
    while var entry = try later.next() {
      while let previous = entry["prevOpTime"]?.documentValue?["ts"]?.timestampValue,
        previous.rawValue != 0
      {
        start = min(start, previous)
        let before = try client.database("local").findOne(
          "oplog.rs", filter: ["ts": ["$gte": .timestamp(previous), "$lte": .timestamp(previous)]],
          options: ["projection": ["prevOpTime": 1]])
        guard let before else { break }
        entry = before
      }
    }
    return start
  }
}
