public import BSON
internal import Foundation
internal import Synchronization

/// The right to be the only run, for a limited time that a heartbeat extends.
///
/// Time is the server's; this process only counts how long ago it asked. When the lease cannot be
/// extended in time, or another has taken it, the cancellation is set and ``check()`` throws. A process
/// that was suspended can still be late by one command: what must never happen twice carries the
/// ``fence``.
public final class Lease: Sendable {
  /// Rises with every take; whoever has a lower number has lost the lease.
  public let fence: Int64
  /// The owner token in the lock document.
  public var owner: ObjectID { record.owner }
  private let record: LeaseRecord
  private let heartbeat: LeaseHeartbeat
  private let pool: ClientPool

  private init(
    record: LeaseRecord, fence: Int64, pool: ClientPool, heartbeat: LeaseHeartbeat
  ) {
    self.record = record
    self.fence = fence
    self.pool = pool
    self.heartbeat = heartbeat
  }

  deinit {
    // Without release() the lease would block others until it expires.
    guard heartbeat.stop() else { return }
    let (pool, record, fence) = (pool, record, fence)
    _ = try? pool.withClient { try record.release($0, fence: fence) }
  }

  /// Takes the lock document `id`, waiting up to `wait` for another run to end.
  ///
  /// One client of the pool belongs to the heartbeat for as long as the lease lasts.
  /// - Parameter holder: what others are told (`host`, `user`, `pid`, `tool`); no secrets.
  /// - Throws: ``MongoError``; kind `locked` names holder and expiry.
  public static func acquire(
    pool: ClientPool, database: String, collection: String, id: String, holder: Document,
    duration: Duration = .seconds(60), heartbeat: Duration = .seconds(20), wait: Duration = .zero,
    cancellation: Cancellation
  ) throws -> Lease {
    let record = LeaseRecord(
      database: database, collection: collection, id: id,
      owner: .generate(seconds: UInt32(truncatingIfNeeded: time(nil))), duration: duration)
    let client = try pool.takeClient()
    let deadline = ContinuousClock.now + wait
    while true {
      try cancellation.check()
      let asked = ContinuousClock.now
      let state = try take(record, client, holder)
      if state.isMine {
        let beat = LeaseHeartbeat(
          record: record, fence: state.fence, interval: heartbeat, cancellation: cancellation,
          validUntil: asked + duration)
        beat.start(client)
        return Lease(record: record, fence: state.fence, pool: pool, heartbeat: beat)
      }
      guard ContinuousClock.now < deadline else { throw locked(record, state.holder) }
      Thread.sleep(forTimeInterval: 0.2)
    }
  }

  /// True until the lease is lost or released.
  public var isValid: Bool { heartbeat.isValid }

  /// Returns while the lease is ours.
  /// - Throws: ``MongoError`` of kind `leaseLost`.
  public func check() throws(MongoError) {
    guard heartbeat.isValid else { throw Self.lost(record) }
  }

  /// Asks the server whether the lease is still ours; inside a transaction, as of its snapshot.
  /// - Throws: ``MongoError``, kind `leaseLost` when it is not.
  public func verify(_ client: Client, session: Session? = nil) throws(MongoError) {
    try check()
    let query: Document = [
      "_id": .string(record.id), "owner": .objectID(record.owner), "fence": .int64(fence),
    ]
    let found = try client.database(record.database).findOne(
      record.collection, filter: query, session: session)
    guard found != nil else {
      heartbeat.lose()
      throw Self.lost(record)
    }
  }

  /// Gives the lease up, so that the next run need not wait; blocks for one command.
  /// - Throws: ``MongoError``; kind `leaseLost` when another has taken it in the meantime.
  public func release() throws {
    let wasValid = heartbeat.isValid
    guard heartbeat.stop() else { return }
    let (record, fence) = (record, fence)
    let released = try pool.withClient { try record.release($0, fence: fence) }
    guard wasValid, released else { throw Self.lost(record) }
  }

  /// Who holds the lease now; nil when nobody does. An expired one is shown until it is taken.
  /// - Throws: ``MongoError``.
  public static func holder(
    client: Client, database: String, collection: String, id: String
  ) throws(MongoError) -> LeaseHolder? {
    try LeaseRecord.read(client, database: database, collection: collection, id: id)
  }

  /// Ends the lease of whoever has it: that run stops at its next heartbeat. False when there was none.
  /// - Throws: ``MongoError``.
  public static func forceRelease(
    client: Client, database: String, collection: String, id: String
  ) throws(MongoError) -> Bool {
    try LeaseRecord.force(client, database: database, collection: collection, id: id)
  }

  private static func take(
    _ record: LeaseRecord, _ client: Client, _ holder: Document
  ) throws(MongoError) -> LeaseRecord.State {
    do {
      return try record.take(client, holder: holder)
    } catch {
      // Two runs made the document at once; now there is one.
      if error.isDuplicateKey { return try record.take(client, holder: holder) }
      // Written, but not by a majority: not a lease, though the reply names us. Take it back.
      if error.kind == .writeConcern, let state = try? record.take(client, holder: holder) {
        _ = try? record.release(client, fence: state.fence)
      }
      throw error
    }
  }

  private static func locked(_ record: LeaseRecord, _ holder: LeaseHolder) -> MongoError {
    let seconds = (holder.remaining.components.seconds) + 1
    let expiry = Date(timeIntervalSince1970: Double(holder.expiresAt.milliseconds) / 1000)
    return MongoError(
      .locked,
      "locked by \(holder.description) until \(expiry.formatted(.iso8601)), in \(seconds) s unless it"
        + " goes on", namespace: record.namespace,
      hint: "wait for the other run to end; a run that died loses its lock by itself")
  }

  private static func lost(_ record: LeaseRecord) -> MongoError {
    MongoError(
      .leaseLost, "the lock was lost; another run may have taken it", namespace: record.namespace)
  }
}

/// The thread that extends a lease, and what it knows about it.
private final class LeaseHeartbeat: Sendable {
  private enum Phase { case held, lost, stopped }
  private struct State {
    var phase = Phase.held
    var validUntil: ContinuousClock.Instant
  }

  private let record: LeaseRecord
  private let fence: Int64
  private let interval: Duration
  private let cancellation: Cancellation
  private let state: Mutex<State>
  private let wake = NSCondition()

  init(
    record: LeaseRecord, fence: Int64, interval: Duration, cancellation: Cancellation,
    validUntil: ContinuousClock.Instant
  ) {
    self.record = record
    self.fence = fence
    self.interval = interval
    self.cancellation = cancellation
    state = Mutex(State(validUntil: validUntil))
    cancellation.setLeaseEnd(validUntil)
  }

  /// Hands a client to a new thread, which keeps it until the lease ends.
  func start(_ client: Client) {
    let handover = Handover(client: client)
    let thread = Thread { [self] in beat(handover.client) }
    thread.name = "martlet-lease"
    thread.start()
  }

  var isValid: Bool {
    state.withLock { $0.phase == .held && ContinuousClock.now < $0.validUntil }
  }

  /// Ends the heartbeat; false when it had been ended before.
  func stop() -> Bool {
    let first = state.withLock { state in
      defer { state.phase = .stopped }
      return state.phase != .stopped
    }
    cancellation.setLeaseEnd(nil)
    wake.lock()
    wake.broadcast()
    wake.unlock()
    return first
  }

  /// Records that the lease is gone, and stops the work.
  func lose() {
    let wasHeld = state.withLock { state in
      guard state.phase == .held else { return false }
      state.phase = .lost
      return true
    }
    if wasHeld { cancellation.cancel(.leaseLost) }
  }

  private func beat(_ client: Client) {
    var pause = interval
    while sleep(pause) {
      let asked = ContinuousClock.now
      do {
        guard try record.renew(client, fence: fence) != nil else { return lose() }
        extend(until: asked + record.duration)
        pause = interval
      } catch {
        // The network or an election: try again while the lease lasts.
        pause = min(interval, .milliseconds(500))
      }
      guard isValid else { return lose() }
    }
  }

  private func extend(until end: ContinuousClock.Instant) {
    state.withLock { state in
      // An answer that comes after the end is no lease: others may have looked in between.
      guard state.phase == .held, ContinuousClock.now < state.validUntil else { return }
      state.validUntil = end
      cancellation.setLeaseEnd(end)
    }
  }

  /// Waits; false when the heartbeat is to end.
  private func sleep(_ pause: Duration) -> Bool {
    let until = Date(timeIntervalSinceNow: Double(pause.wholeMilliseconds) / 1000)
    wake.lock()
    defer { wake.unlock() }
    while state.withLock({ $0.phase == .held }) {
      if !wake.wait(until: until) { break }
    }
    return state.withLock { $0.phase == .held }
  }

  /// The thread that makes the client gives it up here: it is used by one thread at a time.
  private struct Handover: @unchecked Sendable { let client: Client }
}
