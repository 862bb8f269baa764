internal import BSON

/// Holds the operations of open transactions until their commit; large ones go to disk.
struct TransactionBuffer {
  /// Bytes of all open transactions that stay in memory.
  static let mostInMemory = 4 << 20
  /// Smaller ones stay there all the same: each that is on disk takes a descriptor.
  private static let leastOnDisk = 256 << 10

  /// One transaction's operations, in order.
  struct Pending {
    /// What is not in the spool: behind it, one operation after the other.
    fileprivate(set) var bytes: [UInt8] = []
    fileprivate(set) var spool: OplogSpool?
    /// Of the last part.
    fileprivate(set) var last: Timestamp?
    /// A part is missing.
    fileprivate(set) var isBroken = false

    /// True when all parts are here up to the one at `time`; nil is not known.
    func isWhole(upTo time: Timestamp?) -> Bool {
      !isBroken && (time == nil || time?.rawValue == 0 || time == last)
    }

    /// Calls `body` with each operation's bytes.
    func visit(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
      try spool?.forEach(upTo: nil, body)
      try bytes.withUnsafeBytes { try RawDocuments.forEach(in: $0, body) }
    }
  }

  private let directory: String
  private var pending: [[UInt8]: Pending] = [:]
  private var inMemory = 0

  /// - Parameter directory: where there is room for large ones.
  init(directory: String) { self.directory = directory }

  /// Transactions that have not ended.
  var count: Int { pending.count }

  /// What tells one transaction from all others; nil outside of any.
  static func key(_ entry: RawOperation) throws -> [UInt8]? {
    guard let session = entry.session, session.type == .document,
      let number = try entry.transaction?.integer()
    else { return nil }
    return [UInt8](session.valueBytes) + withUnsafeBytes(of: number) { [UInt8]($0) }
  }

  /// Begins a transaction with its first part, or goes on with the next.
  ///
  /// - Parameter previous: the time of the part before, zero for the first: what proves that none is
  ///   missing. Nil where the entry does not say.
  mutating func begin(_ key: [UInt8], at time: Timestamp, after previous: Timestamp?) {
    if previous?.rawValue == 0 { discard(key) }
    var entry = pending[key] ?? Pending()
    if let previous, previous.rawValue != 0, entry.last != previous { entry.isBroken = true }
    entry.last = time
    pending[key] = entry
  }

  /// Adds one operation at the end.
  /// - Throws: ``DumpError`` `.file` when there is no room on disk.
  mutating func add(_ operation: UnsafeRawBufferPointer, to key: [UInt8]) throws(DumpError) {
    pending[key, default: Pending()].bytes.append(contentsOf: operation)
    inMemory += operation.count
    if inMemory > Self.mostInMemory { try spill() }
  }

  /// Puts the largest transaction on disk.
  private mutating func spill() throws(DumpError) {
    guard let key = pending.max(by: { $0.value.bytes.count < $1.value.bytes.count })?.key,
      var entry = pending[key], entry.bytes.count >= Self.leastOnDisk
    else { return }
    let spool: OplogSpool
    if let there = entry.spool {
      spool = there
    } else {
      spool = try OplogSpool(directory: directory)
    }
    try spool.append(array: entry.bytes)
    inMemory -= entry.bytes.count
    entry.spool = spool
    entry.bytes = []
    pending[key] = entry
  }

  /// Forgets an aborted transaction.
  mutating func discard(_ key: [UInt8]) { _ = take(key) }

  /// Gives out a transaction that has ended, and forgets it.
  mutating func take(_ key: [UInt8]) -> Pending? {
    guard let entry = pending.removeValue(forKey: key) else { return nil }
    inMemory -= entry.bytes.count
    return entry
  }
}
