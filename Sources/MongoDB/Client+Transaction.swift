internal import BSON

#if canImport(Glibc)
  internal import Glibc
#endif

extension Client {
  /// Starts a session.
  /// - Throws: ``MongoError``, kind `unreachable` when no server is found in time.
  public func startSession(causalConsistency: Bool = false) throws(MongoError) -> Session {
    try Session(client: self, causalConsistency: causalConsistency)
  }

  /// Runs `body` in a transaction that reads a snapshot and commits with a majority.
  ///
  /// `body` runs again when the server says that the whole transaction may be tried again, and the
  /// commit when its result is unknown, until `timeLimit` is over. So `body` must not keep anything
  /// of an earlier run. A transaction that creates collections or indexes has to read `.local`: the
  /// server refuses them in any other (72). After `writeErrors` the transaction is over, whatever `body` does.
  /// - Throws: what `body` throws, or ``MongoError``.
  public func withTransaction<R>(
    timeLimit: Duration = .seconds(120), cancellation: Cancellation? = nil,
    readConcern: TransactionReadConcern = .snapshot,
    _ body: (Session) throws -> R
  ) throws -> R {
    let session = try startSession()
    let deadline = ContinuousClock.now + timeLimit
    var pause = Pause()
    while true {
      try cancellation?.check()
      try session.start(readConcern)
      do {
        let result = try body(session)
        try commit(session, deadline: deadline)
        return result
      } catch {
        session.abort()
        guard let error = error as? MongoError, error.isTransientTransaction,
          ContinuousClock.now < deadline
        else { throw error }
        pause.rest()
      }
    }
  }

  private func commit(_ session: Session, deadline: ContinuousClock.Instant) throws(MongoError) {
    var pause = Pause()
    while true {
      do {
        return try session.commit()
      } catch {
        guard error.isUnknownCommitResult, error.kind != .timedOut, ContinuousClock.now < deadline
        else { throw error }
        pause.rest()
      }
    }
  }
}

/// Waits between attempts: 5 ms, then half as long again each time, up to half a second.
struct Pause {
  private var microseconds: UInt32 = 5_000

  mutating func rest() {
    usleep(UInt32.random(in: microseconds / 2...microseconds))
    microseconds = min(microseconds + microseconds / 2, 500_000)
  }
}
