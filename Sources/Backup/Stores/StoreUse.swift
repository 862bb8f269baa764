internal import BSON
internal import Dump
internal import Synchronization

/// Names the sets and slices that somebody reads or makes, so that nobody removes them meanwhile.
///
/// Not a lock: any number may be at it, nobody waits for anybody, and so nothing can wait in a circle. A
/// restore that had to hold the lock of the store would keep backups from being made for hours, or a
/// backup would make it lose hours.
final class StoreUse: Sendable {
  /// What one holder uses.
  struct Claim: Sendable {
    var holder: LockHolder
    var sets: Set<String>
    /// Slices from then on.
    var oplogFrom: Timestamp?
  }

  private static let folder = "locks/uses"
  /// Seconds without a renewal. Long, because clocks differ, and a set that goes a few hours later harms
  /// nobody.
  private static let patience: Int64 = 21_600
  /// Seconds that somebody has for completing a restore.
  private static let completion: Int64 = 86_400

  private let store: any Store
  private let name: String
  private let claim: Claim
  private let isOver = Mutex(false)
  private let renewer = Mutex<WorkerThread?>(nil)

  /// Names them from now until ``end()``. Blocks for a moment.
  /// - Throws: ``BackupError`` of the store.
  init(_ store: any Store, sets: [String], oplogFrom: Timestamp? = nil, purpose: String)
    throws(BackupError)
  {
    self.store = store
    claim = Claim(holder: .current(purpose), sets: Set(sets), oplogFrom: oplogFrom)
    name = "\(Self.folder)/\(String(UInt64.random(in: 0...UInt64.max), radix: 16)).json"
    do throws(BackupError) { try write() } catch {
      // A store that is only read here: whoever can write it decides what it keeps.
      guard error.isReadOnly else { throw error }
      isOver.withLock { $0 = true }
      return
    }
    renew()
  }

  deinit { end() }

  func end() {
    guard stop() else { return }
    try? store.delete(name)
  }

  /// Leaves the claim as one who died would: whoever completes what was begun needs the same.
  func leave() { _ = stop() }

  /// - Returns: false when it was over already.
  private func stop() -> Bool {
    let wasOver = isOver.withLock { isOver in
      defer { isOver = true }
      return isOver
    }
    guard !wasOver else { return false }
    renewer.withLock { worker in
      worker?.join()
      worker = nil
    }
    return true
  }

  /// All that is in use; what the dead have named is removed.
  static func claims(_ store: any Store) throws(BackupError) -> [Claim] {
    var claims: [Claim] = []
    for entry in try store.list(folder, recursively: true) {
      let bytes: [UInt8]
      do throws(BackupError) { bytes = try store.read(entry.name, limit: 1 << 20) } catch {
        if error.code == .notFound { continue }
        throw error
      }
      guard let document = try? ExtendedJSON.parseDocument(utf8: bytes),
        let holder = LockHolder(document)
      else { continue }
      if isOver(holder) {
        try store.delete(entry.name)
        continue
      }
      claims.append(
        Claim(
          holder: holder,
          sets: Set((document["sets"]?.arrayValue ?? []).compactMap(\.stringValue)),
          oplogFrom: document["oplogFrom"]?.stringValue.flatMap { OplogTime.parse($0) }))
    }
    return claims
  }

  /// A restore that died in the middle of its swaps is completed by the next, from the same set.
  private static func isOver(_ holder: LockHolder) -> Bool {
    let now = Moment.now()
    return holder.purpose == "restore"
      ? now - holder.heartbeat > Self.completion
      : holder.isStale(now: now, patience: Self.patience)
  }

  private func write() throws(BackupError) {
    var holder = claim.holder
    holder.heartbeat = Moment.now()
    var document = holder.document
    document.append("sets", .array(claim.sets.sorted().map { .string($0) }))
    if let from = claim.oplogFrom { document.append("oplogFrom", .string(OplogTime.text(from))) }
    try store.put(
      name, bytes: Array((ExtendedJSON.text(document, .relaxed, indent: 2) + "\n").utf8))
  }

  private func renew() {
    let worker = WorkerThread { [weak self] in
      var last = Moment.ticks()
      while true {
        Pause.milliseconds(50)
        guard let self, !self.isOver.withLock({ $0 }) else { return }
        guard Moment.ticks() - last >= StoreLock.renewal * 1000 else { continue }
        last = Moment.ticks()
        try? self.write()
      }
    }
    renewer.withLock { $0 = worker }
  }
}
