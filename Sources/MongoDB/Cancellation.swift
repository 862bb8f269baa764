internal import Synchronization

/// A flag that work looks at between batches; set by a signal, by a lost lease, or by the caller.
public final class Cancellation: Sendable {
  /// Why the work is to stop.
  public enum Reason: Sendable, Hashable {
    /// A signal of that number.
    case interrupted(Int32)
    /// Another run has, or may have, the lease.
    case leaseLost
    /// The caller asked, for example because its time is over.
    case stopped
  }

  private struct State {
    var reason: Reason?
    var leaseEnd: ContinuousClock.Instant?
  }

  private let state = Mutex(State())

  public init() {}

  /// Asks the work to stop; the first reason stays.
  public func cancel(_ reason: Reason) {
    state.withLock { if $0.reason == nil { $0.reason = reason } }
  }

  /// The first reason given, or nil.
  public var reason: Reason? {
    state.withLock { state in
      // The heartbeat may itself hang in a command: the end of the lease needs no thread to notice.
      if state.reason == nil, let end = state.leaseEnd, ContinuousClock.now >= end {
        state.reason = .leaseLost
      }
      return state.reason
    }
  }

  /// True once somebody has cancelled.
  public var isCancelled: Bool { reason != nil }

  /// Returns while nobody has cancelled.
  /// - Throws: ``MongoError`` of kind `cancelled` or `leaseLost`.
  public func check() throws(MongoError) {
    switch reason {
    case nil: return
    case .leaseLost:
      throw MongoError(.leaseLost, "the lock was lost; another run may have taken it")
    case .interrupted(let signal):
      throw MongoError(.cancelled, "interrupted by signal \(signal)")
    case .stopped:
      throw MongoError(.cancelled, "stopped on request")
    }
  }

  func setLeaseEnd(_ end: ContinuousClock.Instant?) { state.withLock { $0.leaseEnd = end } }
}
