internal import BSON
internal import MongoDB

/// Without indexes on both sides the server joins.
extension References {
  /// `_id`s of samples, and the types on the other side, by the indexes that are there.
  func describe(_ tally: inout Tally) throws {
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
