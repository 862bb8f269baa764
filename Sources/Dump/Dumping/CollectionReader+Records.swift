internal import BSON
internal import MongoDB

/// Finds the last document of a range of records. A batch says the number of its last record only; which of
/// its documents is the range's last one is told by the `_id`, byte for byte.
struct RecordEnd {
  private let last: (record: Int64, id: Document)
  private var mayBeHere = false
  private(set) var isReached = false

  init(_ last: (record: Int64, id: Document)) { self.last = last }

  /// Looks at a batch before its documents.
  mutating func begin(_ cursor: Cursor) {
    // Only the collection's last batch may lack a number: then each of its documents is looked at.
    mayBeHere = cursor.resumeToken?["$recordId"]?.integerValue.map { $0 >= last.record } ?? true
  }

  /// True for a document behind the last one.
  mutating func isBehind(_ raw: UnsafeRawBufferPointer) throws -> Bool {
    if isReached { return true }
    if mayBeHere { isReached = try CollectionReader.id(raw) == last.id }
    return false
  }

  /// - Throws: ``DumpError`` `.inconsistent` when the last document must have come and has not.
  func check(isAtEnd: Bool, _ collection: PlannedCollection) throws(DumpError) {
    guard !isReached, mayBeHere || isAtEnd else { return }
    throw DumpError(
      .inconsistent, "the member's records are not those that were there before",
      namespace: collection.namespace.description, hint: "run the dump again")
  }
}

extension CollectionReader {
  /// The number of a batch's last record, from where the reading can go on; nil behind the last batch.
  /// - Throws: ``DumpError`` `.inconsistent` when the member gives none.
  func place(of cursor: Cursor, _ collection: PlannedCollection) throws(DumpError) -> Int64? {
    if let number = cursor.resumeToken?["$recordId"]?.integerValue { return number }
    guard cursor.isOpen else { return nil }
    throw unnumbered(collection)
  }

  private func unnumbered(_ collection: PlannedCollection) -> DumpError {
    DumpError(
      .inconsistent, "the server does not give the numbers of records",
      namespace: collection.namespace.description, hint: "dump with --no-consistent")
  }

  /// The rest of a range of records when its snapshot is gone. The documents at its ends may be gone too,
  /// so each one is asked for its number, which is taken off again.
  func readNumbered(
    _ records: RecordRange, _ collection: PlannedCollection, _ level: ReadPoint.Level,
    _ position: inout Position
  ) throws {
    let item = ReadItem(collection: 0)
    var find = command(item, collection, level)
    // By a name that no document has: `showRecordId` replaces a document's own field `$recordId`.
    let field = "record_\(UInt64.random(in: 0 ... .max))"
    find.append("projection", [field: ["$meta": "recordId"]])
    let cursor = try numberedCursor(find, records, collection, position.record ?? records.after)
    cursor.batchSize = ReplySize(collection).documents
    while true {
      try options.cancellation.check()
      var isAtEnd = false
      var count: Int64 = 0
      var bytes: Int64 = 0
      let got: Void? = try cursor.nextBatch { batch in
        try RawDocuments.forEach(in: batch) { raw in
          let document = try Document(bytes: [UInt8](raw))
          guard let number = document[field]?.integerValue else { throw unnumbered(collection) }
          if let last = records.last, number > last.record { isAtEnd = true }
          if let after = position.record ?? records.after, number <= after { return }
          if isAtEnd { return }
          let plain = document.filteringElements { !$0.isNamed(field) }
          try plain.bytes.withUnsafeBytes { try add($0, collection, &position) }
          position.record = number
          count += 1
          bytes += Int64(plain.bytes.count)
        }
      }
      moved(count, bytes)
      if got == nil || isAtEnd { return }
    }
  }

  /// Begins behind a record where that is still there, else at the collection's beginning.
  private func numberedCursor(
    _ find: Document, _ records: RecordRange, _ collection: PlannedCollection, _ after: Int64?
  ) throws -> Cursor {
    let database = collection.source.database
    if let after {
      var resumed = find
      resumed.append("$_requestResumeToken", true)
      resumed.append("$_resumeAfter", ["$recordId": .int64(after)])
      do {
        return try client.cursor(
          resumed, on: database, options: RangeCutter.pinned, member: records.member)
      } catch {
        // Its record is gone.
        guard error.kind == .server, error.code != 26 else { throw error }
      }
    }
    return try client.cursor(
      find, on: database, options: RangeCutter.pinned, member: records.member)
  }
}
