internal import BSON
internal import Foundation
internal import MongoDB

/// Two covered index scans, merged: one pass over each, in constant memory.
extension References {
  /// Both sides are sorted by the value.
  func merge(_ from: IndexScan, _ to: IndexScan) throws -> Tally {
    let reader = KeyReader(path: rule.from.path)
    let total = try context.database.estimatedCount(rule.from.collection)
    var tally = Tally()
    // The value that is being counted, and the one before it, as they lay in the batch.
    var at: [UInt8] = []
    var after: [UInt8] = []
    var place: IndexScan.Place?
    if let kept = kept(.merge), let slice = kept.slice["at"]?.documentValue,
      let value = try reader.value(slice.bytes)
    {
      tally = kept.tally
      at = slice.bytes
      after = kept.slice["after"]?.documentValue?.bytes ?? []
      place = .init(at: [value], after: try reader.value(after).map { [$0] })
      context.wentOn(after: tally.lookedAt, tally.unit)
    }
    let sources = ScanCursor(context, from.commands(from: place))
    var targets = KeyStream(
      cursor: ScanCursor(context, to.commands(from: place)), path: rule.to.path)
    // What had been counted when that value began.
    var mark = Mark(tally)
    // The value that was compared last: references to one target lie side by side.
    var previous: [UInt8] = []
    var previousIsOrphan = false
    var more = true
    while more {
      try context.checkTime()
      let batch: Void? = try sources.nextBatch { raw in
        try raw.visit { document in
          guard let key = try reader.read(document), key.type != .null, key.type != .undefined
          else {
            tally.lookedAt += 1
            tally.nulls += 1
            return
          }
          if !same(document, previous) {
            // Equal numbers of several types lie in any order: they are one place.
            if try !reader.isEqual(at, key) {
              swap(&after, &at)
              at.removeAll(keepingCapacity: true)
              at.append(contentsOf: document)
              mark = Mark(tally)
            }
            previous.removeAll(keepingCapacity: true)
            previous.append(contentsOf: document)
            previousIsOrphan = try targets.advance(to: key) != 0
            if previousIsOrphan, tally.samples.count < context.options.evidenceRows {
              tally.samples.append((try key.element.value(), 0, nil))
            }
          }
          tally.lookedAt += 1
          guard previousIsOrphan else { return }
          tally.orphans += 1
          if let last = tally.samples.indices.last, isSample(key, tally.samples[last].value) {
            tally.samples[last].count += 1
          }
        }
      }
      more = batch != nil
      if more, from.canSeek, !at.isEmpty { try keep(mark.of(tally), at, after) }
      context.report(done: tally.lookedAt, total: total)
    }
    if tally.orphans > 0 { try describe(&tally) }
    return tally
  }

  /// Counters at the beginning of a value.
  private struct Mark {
    private let lookedAt: Int64
    private let orphans: Int64
    private let nulls: Int64
    private let samples: Int

    init(_ tally: Tally) {
      lookedAt = tally.lookedAt
      orphans = tally.orphans
      nulls = tally.nulls
      samples = tally.samples.count
    }

    /// What `tally` was then.
    func of(_ tally: Tally) -> Tally {
      var then = tally
      then.lookedAt = lookedAt
      then.orphans = orphans
      then.nulls = nulls
      then.samples.removeLast(max(0, tally.samples.count - samples))
      return then
    }
  }

  private func keep(_ tally: Tally, _ at: [UInt8], _ after: [UInt8]) throws {
    guard context.state != nil else { return }
    var place: Document = ["at": .document(try Document(bytes: at))]
    if !after.isEmpty { place.append("after", .document(try Document(bytes: after))) }
    keep(.merge, tally, place)
  }

  @inline(__always)
  private func same(_ document: UnsafeRawBufferPointer, _ previous: [UInt8]) -> Bool {
    guard document.count == previous.count else { return false }
    return previous.withUnsafeBytes { bytes in
      guard let a = document.baseAddress, let b = bytes.baseAddress else { return true }
      return memcmp(a, b, document.count) == 0
    }
  }

  private func isSample(_ key: Key, _ value: Value) -> Bool {
    (try? key.element.value()) == value
  }
}

extension KeyReader {
  /// The value in the bytes of a covered document; nil when there are none.
  func value(_ document: [UInt8]) throws -> Value? {
    guard !document.isEmpty else { return nil }
    return try document.withUnsafeBytes { try read($0)?.element.value() }
  }

  /// Whether the value in the bytes of a covered document sorts like the key.
  func isEqual(_ document: [UInt8], _ key: Key) throws -> Bool {
    guard !document.isEmpty else { return false }
    return try document.withUnsafeBytes { bytes in
      try read(bytes).map { try Key.order($0, key) == 0 } ?? false
    }
  }
}
