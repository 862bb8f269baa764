internal import BSON
internal import Foundation
internal import MongoDB

/// Documents that a unique index would refuse.
struct Duplicates {
  let context: CheckContext
  let rule: UniqueRule

  var subject: String { "\(rule.collection) (\(rule.fields.joined(separator: ", ")))" }

  struct Tally {
    var lookedAt: Int64 = 0
    /// Documents beyond the first of each value.
    var surplus: Int64 = 0
    /// Values that more than one document has.
    var values: Int64 = 0
    var samples: [(key: Document, count: Int64, ids: [Value])] = []
    var isCovered = false
    /// Paths on which arrays are.
    var arrays: [String] = []
  }

  func run() throws -> [CheckResult] {
    let id = "duplicate-keys"
    guard try context.collection(rule.collection) != nil else {
      return [
        .broken(
          id, subject, "the collection \(rule.collection) does not exist",
          fix: "correct the rule, or restore the collection")
      ]
    }
    let tally = try search()
    let amount = Amount(tally.lookedAt, "documents")
    guard tally.values > 0 else {
      let how = tally.isCovered ? "one covered index scan" : "$group"
      return [.passed(id, subject, "no two documents are equal there (\(how))", lookedAt: amount)]
    }
    let rows = tally.samples.map { sample -> [Evidence.Cell] in
      let shown = sample.ids.prefix(3).map { Words.value($0) }.joined(separator: ", ")
      let values = Value.array(sample.key.map(\.value))
      return [
        .value(sample.key.count == 1 ? values.arrayValue?.first ?? values : values),
        .number(sample.count), .text(shown),
      ]
    }
    return [
      .found(
        id, subject, rule.header.severity,
        "\(Words.counted(tally.values, "values")) \(tally.values == 1 ? "is" : "are") in more than one document, "
          + "\(Words.counted(tally.surplus, "documents")) too many",
        lookedAt: amount, findings: tally.values,
        evidence: Evidence(
          columns: [rule.fields.joined(separator: ", "), "documents", "_ids"], rows: rows),
        cause: "a unique index on this key cannot be built: it ends with error 11000",
        command: Words.aggregation(
          rule.collection, pipeline(unwinding: tally.arrays), collation),
        fix: rule.header.fix ?? "merge or remove the surplus documents")
    ]
  }

  func search() throws -> Tally {
    if rule.filter == nil, rule.collation == nil, let scan = try coveredScan() {
      return try compareNeighbours(scan)
    }
    return try group()
  }

  /// The options that a pipeline needs to see the same duplicates.
  private var collation: Document {
    rule.collation.map { ["collation": .document($0)] } ?? [:]
  }

  // MARK: - $group

  /// Each element of an array is a key of its own; within one document they may repeat.
  func pipeline(unwinding arrays: [String]) -> [Document] {
    var stages: [Document] = []
    if let filter = rule.filter { stages.append(["$match": .document(filter)]) }
    if rule.isSparse {
      let some = rule.fields.map { Value.document([$0: ["$exists": true]]) }
      stages.append(["$match": ["$or": .array(some)]])
    }
    for path in arrays {
      stages.append([
        "$unwind": ["path": .string("$" + path), "preserveNullAndEmptyArrays": true]
      ])
    }
    // Missing is null for an index. A field of a group's _id may not have a dot.
    var key = Document()
    for (position, field) in rule.fields.enumerated() {
      key.append("k\(position)", ["$ifNull": [.string("$" + field), nil]])
    }
    if !arrays.isEmpty {
      stages.append(["$group": ["_id": ["key": .document(key), "id": "$_id"]]])
      stages.append([
        "$group": ["_id": "$_id.key", "n": ["$sum": 1], "ids": ["$push": "$_id.id"]]
      ])
    } else {
      stages.append(["$group": ["_id": .document(key), "n": ["$sum": 1], "id": ["$first": "$_id"]]])
    }
    stages.append(["$match": ["n": ["$gt": 1]]])
    return stages
  }

  private func group() throws -> Tally {
    try context.checkTime()
    var options: Document = ["allowDiskUse": true]
    options.append(contentsOf: collation)
    let arrays = try self.arrays()
    let cursor = try context.database.aggregate(
      rule.collection, pipeline: pipeline(unwinding: arrays), options: options,
      command: context.scan)
    var tally = Tally()
    tally.arrays = arrays
    while let group = try cursor.next() {
      let count = group["n"]?.integerValue ?? 2
      tally.values += 1
      tally.surplus += count - 1
      guard tally.samples.count < context.options.evidenceRows else { continue }
      let ids = group["ids"]?.arrayValue ?? group["id"].map { [$0] } ?? []
      tally.samples.append((group["_id"]?.documentValue ?? [:], count, Array(ids.prefix(3))))
    }
    tally.lookedAt = try context.database.count(
      rule.collection, filter: rule.filter ?? [:], command: context.scan)
    return tally
  }

  /// Prefixes of the fields that are arrays in some document.
  private func arrays() throws -> [String] {
    var paths: [String] = []
    for field in rule.fields {
      var prefix = ""
      for part in field.split(separator: ".") {
        prefix += prefix.isEmpty ? part : "." + part
        guard !paths.contains(prefix) else { continue }
        let hit = try context.database.findOne(
          rule.collection, filter: [prefix: ["$type": "array"]],
          options: ["projection": ["_id": 1]], command: context.scan)
        if hit != nil { paths.append(prefix) }
      }
    }
    return paths
  }
}
