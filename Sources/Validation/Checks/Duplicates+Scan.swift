internal import BSON
internal import Foundation
internal import MongoDB

/// One covered, sorted index scan: equal neighbours are duplicates.
extension Duplicates {
  /// An index that gives the fields in order, without the documents.
  func coveredScan() throws -> IndexScan? {
    for index in try context.indexes(rule.collection) {
      let prefix = Array(index.key.prefix(rule.fields.count))
      guard prefix.map(\.key) == rule.fields,
        prefix.allSatisfy({ abs($0.value.integerValue ?? 0) == 1 }), index.buildUUID == nil,
        !["sparse", "hidden"].contains(where: { index.spec[$0]?.isTruthy == true }),
        !["partialFilterExpression", "collation"].contains(where: { index.spec.has($0) })
      else { continue }
      var projection = Document(rule.fields.map { ($0, 1) })
      if !rule.fields.contains("_id") { projection.append("_id", 0) }
      let find: Document = [
        "find": .string(rule.collection), "filter": [:], "hint": .string(index.name),
        "sort": .document(Document(prefix.map { ($0.key, $0.value) })),
        "projection": .document(projection), "batchSize": .integer(KeyStream.batchSize),
      ]
      if try context.plan(ofFind: find).isCovered { return IndexScan(find, index) }
    }
    return nil
  }

  func compareNeighbours(_ scan: IndexScan) throws -> Tally {
    let total = try context.database.estimatedCount(rule.collection)
    var tally = kept() ?? Tally()
    tally.isCovered = true
    var place: IndexScan.Place?
    if tally.lookedAt > 0, let at = context.state?.slice(of: context.key)?["at"]?.documentValue {
      place = .init(at: values(at))
      context.wentOn(after: tally.lookedAt, "documents")
    }
    let cursor = ScanCursor(context, scan.commands(from: place))
    var previous: [UInt8] = []
    var run: Int64 = 1
    func close() throws {
      defer { run = 1 }
      guard run > 1 else { return }
      // The index that is read has the missing too; a sparse one refuses the second null only.
      if rule.isSparse, Self.isVoid(previous) {
        run = try context.database.count(
          rule.collection, filter: equals(try Document(bytes: previous)), command: context.scan)
        guard run > 1 else { return }
      }
      tally.values += 1
      tally.surplus += run - 1
      if tally.samples.count < context.options.evidenceRows {
        tally.samples.append((try Document(bytes: previous), run, []))
      }
    }
    var more = true
    while more {
      try context.checkTime()
      let batch: Void? = try cursor.nextBatch { raw in
        try raw.visit { document in
          tally.lookedAt += 1
          if try Self.same(document, previous) {
            run += 1
          } else {
            try close()
            previous.removeAll(keepingCapacity: true)
            previous.append(contentsOf: document)
          }
        }
      }
      more = batch != nil
      if more, scan.canSeek, !previous.isEmpty {
        // The documents of the last value are read again.
        keep(tally, lookedAt: tally.lookedAt - run, at: try Document(bytes: previous))
      }
      context.report(done: tally.lookedAt, total: total)
    }
    try close()
    for index in tally.samples.indices {
      tally.samples[index].ids = try ids(tally.samples[index].key)
    }
    return tally
  }

  /// What a run that was cut off had counted.
  private func kept() -> Tally? {
    guard let slice = context.state?.slice(of: context.key), slice.has("at") else { return nil }
    var tally = Tally()
    tally.lookedAt = slice["lookedAt"]?.integerValue ?? 0
    tally.surplus = slice["surplus"]?.integerValue ?? 0
    tally.values = slice["values"]?.integerValue ?? 0
    tally.samples = (slice["samples"]?.arrayValue ?? []).compactMap(\.documentValue)
      .compactMap { sample in
        sample["key"]?.documentValue.map { ($0, sample["count"]?.integerValue ?? 2, []) }
      }
    return tally
  }

  private func keep(_ tally: Tally, lookedAt: Int64, at: Document) {
    guard let state = context.state else { return }
    let samples = tally.samples.map { sample -> Value in
      ["key": .document(sample.key), "count": .integer(sample.count)]
    }
    state.keep(
      slice: [
        "at": .document(at), "lookedAt": .integer(lookedAt), "surplus": .integer(tally.surplus),
        "values": .integer(tally.values), "samples": .array(samples),
      ], of: context.key)
  }

  /// The fields' values in a covered document; missing is null for an index.
  private func values(_ document: Document) -> [Value] {
    rule.fields.map { field in
      var value: Value? = .document(document)
      for part in field.split(separator: ".") { value = value?.documentValue?[String(part)] }
      return value ?? .null
    }
  }

  private static func same(_ document: UnsafeRawBufferPointer, _ previous: [UInt8]) throws -> Bool {
    guard !previous.isEmpty else { return false }
    return try previous.withUnsafeBytes { bytes in
      if let a = document.baseAddress, let b = bytes.baseAddress, document.count == bytes.count,
        memcmp(a, b, document.count) == 0
      {
        return true
      }
      // 1 and 1.0 are one key for the index.
      return try DocumentView(document).compare(try DocumentView(bytes)) == 0
    }
  }

  /// True when none of the fields is there.
  private static func isVoid(_ bytes: [UInt8]) -> Bool {
    func isVoid(_ document: Document) -> Bool {
      document.allSatisfy { element in
        switch element.value {
        case .null, .undefined: true
        case .document(let inner): isVoid(inner)
        default: false
        }
      }
    }
    return (try? Document(bytes: bytes)).map(isVoid) ?? false
  }

  /// Documents that have these values; of a sparse index those only that are in it.
  private func equals(_ key: Document) -> Document {
    var filter = Document()
    for (field, value) in zip(rule.fields, values(key)) {
      filter.append(field, ["$eq": value])
    }
    if rule.isSparse {
      filter.append(
        "$or", .array(rule.fields.map { .document([$0: ["$exists": true]]) }))
    }
    return filter
  }

  private func ids(_ key: Document) throws -> [Value] {
    let cursor = try context.database.find(
      rule.collection, filter: equals(key), options: ["projection": ["_id": 1], "limit": 3],
      command: context.scan)
    return try cursor.all().compactMap { $0["_id"] }
  }
}
