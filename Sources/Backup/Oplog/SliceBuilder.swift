internal import BSON
internal import Dump

/// Collects entries and writes them as slices.
struct SliceBuilder {
  let store: any Store
  let lock: StoreLock
  let options: OplogCapture.Options
  let replicaSetID: String
  let serverVersion: String

  private var bytes: [UInt8] = []
  private var count: Int64 = 0
  private var start: Timestamp?
  private var end: Timestamp?
  /// Where the last entry begins: the next slice begins with it.
  private var lastStart = 0
  private var isFiltered = false
  private var begun = Moment.ticks()
  private var isNew = true

  init(
    store: any Store, lock: StoreLock, options: OplogCapture.Options, replicaSetID: String,
    serverVersion: String
  ) {
    self.store = store
    self.lock = lock
    self.options = options
    self.replicaSetID = replicaSetID
    self.serverVersion = serverVersion
  }

  /// True when the overlap entry is still wanted.
  var isEmpty: Bool { start == nil }

  mutating func begin(isNew: Bool) {
    self.isNew = isNew
    reset()
    start = nil
    end = nil
  }

  private mutating func reset() {
    bytes = []
    lastStart = 0
    count = 0
    begun = Moment.ticks()
  }

  /// - Parameter ending: the entry is the mark of a restore: with it a slice ends.
  mutating func add(
    _ raw: UnsafeRawBufferPointer, _ time: Timestamp, ending: TimelineEnd? = nil
  ) throws {
    let isWanted = try isWanted(raw)
    // Not with the overlap alone.
    if isWanted, count > 1, bytes.count + raw.count > options.sliceBytes { try close() }
    dropFiltered()
    let isKept = isWanted || start == nil
    lastStart = bytes.count
    if isKept, options.databases.isEmpty {
      // By itself it would grow to twice of what is there.
      if raw.count > Self.large { bytes.reserveCapacity(bytes.count + raw.count) }
      bytes += raw
    } else if isKept {
      bytes += try withoutOthers(raw)
    } else {
      // Its time is evidence of contiguity; what it did is none of ours.
      bytes +=
        (["ts": .timestamp(time), "op": "n", "ns": "", "o": Value.document([:])] as Document).bytes
    }
    isFiltered = !isKept
    count += 1
    if start == nil { start = time }
    end = time
    if bytes.count >= options.sliceBytes || ending != nil { try close(ending: ending) }
  }

  /// Bytes of an entry for which memory is not taken twice.
  private static let large = 1 << 20

  /// A left-out entry stays only while it is the last.
  private mutating func dropFiltered() {
    guard isFiltered, count > 1 else { return }
    bytes.removeSubrange(lastStart...)
    count -= 1
  }

  private func isWanted(_ raw: UnsafeRawBufferPointer) throws -> Bool {
    if options.databases.isEmpty { return true }
    let view = try DocumentView(raw)
    guard let name = try view.first("ns")?.value().stringValue else { return true }
    let database = name.prefix { $0 != "." }
    // Transactions stand in admin.$cmd, whatever they write to.
    if options.databases.contains(String(database)) || name == "admin.$cmd" { return true }
    return try view.first("op")?.value().stringValue == "n"
  }

  /// A transaction without what it did in other databases. Empty parts stay: the last one commits it.
  private func withoutOthers(_ raw: UnsafeRawBufferPointer) throws -> [UInt8] {
    let entry = try Document(bytes: [UInt8](raw))
    guard entry["ns"]?.stringValue == "admin.$cmd", var object = entry["o"]?.documentValue,
      let operations = object["applyOps"]?.arrayValue
    else { return entry.bytes }
    let kept = operations.filter { operation in
      let name = operation.documentValue?["ns"]?.stringValue ?? ""
      return options.databases.contains(String(name.prefix { $0 != "." }))
    }
    guard kept.count < operations.count else { return entry.bytes }
    object["applyOps"] = .array(kept)
    var out = entry
    out["o"] = .document(object)
    return out.bytes
  }

  mutating func closeIfDue() throws {
    let age = Moment.ticks() - begun
    if age >= options.slice.components.seconds * 1000 + 1 { try close() }
  }

  /// Writes what there is, data first and description last; nothing when only the overlap is there.
  mutating func close(ending: TimelineEnd? = nil) throws {
    begun = Moment.ticks()
    guard let start, let end, start < end || (isNew && count > 0) else { return }
    // A store that was unmounted or replaced has no slice before this one; the next start looks again.
    try lock.check()
    var slice = Slice(
      replicaSetID: replicaSetID, start: start, end: end, count: count, bytes: Int64(bytes.count),
      digest: FileDigest(size: 0, sha256: ""), isEncrypted: options.age.encrypts,
      beginsChain: isNew, databases: options.databases, serverVersion: serverVersion)
    slice.endsTimeline = ending
    slice.digest = try write(slice.dataName)
    // What was there under this name and was found damaged is there again.
    try store.delete(slice.damageName)
    try store.put(slice.descriptionName, bytes: SealedText.seal(slice.document))
    options.sliced?(slice)
    isNew = false
    isFiltered = false
    if bytes.count - lastStart > Self.large {
      bytes.removeSubrange(..<lastStart)
    } else {
      bytes = Array(bytes[lastStart...])
    }
    lastStart = 0
    count = 1
    self.start = end
  }

  private func write(_ name: String) throws -> FileDigest {
    let writer = try store.put(name, size: nil)
    let hashing = HashingSink(writer)
    var filters: [FilterSink] = []
    do {
      var sink: any ByteSink = hashing
      if options.age.encrypts {
        let filter = try options.age.encrypting(to: sink)
        filters.insert(filter, at: 0)
        sink = filter
      }
      let gzip = try FilterSink(["gzip", "-c", "-3"], to: sink)
      filters.insert(gzip, at: 0)
      try gzip.write(all: bytes)
      for filter in filters { try filter.finish() }
      try writer.commit()
      return hashing.digest
    } catch {
      for filter in filters { filter.abandon() }
      writer.discard()
      throw error
    }
  }
}
