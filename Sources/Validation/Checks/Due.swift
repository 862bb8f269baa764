internal import BSON
internal import MongoDB

/// Documents that a TTL index deletes as soon as it is there, or is shortened.
struct Due {
  var collection: String
  var field: String
  var seconds: Double
  /// The index's partial filter.
  var filter: Document?
  /// What makes them due.
  var cause: String

  var subject: String { "\(collection).\(field)" }

  /// A planned change of a TTL index that is there.
  static func probe(_ plan: Expectations.Expiry) -> Probe {
    Probe("ttl-blast", plan.collection) { context in
      let index = try context.indexes(plan.collection).first { index in
        plan.name.map { $0 == index.name }
          ?? plan.key.map { IndexComparison.sameKey($0, index) } ?? false
      }
      guard let index, let field = index.key.keys.first else {
        return [
          .skipped("ttl-blast", plan.collection, "the index of \(plan.source) is not there yet")
        ]
      }
      let due = Due(
        collection: plan.collection, field: field, seconds: plan.seconds,
        filter: index.spec["partialFilterExpression"]?.documentValue,
        cause: "\(plan.source) sets the TTL index to \(Words.decimal(plan.seconds, 0)) seconds")
      return [
        try plan.documentsChangedBy.map {
          .skipped(
            "ttl-blast", due.subject,
            "not looked at: these fields are changed by an earlier step of \($0)")
        } ?? due.result(context)
      ]
    }
  }

  func result(_ context: CheckContext) throws -> CheckResult {
    let now = context.server.localTime?.milliseconds ?? context.options.now()
    // A NaN counts as 0 in some versions: everything in the past goes.
    let age = seconds.isNaN ? 0 : min(max(seconds, 0), 1e12)
    let limit = DateTime(milliseconds: now - Int64(age * 1000))
    var query: Document = [field: ["$lt": .date(limit)]]
    if let filter { query = ["$and": [.document(query), .document(filter)]] }
    let count = try context.database.count(collection, filter: query, command: context.scan)
    let total = try context.database.estimatedCount(collection)
    guard count > 0 else {
      return .passed(
        "ttl-blast", subject, "no document is due", lookedAt: Amount(total, "documents"))
    }
    return .found(
      "ttl-blast", subject, .warning,
      "\(Words.counted(count, "documents")) will be deleted within a minute",
      lookedAt: Amount(total, "documents"), findings: count, cause: cause,
      command: Words.find(collection, query),
      fix: "archive them first, or delete them in pieces before the window")
  }
}
