internal import BSON
internal import MongoDB

/// Looks for documents that match a filter, slice by slice of `_id`.
struct Search {
  let context: CheckContext
  let collection: String

  struct Found {
    /// Documents that matched; at most the limit.
    var count: Int64 = 0
    /// `_id`s of the first of them.
    var ids: [Value] = []
    /// Documents that were looked at.
    var lookedAt: Int64 = 0
    /// False when the limit, or the time budget, ended it.
    var isComplete = true
    var stoppedByTime = false
  }

  /// - Parameter filter: what to find.
  func run(_ filter: Document) throws -> Found {
    let info = try context.collection(collection)
    guard info?.type == .collection else { return try single(filter) }
    let total = try context.database.estimatedCount(collection)
    guard total > context.options.sliceSize else { return try single(filter, total: total) }
    return try sliced(filter, total: total)
  }

  /// One pass: small collections, views, time-series.
  private func single(_ filter: Document, total: Int64? = nil) throws -> Found {
    var found = Found()
    try context.checkTime()
    try collect(filter, [:], &found)
    found.lookedAt = try total ?? context.database.count(collection, command: context.scan)
    return found
  }

  /// `min` and `max` with a hint see every type of `_id`, which `$gt` does not.
  private func sliced(_ filter: Document, total: Int64) throws -> Found {
    var found = Found()
    var last: Value?
    if let slice = context.state?.slice(of: context.key) {
      last = slice["last"]
      found.count = slice["count"]?.integerValue ?? 0
      found.ids = slice["ids"]?.arrayValue ?? []
      found.lookedAt = slice["lookedAt"]?.integerValue ?? 0
      context.wentOn(after: found.lookedAt, "documents")
    }
    do {
      try slices(filter, after: last, total: total, &found)
    } catch is TimeIsUp {
      (found.isComplete, found.stoppedByTime) = (false, true)
    } catch let error as MongoError {
      guard context.isCutOff(error) else { throw error }
      (found.isComplete, found.stoppedByTime) = (false, true)
    }
    return found
  }

  private func slices(
    _ filter: Document, after start: Value?, total: Int64, _ found: inout Found
  ) throws {
    var last = start
    while true {
      try context.checkTime()
      let end = try boundary(after: last, skipping: context.options.sliceSize)
      var bounds: Document = ["hint": ["_id": 1]]
      if let last { bounds.append("min", ["_id": last]) }
      if let end { bounds.append("max", ["_id": end]) }
      try collect(filter, bounds, &found)
      guard found.count < context.options.findingsLimit else {
        found.lookedAt += context.options.sliceSize
        found.isComplete = false
        return
      }
      guard let end, end != .maxKey else { break }
      found.lookedAt += context.options.sliceSize
      context.report(done: found.lookedAt, total: total)
      last = end
      context.state?.keep(
        slice: [
          "last": end, "count": .integer(found.count), "ids": .array(found.ids),
          "lookedAt": .integer(found.lookedAt),
        ], of: context.key)
    }
    // An `_id` of MaxKey is never returned once `min` or `max` is given.
    try collect(["$and": [["_id": .maxKey], .document(filter)]], [:], &found)
    found.lookedAt = max(total, found.lookedAt)
  }

  /// The `_id` with which the next slice begins.
  func boundary(after last: Value?, skipping size: Int64) throws(MongoError) -> Value? {
    var options: Document = [
      "projection": ["_id": 1], "hint": ["_id": 1], "skip": .integer(size), "limit": 1,
      "singleBatch": true,
    ]
    if let last { options.append("min", ["_id": last]) }
    return try context.database.find(collection, options: options, command: context.scan)
      .next()?["_id"]
  }

  private func collect(_ filter: Document, _ bounds: Document, _ found: inout Found) throws {
    let left = context.options.findingsLimit - found.count
    guard left > 0 else { return }
    var options: Document = ["projection": ["_id": 1], "limit": .integer(left)]
    options.append(contentsOf: bounds)
    let cursor = try context.database.find(
      collection, filter: filter, options: options, command: context.scan)
    while let document = try cursor.next() {
      found.count += 1
      if found.ids.count < context.options.evidenceRows, let id = document["_id"] {
        found.ids.append(id)
      }
    }
    if found.count >= context.options.findingsLimit { found.isComplete = false }
  }
}

extension Search.Found {
  /// `at least 1,001 documents`, or the exact number.
  var words: String {
    (isComplete ? "" : "at least ") + Words.counted(count, "documents")
  }

  /// The result of a check by what was found.
  func result(
    _ id: String, _ subject: String, _ header: RuleHeader, whenFound message: String,
    whenNone: String, cause: String? = nil, command: String? = nil, fix: String? = nil
  ) -> CheckResult {
    let amount = Amount(lookedAt, "documents")
    if count > 0 {
      return .found(
        id, subject, header.severity, "\(words) \(message)", lookedAt: amount, findings: count,
        evidence: .ids(ids), cause: cause, command: command, fix: header.fix ?? fix)
    }
    if stoppedByTime {
      var result = CheckResult.skipped(
        id, subject, "the time budget was used up after \(amount); none found until then")
      result.lookedAt = amount
      return result
    }
    return .passed(id, subject, whenNone, lookedAt: amount)
  }
}
