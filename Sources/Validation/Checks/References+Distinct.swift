internal import BSON
internal import MongoDB

/// Where many documents refer to one, the server can skip from value to value.
extension References {
  /// One pass over the distinct values; those without a target are counted by the index afterwards.
  /// Nil when that is no gain, or when the server does not give them in order, which it does not promise.
  func mergeDistinct(_ from: IndexScan, _ to: IndexScan) throws -> Tally? {
    let hint = from.find["hint"] ?? .null
    guard var distinct = try distinctScan(hint, after: nil) else { return nil }
    let reader = KeyReader(path: "_id")
    var tally = Tally()
    var done: [UInt8] = []
    var place: IndexScan.Place?
    if let kept = kept(.distinct), let value = kept.slice["done"],
      let rest = try distinctScan(hint, after: value)
    {
      tally = kept.tally
      done = Document([("_id", value)]).bytes
      place = .init(at: [value], after: [value])
      distinct = rest
      context.wentOn(after: tally.lookedAt, "distinct references")
    }
    tally.unit = "distinct references"
    let sources = ScanCursor(context, [distinct])
    var targets = KeyStream(
      cursor: ScanCursor(context, to.commands(from: place)), path: rule.to.path)
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
          guard let key = try reader.read(document), key.type != .null, key.type != .undefined
          else {
            if place == nil { tally.lookedAt += 1 }
            hasNulls = true
            return
          }
          // Lower types come again.
          guard try !reader.isDone(done, key) else { return }
          tally.lookedAt += 1
          if try reader.isBeyond(previous, key) { isOrdered = false }
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
      tally.orphans += try count(&orphans, isLast: !more || context.state != nil)
      if more, isOrdered, let last = try reader.value(previous), Self.canSkip(to: last) {
        keep(.distinct, tally, ["done": last])
      }
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

  /// The aggregation that skips from value to value; nil when the server does not, or it is no gain.
  private func distinctScan(_ hint: Value, after done: Value?) throws -> Document? {
    let sources = try context.database.estimatedCount(rule.from.collection)
    let targets = try context.database.estimatedCount(rule.to.collection)
    // A skip costs about as much as two steps.
    guard sources >= 2 * targets else { return nil }
    var pipeline: [Value] = []
    // `$gt` would leave out the types that come after this one.
    if let done { pipeline.append(["$match": [rule.from.path: ["$not": ["$lte": done]]]]) }
    pipeline += [
      ["$sort": [rule.from.path: 1]], ["$group": ["_id": .string("$" + rule.from.path)]],
    ]
    let command: Document = [
      "aggregate": .string(rule.from.collection), "pipeline": .array(pipeline), "hint": hint,
      "cursor": ["batchSize": .integer(KeyStream.batchSize)],
    ]
    let plan = try context.plan(ofFind: command)
    return plan.stages.contains("DISTINCT_SCAN") && !plan.stages.contains("FETCH") ? command : nil
  }

  /// Types that a query compares as an index does.
  private static func canSkip(to value: Value) -> Bool {
    switch value {
    case .double(let number): number.isFinite
    case .int32, .int64, .string, .objectID, .date, .bool, .binary, .timestamp: true
    default: false
    }
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
}

extension KeyReader {
  /// Whether the key sorts at or before the one in these bytes.
  fileprivate func isDone(_ document: [UInt8], _ key: Key) throws -> Bool {
    guard !document.isEmpty else { return false }
    return try document.withUnsafeBytes { bytes in
      try read(bytes).map { try Key.order($0, key) >= 0 } ?? false
    }
  }

  /// Whether the key sorts before the one in these bytes.
  fileprivate func isBeyond(_ document: [UInt8], _ key: Key) throws -> Bool {
    guard !document.isEmpty else { return false }
    return try document.withUnsafeBytes { bytes in
      try read(bytes).map { try Key.order($0, key) > 0 } ?? false
    }
  }
}
