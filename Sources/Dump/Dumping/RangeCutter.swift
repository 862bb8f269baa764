internal import BSON
internal import MongoDB

/// A part of a collection that one cursor reads.
struct ReadItem: Sendable {
  /// Index into the plan.
  let collection: Int
  /// `{_id: …}`, inclusive; nil from the first document on.
  var lower: Document?
  /// `{_id: …}`, exclusive; nil to the last document.
  var upper: Document?
  /// Also looks for `_id: MaxKey`, which is never returned once `min` or `max` is given.
  var includesMaxKey = false
  /// Reads along the `_id` index, so that it can go on after the last `_id`.
  var isOrdered = false
  /// Instead of a range of `_id`.
  var records: RecordRange?

  /// A cursor that was lost can be taken up where it was.
  var isResumable: Bool { isOrdered || records != nil }
}

/// A stretch of a collection's records as they lie, by the numbers that one member gave them.
struct RecordRange: Sendable {
  let member: UInt32
  /// Exclusive; nil from the first record on.
  var after: Int64?
  /// The last record, and `{_id: …}` of its document; nil to the last one of the collection.
  var last: (record: Int64, id: Document)?
}

/// Cuts large collections into ranges of `_id` of about the same size.
///
/// By `min` and `max` on the index, never by a filter: comparisons in a filter see only `_id`s of the
/// bound's own type. - Source: experiments.md 2. Within a snapshot rather by the numbers of records, which
/// spares the server the way from the index to each document, half of its work.
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

  /// Ranges of records as they were at a time; nil where that cannot be had, or is not worth it.
  ///
  /// The numbers are one member's own. They are good for as long as that member has the snapshot: a
  /// record keeps its number, and within the snapshot none comes or goes.
  func cutRecords(_ collection: PlannedCollection, index: Int, at time: Timestamp) -> [ReadItem]? {
    guard canRange(collection), !collection.isClustered, let uuid = collection.uuid,
      collection.size >= 2 * rangeSize
    else { return nil }
    let wanted = min(Self.mostRanges, Int(collection.size / rangeSize))
    // Whatever is wrong, the other way of reading will say it.
    guard let (member, bounds) = try? recordBounds(of: collection, uuid, time, wanted),
      !bounds.isEmpty
    else { return nil }
    var items: [ReadItem] = []
    for number in 0...bounds.count {
      var range = RecordRange(member: member)
      if number > 0 { range.after = bounds[number - 1].record }
      if number < bounds.count { range.last = bounds[number] }
      var item = ReadItem(collection: index)
      item.records = range
      items.append(item)
    }
    return items
  }

  private func recordBounds(
    of collection: PlannedCollection, _ uuid: Binary, _ time: Timestamp, _ count: Int
  ) throws -> (member: UInt32, bounds: [(record: Int64, id: Document)]) {
    let concern: Document = ["level": "snapshot", "atClusterTime": .timestamp(time)]
    let sample = try client.database(collection.source.database).aggregate(
      collection.source.collection,
      pipeline: [
        ["$sample": ["size": .integer(count * Self.samplesPerRange)]], ["$project": ["_id": 1]],
      ],
      command: CommandOptions(readConcern: concern))
    // One of text that is not UTF-8 finds nothing, or another document, whose place is as good.
    let ids = try sample.all().compactMap { $0["_id"] }
    let numbered = try client.cursor(
      [
        "find": .binary(uuid), "filter": ["_id": ["$in": .array(ids)]], "projection": ["_id": 1],
        "showRecordId": true, "readConcern": .document(concern),
      ], on: collection.source.database, options: Self.pinned, member: sample.member)
    var records: [Int64: Document] = [:]
    while let document = try numbered.next() {
      guard let record = document["$recordId"]?.integerValue else { continue }
      records[record] = document.filteringElements { $0.isNamed("_id") }
    }
    let all = records.keys.sorted()
    guard all.count >= count else { return (sample.member, []) }
    let bounds = (1..<count).compactMap { number -> (record: Int64, id: Document)? in
      let record = all[number * all.count / count]
      return records[record].map { (record, $0) }
    }
    // A server that does not take such a place, or gives none, says so here.
    if let first = bounds.first {
      let probe = try client.cursor(
        [
          "find": .binary(uuid), "hint": ["$natural": 1], "$_requestResumeToken": true,
          "$_resumeAfter": ["$recordId": .int64(first.record)], "batchSize": 1, "singleBatch": true,
          "readConcern": .document(concern),
        ], on: collection.source.database, options: Self.pinned, member: sample.member)
      guard probe.resumeToken?["$recordId"]?.integerValue != nil else { return (sample.member, []) }
    }
    return (sample.member, bounds)
  }

  /// For reads that stay on their member, whether or not it is the primary by then.
  static let pinned = CommandOptions(readPreference: .primaryPreferred)

  /// Capped collections keep the order of insertion; buckets refuse the hint before 6.0.
  private func canRange(_ collection: PlannedCollection) -> Bool {
    !collection.isView && !collection.isCapped && !collection.source.isBuckets
      && collection.filter == nil && collection.hasIDIndex && collection.type == "collection"
  }

  private func bounds(of collection: PlannedCollection, _ count: Int) throws -> [Document] {
    let samples = count * Self.samplesPerRange
    let cursor = try client.database(collection.source.database).aggregate(
      collection.source.collection,
      pipeline: [
        ["$sample": ["size": .integer(samples)]], ["$project": ["_id": 1]],
        ["$sort": ["_id": 1]],
      ])
    // Each is `{_id: …}`, as it is stored.
    var ids: [Document] = []
    while let document = try cursor.next() {
      if let id = document["_id"], id != .maxKey, id != .minKey { ids.append(document) }
    }
    guard ids.count >= count else { return [] }
    var bounds: [Document] = []
    for number in 1..<count {
      let id = ids[number * ids.count / count]
      // Sorted by the server, in its order: equal ones are neighbours.
      if bounds.last != id { bounds.append(id) }
    }
    return bounds
  }
}
