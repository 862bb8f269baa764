import BSON
import MongoDB

/// Looks for key values that would break a unique index.
///
/// Missing and null count as equal, the index's collation and partial filter hold, as on the server.
/// An array is taken apart, because a multikey index holds its elements one by one; one document may
/// hold an element twice.
struct DuplicateSearch {
  let database: Database
  let collection: String
  let spec: Document
  let timeLimit: Duration

  private static let groupLimit: Int32 = 1000

  func run() throws -> StepFacts.Duplicates? {
    guard let key = spec["key"]?.documentValue,
      key.allSatisfy({ $0.value.doubleValue != nil }), !key.isEmpty
    else { return nil }
    do {
      var options: Document = ["allowDiskUse": true]
      if let collation = spec["collation"] { options.append("collation", collation) }
      let cursor = try database.aggregate(
        collection, pipeline: pipeline(key), options: options, command: .init(maxTime: timeLimit))
      var groups = 0
      var samples: [Value] = []
      while let group = try cursor.next() {
        groups += 1
        if samples.count < 10 { samples += group["ids"]?.arrayValue ?? [] }
      }
      return StepFacts.Duplicates(groups: groups, samples: Array(samples.prefix(10)))
    } catch {
      // Unknown is not zero: the build itself finds them, at its end.
      guard error.code == 50 || error.kind == .server else { throw error }
      return nil
    }
  }

  private func pipeline(_ key: Document) -> [Document] {
    var stages: [Document] = []
    if let filter = spec["partialFilterExpression"]?.documentValue {
      stages.append(["$match": .document(filter)])
    }
    if spec.isTruthyFlag("sparse") {
      let present = key.keys.map { Value.document([$0: ["$exists": true]]) }
      stages.append(["$match": ["$or": .array(present)]])
    }
    // `k` is the document's key as the index would hold it, `{v: …}` for a single field.
    var projection: Document = ["_id": 1]
    for (position, field) in key.keys.enumerated() {
      projection.append("k\(position)", .string("$" + field))
    }
    stages.append(["$project": .document(projection)])
    for position in 0..<key.count {
      stages.append([
        "$unwind": ["path": .string("$k\(position)"), "preserveNullAndEmptyArrays": true]
      ])
    }
    var group: Document = [:]
    for position in 0..<key.count {
      group.append("k\(position)", ["$ifNull": [.string("$k\(position)"), nil]])
    }
    return stages + [
      // Once a document first: an element that stands twice in one array is one key.
      ["$group": ["_id": ["k": .document(group), "d": "$_id"]]],
      [
        "$group": [
          "_id": "$_id.k", "n": ["$sum": 1], "first": ["$first": "$_id.d"],
          "last": ["$last": "$_id.d"],
        ]
      ],
      ["$match": ["n": ["$gt": 1]]],
      ["$limit": .int32(Self.groupLimit)],
      ["$project": ["_id": 0, "ids": ["$first", "$last"]]],
    ]
  }
}
