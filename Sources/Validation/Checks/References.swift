internal import BSON
internal import Foundation
internal import MongoDB

/// References that lead nowhere.
struct References {
  let context: CheckContext
  let rule: ReferenceRule

  var subject: String { "\(rule.from) -> \(rule.to)" }

  /// What a pass over both sides found.
  struct Tally {
    var lookedAt: Int64 = 0
    /// Of `lookedAt`.
    var unit = "documents"
    var orphans: Int64 = 0
    var nulls: Int64 = 0
    /// The first values without a target, and how many documents have each.
    var samples: [(value: Value, count: Int64, id: Value?)] = []
    /// Types on the other side.
    var targetTypes: Set<BSONType> = []
    var targets: Int64 = 0
  }

  /// How the sides are joined.
  enum Method: String { case distinct, merge, lookup }

  func run() throws -> [CheckResult] {
    for name in [rule.from.collection, rule.to.collection]
    where try context.collection(name) == nil {
      return [
        .broken(
          "orphaned-references", subject, "the collection \(name) does not exist",
          fix: "correct the rule, or restore the collection")
      ]
    }
    let (method, tally) = try join()
    return results(tally, method)
  }

  func join() throws -> (Method, Tally) {
    if rule.filter == nil, let from = try coveredIndex(rule.from),
      let to = try coveredIndex(rule.to)
    {
      let targets = KeyStream.find(rule.to.collection, rule.to.path, index: to)
      if let distinct = try distinctScan(from),
        let tally = try mergeDistinct(distinct, targets)
      {
        return (.distinct, tally)
      }
      let sources = KeyStream.find(rule.from.collection, rule.from.path, index: from)
      return (.merge, try merge(sources, targets))
    }
    return (.lookup, try lookup())
  }

  // MARK: - two covered index scans

  /// An index that gives all values of the path in order, without the documents.
  private func coveredIndex(_ path: FieldPath) throws -> String? {
    for index in try context.indexes(path.collection) {
      guard let first = index.key.first(where: { _ in true }), first.key == path.path,
        first.value.integerValue != nil, index.buildUUID == nil,
        !["sparse", "hidden"].contains(where: { index.spec[$0]?.isTruthy == true }),
        !["partialFilterExpression", "collation"].contains(where: { index.spec.has($0) })
      else { continue }
      let find = KeyStream.find(path.collection, path.path, index: index.name)
      // A multikey index, for example, needs the documents.
      if try context.plan(ofFind: find).isCovered { return index.name }
    }
    // Clustered collections have no index on _id; their scan is in its order.
    return nil
  }

  /// Where many documents refer to one, the server can skip from value to value.
  private func distinctScan(_ index: String) throws -> Document? {
    let sources = try context.database.estimatedCount(rule.from.collection)
    let targets = try context.database.estimatedCount(rule.to.collection)
    // A skip costs about as much as two steps.
    guard sources >= 2 * targets else { return nil }
    let command: Document = [
      "aggregate": .string(rule.from.collection),
      "pipeline": [
        ["$sort": [rule.from.path: 1]], ["$group": ["_id": .string("$" + rule.from.path)]],
      ],
      "hint": .string(index), "cursor": ["batchSize": .integer(KeyStream.batchSize)],
    ]
    let plan = try context.plan(ofFind: command)
    return plan.stages.contains("DISTINCT_SCAN") && !plan.stages.contains("FETCH") ? command : nil
  }

  private func stream(_ targets: Document) throws -> KeyStream {
    let client = context.database.client
    let cursor = try client.cursor(targets, on: context.database.name, options: context.scan)
    return KeyStream(cursor: cursor, path: rule.to.path)
  }

  /// One pass over the distinct values; those without a target are counted by the index afterwards.
  /// Nil when the server does not give them in order, which it does not promise.
  private func mergeDistinct(_ distinct: Document, _ targets: Document) throws -> Tally? {
    let sources = try context.database.client.cursor(
      distinct, on: context.database.name, options: context.scan)
    var targets = try stream(targets)
    let reader = KeyReader(path: "_id")
    var tally = Tally()
    tally.unit = "distinct references"
    var orphans: [Value] = []
    var previous: [UInt8] = []
    var isOrdered = true
    var hasNulls = false
    var more = true
    while more, isOrdered {
      try context.checkTime()
      let batch: Void? = try sources.nextBatch { raw in
        try raw.visit { document in
          guard isOrdered else { return }
          tally.lookedAt += 1
          guard let key = try reader.read(document), key.type != .null, key.type != .undefined
          else {
            hasNulls = true
            return
          }
          try previous.withUnsafeBytes { bytes in
            if !bytes.isEmpty, let last = try reader.read(bytes), try Key.order(last, key) > 0 {
              isOrdered = false
            }
          }
          previous.removeAll(keepingCapacity: true)
          previous.append(contentsOf: document)
          guard try targets.advance(to: key) != 0 else { return }
          let value = try key.element.value()
          orphans.append(value)
          if tally.samples.count < context.options.evidenceRows {
            tally.samples.append((value, 0, nil))
          }
        }
      }
      more = batch != nil
      tally.orphans += try count(&orphans, isLast: !more)
      context.report(done: tally.lookedAt)
    }
    guard isOrdered else { return nil }
    if hasNulls {
      tally.nulls = try context.database.count(
        rule.from.collection, filter: [rule.from.path: nil], command: context.scan)
    }
    for index in tally.samples.indices {
      tally.samples[index].count = try context.database.count(
        rule.from.collection, filter: [rule.from.path: ["$eq": tally.samples[index].value]],
        command: context.scan)
    }
    if tally.orphans > 0 { try describe(&tally) }
    return tally
  }

  /// Documents that have one of the values; a thousand values at a time, so that they take no room.
  private func count(_ values: inout [Value], isLast: Bool) throws -> Int64 {
    var sum: Int64 = 0
    while values.count >= 1000 || isLast && !values.isEmpty {
      let some = Array(values.prefix(1000))
      values.removeFirst(some.count)
      // Within $in a regular expression is a pattern, not a value.
      let plain = some.filter { $0.type != .regex }
      var filters: [Document] = [[rule.from.path: ["$in": .array(plain)]]]
      filters += some.filter { $0.type == .regex }.map { [rule.from.path: ["$eq": $0]] }
      for filter in filters {
        sum += try context.database.count(
          rule.from.collection, filter: filter, command: context.scan)
      }
      try context.checkTime()
    }
    return sum
  }

  /// Both sides are sorted by the value, so one pass over each is enough.
  private func merge(_ from: Document, _ to: Document) throws -> Tally {
    let sources = try context.database.client.cursor(
      from, on: context.database.name, options: context.scan)
    var targets = try stream(to)
    let reader = KeyReader(path: rule.from.path)
    let total = try context.database.estimatedCount(rule.from.collection)
    var tally = Tally()
    // The value that was compared last: references to one target lie side by side.
    var previous: [UInt8] = []
    var previousIsOrphan = false
    var more = true
    while more {
      try context.checkTime()
      let batch: Void? = try sources.nextBatch { raw in
        try raw.visit { document in
          tally.lookedAt += 1
          guard let key = try reader.read(document), key.type != .null, key.type != .undefined
          else {
            tally.nulls += 1
            return
          }
          if !same(document, previous) {
            previous.removeAll(keepingCapacity: true)
            previous.append(contentsOf: document)
            previousIsOrphan = try targets.advance(to: key) != 0
            if previousIsOrphan, tally.samples.count < context.options.evidenceRows {
              tally.samples.append((try key.element.value(), 0, nil))
            }
          }
          guard previousIsOrphan else { return }
          tally.orphans += 1
          if let last = tally.samples.indices.last, isSample(key, tally.samples[last].value) {
            tally.samples[last].count += 1
          }
        }
      }
      more = batch != nil
      context.report(done: tally.lookedAt, total: total)
    }
    if tally.orphans > 0 { try describe(&tally) }
    return tally
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
