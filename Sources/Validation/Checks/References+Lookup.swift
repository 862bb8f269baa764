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
    let pipeline: [Document] =
      [["$sample": ["size": .integer(context.options.sampleSize)]]] + unwinding(rule.to.path)
      + [["$group": ["_id": ["$type": .string("$" + rule.to.path)]]]]
    let types = try context.database.aggregate(
      rule.to.collection, pipeline: pipeline, command: context.scan)
    while let type = try types.next()?["_id"]?.stringValue {
      if let type = BSONType.allCases.first(where: { $0.alias == type }) {
        tally.targetTypes.insert(type)
      }
    }
  }

  var pipeline: [Document] { pipeline() }

  private func pipeline(after last: Value? = nil, until end: Value? = nil) -> [Document] {
    let value = Value.string("$" + rule.from.path)
    var stages: [Document] = []
    // Unlike a plain range, this sees every type of `_id`.
    var range: [Value] = []
    if let last { range.append(["$gte": ["$_id", ["$literal": last]]]) }
    if let end { range.append(["$lt": ["$_id", ["$literal": end]]]) }
    if !range.isEmpty { stages.append(["$match": ["$expr": ["$and": .array(range)]]]) }
    if let filter = rule.filter { stages.append(["$match": .document(filter)]) }
    // References may be in arrays, at any level of the path.
    stages += unwinding(rule.from.path)
    stages.append(["$group": ["_id": value, "n": ["$sum": 1], "id": ["$first": "$_id"]]])
    stages.append(["$match": ["_id": ["$ne": nil]]])
    var lookup: Document = ["from": .string(rule.to.collection)]
    var target: [Value] = [["$limit": 1], ["$project": ["_id": 1]]]
    if context.server.version >= ServerVersion(5, 0) {
      // Unlike an expression, this looks into arrays.
      lookup.append("localField", "_id")
      lookup.append("foreignField", .string(rule.to.path))
    } else {
      lookup.append("let", ["reference": "$_id"])
      target.insert(["$match": ["$expr": expression]], at: 0)
    }
    lookup.append("pipeline", .array(target))
    lookup.append("as", "target")
    stages.append(["$lookup": .document(lookup)])
    stages.append(["$match": ["target": ["$size": 0]]])
    return stages
  }

  /// One document for each element of the arrays on a path.
  private func unwinding(_ path: String) -> [Document] {
    var stages: [Document] = []
    var prefix = ""
    for part in path.split(separator: ".") {
      prefix += prefix.isEmpty ? part : "." + part
      if prefix != "_id" { stages.append(["$unwind": .string("$" + prefix)]) }
    }
    return stages
  }

  /// Whether a target is meant, before 5.0, where `localField` goes with no pipeline.
  private var expression: Value {
    let value = Value.string("$" + rule.to.path)
    let equal: Value = ["$eq": [value, "$$reference"]]
    guard (try? holdsArrays()) ?? true else { return equal }
    let elements: Value = ["$cond": [["$isArray": [value]], value, []]]
    return ["$or": [equal, ["$in": ["$$reference", elements]]]]
  }

  /// Whether an array is on the way to the target's field: an expression for them uses no index.
  private func holdsArrays() throws(MongoError) -> Bool {
    var prefix = ""
    for part in rule.to.path.split(separator: ".") {
      prefix += prefix.isEmpty ? part : "." + part
      guard prefix != "_id" else { continue }
      let hit = try context.database.findOne(
        rule.to.collection, filter: [prefix: ["$type": "array"]],
        options: ["projection": ["_id": 1]], command: context.scan)
      if hit != nil { return true }
    }
    return false
  }

  func lookup() throws -> Tally {
    var tally = Tally()
    let search = Search(context: context, collection: rule.from.collection)
    let size = context.options.sliceSize * Self.slicesOfJoin
    let total = try context.database.estimatedCount(rule.from.collection)
    if try canSlice(), total > size {
      var last: Value?
      if let kept = kept(.lookup) {
        tally = kept.tally
        last = kept.slice["last"]
        context.wentOn(after: tally.lookedAt, tally.unit)
      }
      while let end = try search.boundary(after: last, skipping: size), end != .maxKey {
        try join(pipeline(after: last, until: end), ["_id": 1], &tally)
        tally.lookedAt += size
        last = end
        keep(.lookup, tally, ["last": end])
        context.report(done: tally.lookedAt, total: total)
      }
      try join(pipeline(after: last), ["_id": 1], &tally)
    } else {
      try join(pipeline, nil, &tally)
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
  /// The join costs more than a search: its slices are longer, so that a target is looked for once more
  /// in few of them only.
  static var slicesOfJoin: Int64 { 20 }

  /// Ranges by `$expr` use the index since 5.0.
  private func canSlice() throws -> Bool {
    guard context.server.version >= ServerVersion(5, 0),
      try context.collection(rule.from.collection)?.type == .collection
    else { return false }
    return try context.indexes(rule.from.collection).contains { $0.name == "_id_" }
  }

  private func join(_ pipeline: [Document], _ hint: Document?, _ tally: inout Tally) throws {
    try context.checkTime()
    var options: Document = ["allowDiskUse": true]
    if let hint { options.append("hint", .document(hint)) }
    let cursor = try context.database.aggregate(
      rule.from.collection, pipeline: pipeline, options: options, command: context.scan)
    while let group = try cursor.next() {
      let count = group["n"]?.integerValue ?? 1
      tally.orphans += count
      guard let value = group["_id"] else { continue }
      if let known = tally.samples.firstIndex(where: { $0.value == value }) {
        tally.samples[known].count += count
      } else if tally.samples.count < context.options.evidenceRows {
        tally.samples.append((value, count, group["id"]))
      }
    }
  }
}
