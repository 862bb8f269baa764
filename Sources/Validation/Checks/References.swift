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
    if rule.filter == nil, let from = try coveredScan(rule.from),
      let to = try coveredScan(rule.to)
    {
      if let tally = try mergeDistinct(from, to) { return (.distinct, tally) }
      return (.merge, try merge(from, to))
    }
    return (.lookup, try lookup())
  }

  // MARK: - two covered index scans

  /// An index that gives all values of the path in order, without the documents.
  private func coveredScan(_ path: FieldPath) throws -> IndexScan? {
    for index in try context.indexes(path.collection) {
      guard let first = index.key.first(where: { _ in true }), first.key == path.path,
        let direction = first.value.integerValue, index.buildUUID == nil,
        !["sparse", "hidden"].contains(where: { index.spec[$0]?.isTruthy == true }),
        !["partialFilterExpression", "collation"].contains(where: { index.spec.has($0) })
      else { continue }
      let find = KeyStream.find(path.collection, path.path, index: index.name)
      // A multikey index, for example, needs the documents.
      if try context.plan(ofFind: find).isCovered {
        return IndexScan(find, index, isForward: direction > 0)
      }
    }
    // Clustered collections have no index on _id; their scan is in its order.
    return nil
  }

  // MARK: - what is kept of a scan that is cut off

  /// What a run that was cut off had counted.
  func kept(_ method: Method) -> (tally: Tally, slice: Document)? {
    guard let slice = context.state?.slice(of: context.key),
      slice["method"]?.stringValue == method.rawValue
    else { return nil }
    var tally = Tally()
    tally.lookedAt = slice["lookedAt"]?.integerValue ?? 0
    tally.orphans = slice["orphans"]?.integerValue ?? 0
    tally.nulls = slice["nulls"]?.integerValue ?? 0
    tally.samples = (slice["samples"]?.arrayValue ?? []).compactMap(\.documentValue)
      .compactMap { sample in
        guard let value = sample["value"] else { return nil }
        return (value, sample["count"]?.integerValue ?? 0, sample["id"])
      }
    return (tally, slice)
  }

  func keep(_ method: Method, _ tally: Tally, _ place: Document) {
    guard let state = context.state else { return }
    var slice: Document = [
      "method": .string(method.rawValue), "lookedAt": .integer(tally.lookedAt),
      "orphans": .integer(tally.orphans), "nulls": .integer(tally.nulls),
      "samples": .array(
        tally.samples.map { sample in
          var fields: Document = ["value": sample.value, "count": .integer(sample.count)]
          if let id = sample.id { fields.append("id", id) }
          return .document(fields)
        }),
    ]
    slice.append(contentsOf: place)
    state.keep(slice: slice, of: context.key)
  }
}
