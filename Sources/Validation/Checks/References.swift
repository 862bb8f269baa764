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
    var orphans: Int64 = 0
    var nulls: Int64 = 0
    /// The first values without a target, and how many documents have each.
    var samples: [(value: Value, count: Int64, id: Value?)] = []
    /// Types on the other side.
    var targetTypes: Set<BSONType> = []
    var targets: Int64 = 0
  }

  /// How the sides are joined.
  enum Method: String { case merge, lookup }

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
    if rule.filter == nil, let from = try coveredScan(rule.from), let to = try coveredScan(rule.to)
    {
      return (.merge, try merge(from, to))
    }
    return (.lookup, try lookup())
  }

  // MARK: - two covered index scans

  /// A find that needs the index alone, where there is an index for that.
  private func coveredScan(_ path: FieldPath) throws -> Document? {
    for index in try context.indexes(path.collection) {
      guard let first = index.key.first(where: { _ in true }), first.key == path.path,
        first.value.integerValue != nil, index.buildUUID == nil,
        !["sparse", "hidden"].contains(where: { index.spec[$0]?.isTruthy == true }),
        !["partialFilterExpression", "collation"].contains(where: { index.spec.has($0) })
      else { continue }
      let find = KeyStream.find(path.collection, path.path, index: index.name)
      // A multikey index, for example, needs the documents.
      if try context.plan(ofFind: find).isCovered { return find }
    }
    // Clustered collections have no index on _id; their scan is in its order.
    return nil
  }

  /// Both sides are sorted by the value, so one pass over each is enough.
  func merge(_ from: Document, _ to: Document) throws -> Tally {
    let client = context.database.client
    let name = context.database.name
    let sources = try client.cursor(from, on: name, options: context.scan)
    var targets = KeyStream(
      cursor: try client.cursor(to, on: name, options: context.scan), path: rule.to.path)
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

  /// `_id`s of samples, and the types on the other side, by the indexes that are there.
  private func describe(_ tally: inout Tally) throws {
    for index in tally.samples.indices {
      let found = try context.database.findOne(
        rule.from.collection, filter: [rule.from.path: ["$eq": tally.samples[index].value]],
        options: ["projection": ["_id": 1]], command: context.scan)
      tally.samples[index].id = found?["_id"]
    }
    let pipeline: [Document] = [
      ["$sample": ["size": .integer(context.options.sampleSize)]],
      ["$group": ["_id": ["$type": .string("$" + rule.to.path)]]],
    ]
    let types = try context.database.aggregate(
      rule.to.collection, pipeline: pipeline, command: context.scan)
    while let type = try types.next()?["_id"]?.stringValue {
      if let type = BSONType.allCases.first(where: { $0.alias == type }) {
        tally.targetTypes.insert(type)
      }
    }
  }

  // MARK: - $group and $lookup

  var pipeline: [Document] {
    let value = Value.string("$" + rule.from.path)
    var stages: [Document] = []
    if let filter = rule.filter { stages.append(["$match": .document(filter)]) }
    // References may be in arrays, at any level of the path.
    var prefix = ""
    for part in rule.from.path.split(separator: ".") {
      prefix += prefix.isEmpty ? part : "." + part
      if prefix != "_id" { stages.append(["$unwind": .string("$" + prefix)]) }
    }
    stages.append(["$group": ["_id": value, "n": ["$sum": 1], "id": ["$first": "$_id"]]])
    stages.append(["$match": ["_id": ["$ne": nil]]])
    let match: Document = [
      "$match": ["$expr": ["$eq": [.string("$" + rule.to.path), "$$reference"]]]
    ]
    stages.append([
      "$lookup": [
        "from": .string(rule.to.collection), "let": ["reference": "$_id"],
        "pipeline": [.document(match), ["$limit": 1], ["$project": ["_id": 1]]], "as": "target",
      ]
    ])
    stages.append(["$match": ["target": ["$size": 0]]])
    return stages
  }

  func lookup() throws -> Tally {
    var tally = Tally()
    try context.checkTime()
    let cursor = try context.database.aggregate(
      rule.from.collection, pipeline: pipeline, options: ["allowDiskUse": true],
      command: context.scan)
    while let group = try cursor.next() {
      let count = group["n"]?.integerValue ?? 1
      tally.orphans += count
      if tally.samples.count < context.options.evidenceRows, let value = group["_id"] {
        tally.samples.append((value, count, group["id"]))
      }
    }
    try context.checkTime()
    tally.lookedAt = try context.database.count(
      rule.from.collection, filter: rule.filter ?? [:], command: context.scan)
    if !rule.isNullable {
      let missing: Document = [rule.from.path: nil]
      let filter: Document =
        rule.filter.map { ["$and": [.document($0), .document(missing)]] } ?? missing
      tally.nulls = try context.database.count(
        rule.from.collection, filter: filter, command: context.scan)
    }
    if tally.orphans > 0 { try describe(&tally) }
    return tally
  }
}
