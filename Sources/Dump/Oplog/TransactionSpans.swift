internal import BSON

/// When transactions of several entries began and ended, as the oplog tells.
struct TransactionSpans: Sendable {
  private var open: [[UInt8]: Timestamp] = [:]
  private var ended: [(first: Timestamp, end: Timestamp)] = []

  mutating func add(_ entry: OplogEntry) {
    guard entry.operation == "c", let session = entry.document["lsid"]?.documentValue,
      let number = entry.document["txnNumber"]?.integerValue
    else { return }
    let key = session.bytes + withUnsafeBytes(of: number) { [UInt8]($0) }
    let object = entry.object
    switch entry.command {
    case "applyOps" where object["partialTxn"]?.isTruthy == true,
      "applyOps" where object["prepare"]?.isTruthy == true:
      if open[key] == nil { open[key] = entry.timestamp }
    case "applyOps", "commitTransaction":
      guard let first = open.removeValue(forKey: key) else { return }
      // Reads see a prepared one from its commit timestamp on, which may lie before the entry's.
      ended.append((first, object["commitTimestamp"]?.timestampValue ?? entry.timestamp))
    case "abortTransaction": open[key] = nil
    default: break
    }
  }

  /// The first entry of the oldest that began at or before `time` and was seen later only, if at all.
  func begun(by time: Timestamp) -> Timestamp? {
    let straddling = ended.filter { $0.end > time }.map(\.first) + open.values
    return straddling.filter { $0 <= time }.min()
  }
}
