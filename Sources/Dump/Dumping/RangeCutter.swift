internal import BSON
internal import MongoDB

/// A part of a collection that one cursor reads.
struct ReadItem: Sendable {
  /// Index into the plan.
  let collection: Int
  /// Inclusive; nil from the first document on.
  var lower: Value?
  /// Exclusive; nil to the last document.
  var upper: Value?
  /// Also looks for `_id: MaxKey`, which is never returned once `min` or `max` is given.
  var includesMaxKey = false
  /// Reads along the `_id` index, so that it can go on after the last `_id`.
  var isOrdered = false
}

/// Cuts large collections into ranges of `_id` of about the same size.
///
/// By `min` and `max` on the index, never by a filter: comparisons in a filter see only `_id`s of the
/// bound's own type. - Source: experiments.md 2.
struct RangeCutter {
  let client: Client
  let rangeSize: Int64
  /// Samples for each range: enough for sizes that are right within a third or so.
  private static let samplesPerRange = 24
  private static let mostRanges = 64

  /// The items of one collection, at least one.
  func cut(_ collection: PlannedCollection, index: Int, ordered: Bool) throws -> [ReadItem] {
    guard canRange(collection) else {
      return [ReadItem(collection: index)]
    }
    let whole = ReadItem(collection: index, isOrdered: ordered)
    guard collection.size >= 2 * rangeSize else { return [whole] }
    let wanted = min(Self.mostRanges, Int(collection.size / rangeSize))
    let bounds = try bounds(of: collection, wanted)
    guard !bounds.isEmpty else { return [whole] }
    var items: [ReadItem] = []
    for number in 0...bounds.count {
      var item = ReadItem(collection: index, isOrdered: true)
      // Assigned, not chosen by `? :`, where nil would be BSON's null.
      if number > 0 { item.lower = bounds[number - 1] }
      if number < bounds.count {
        item.upper = bounds[number]
      } else {
        item.includesMaxKey = !collection.isClustered
      }
      items.append(item)
    }
    return items
  }

  /// Capped collections keep the order of insertion; buckets refuse the hint before 6.0.
  private func canRange(_ collection: PlannedCollection) -> Bool {
    !collection.isView && !collection.isCapped && !collection.source.isBuckets
      && collection.filter == nil && collection.hasIDIndex && collection.type == "collection"
  }

  private func bounds(of collection: PlannedCollection, _ count: Int) throws -> [Value] {
    let samples = count * Self.samplesPerRange
    let cursor = try client.database(collection.source.database).aggregate(
      collection.source.collection,
      pipeline: [
        ["$sample": ["size": .integer(samples)]], ["$project": ["_id": 1]],
        ["$sort": ["_id": 1]],
      ])
    var ids: [Value] = []
    while let document = try cursor.next() {
      if let id = document["_id"], id != .maxKey, id != .minKey { ids.append(id) }
    }
    guard ids.count >= count else { return [] }
    var bounds: [Value] = []
    for number in 1..<count {
      let id = ids[number * ids.count / count]
      // Sorted by the server, in its order: equal ones are neighbours.
      if bounds.last != id { bounds.append(id) }
    }
    return bounds
  }
}
