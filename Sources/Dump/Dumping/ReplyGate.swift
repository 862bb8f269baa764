internal import BSON

/// How many documents to ask for, so that a reply is of about the same size whatever they are.
struct ReplySize {
  /// Bytes that a reply should have: fewer cost round trips, more cost memory.
  static let wanted: Int64 = 1 << 20

  /// What the statistics say a document has.
  private let average: Int64
  private var expected: Int64

  init(_ collection: PlannedCollection) {
    let known = collection.count > 0 && collection.size > 0
    average = known ? max(collection.size / collection.count, 16) : Self.wanted / 1000
    expected = average
  }

  /// Documents of the next batch.
  var documents: Int { Int(min(max(Self.wanted / expected, 1), 20_000)) }

  /// Bytes that it will have, or so.
  var bytes: Int { documents * Int(expected) }

  /// Takes note of a batch: where documents are larger than on average, the next one has fewer.
  mutating func learn(_ count: Int64, _ bytes: Int64) {
    if count > 0 { expected = max(average, bytes / count) }
  }
}

/// Lets replies come only as long as those that are there leave room.
///
/// A reader of small documents never waits; where each is of megabytes, few replies are in memory at a
/// time, however many threads read.
final class ReplyGate: Sendable {
  /// The right to have a reply; given back when nobody holds it any more.
  final class Pass: Sendable {
    private let gate: ReplyGate
    private let bytes: Int

    fileprivate init(_ gate: ReplyGate, _ bytes: Int) {
      self.gate = gate
      self.bytes = bytes
    }

    deinit { gate.leave(bytes) }

    /// Keeps a reply and this pass for whoever goes on with the reply's bytes.
    func keeping(_ reply: AnyObject) -> AnyObject { Kept(pass: self, reply: reply) }

    private final class Kept {
      let pass: Pass
      let reply: AnyObject

      init(pass: Pass, reply: AnyObject) {
        self.pass = pass
        self.reply = reply
      }
    }
  }

  private struct State {
    var used = 0
    var isStopped = false
  }

  private let budget: Int
  private let state = Monitor(State())

  /// - Parameter budget: bytes of replies; a larger one comes alone.
  init(budget: Int) { self.budget = budget }

  /// Blocks until a reply of so many bytes may come.
  /// - Throws: ``DumpError`` `.cancelled` after ``stop()``.
  func enter(_ bytes: Int) throws(DumpError) -> Pass {
    let granted = state.wait { state -> Bool? in
      if state.isStopped { return false }
      guard state.used == 0 || state.used + bytes <= budget else { return nil }
      state.used += bytes
      return true
    }
    guard granted else { throw DumpError(.cancelled, "stopped") }
    return Pass(self, bytes)
  }

  /// Makes every waiting and later ``enter(_:)`` throw.
  func stop() { state.withLock(wake: true) { $0.isStopped = true } }

  private func leave(_ bytes: Int) { state.withLock(wake: true) { $0.used -= bytes } }
}
