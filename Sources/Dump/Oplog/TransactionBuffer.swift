internal import BSON

/// Holds the operations of open transactions until their commit; large ones go to disk.
struct TransactionBuffer {
  /// Bytes of one transaction that stay in memory.
  static let mostInMemory = 8 << 20

  private struct Pending {
    var operations: [Document] = []
    var bytes = 0
    var spool: OplogSpool?
  }

  private let directory: String
  private var pending: [[UInt8]: Pending] = [:]

  init(directory: String) { self.directory = directory }

  /// Transactions that have not ended.
  var count: Int { pending.count }

  /// What tells one transaction from all others; nil outside of any.
  static func key(_ entry: Document) -> [UInt8]? {
    guard let session = entry["lsid"]?.documentValue,
      let number = entry["txnNumber"]?.integerValue
    else { return nil }
    let key: Document = ["lsid": .document(session), "txnNumber": .int64(number)]
    return key.bytes
  }

  mutating func add(_ operations: [Document], to key: [UInt8]) throws(DumpError) {
    var entry = pending[key] ?? Pending()
    entry.operations += operations
    entry.bytes += operations.reduce(0) { $0 + $1.bytes.count }
    if entry.bytes > Self.mostInMemory {
      let spool: OplogSpool
      if let there = entry.spool {
        spool = there
      } else {
        spool = try OplogSpool(directory: directory)
      }
      for operation in entry.operations { try spool.append(operation) }
      entry.spool = spool
      entry.operations = []
      entry.bytes = 0
    }
    pending[key] = entry
  }

  /// Forgets an aborted transaction.
  mutating func discard(_ key: [UInt8]) { pending[key] = nil }

  /// Calls `body` with the operations in order, and forgets them.
  mutating func commit(_ key: [UInt8], _ body: (Document) throws -> Void) throws {
    guard let entry = pending.removeValue(forKey: key) else { return }
    try entry.spool?.forEach(upTo: nil) { raw in try body(try Document(bytes: [UInt8](raw))) }
    for operation in entry.operations { try body(operation) }
  }
}
