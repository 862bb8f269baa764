internal import BSON
import Fingerprint
internal import MongoDB

/// Reads one item into chunks. Of one thread.
struct CollectionReader {
  let client: Client
  let pool: ChunkPool
  let gate: ReplyGate
  let options: DumpOptions
  let point: ReadPoint
  let output: any DumpOutput
  /// Told of every batch: documents and bytes more.
  let moved: (Int64, Int64) -> Void

  /// What the reading of one item amounts to, and how far it is.
  struct Position {
    var tally = CollectionTally()
    var chunk: Chunk?
    /// Where in the chunk the last document begins.
    var lastStart = 0
    /// The last document's `_id`, when the reading is ordered; see ``id(_:)``.
    var last: Document?
    /// The last record of a batch that is done, when records are read.
    var record: Int64?
    /// The document at ``last`` comes again after a resumption.
    var skipsFirst = false
  }

  /// Reads all of an item. A cursor that is lost is taken up after the last `_id`.
  /// - Throws: ``MongoError`` or ``DumpError`` `.inconsistent`.
  func read(_ item: ReadItem, of collection: PlannedCollection) throws -> CollectionTally {
    var position = Position()
    var attempts = 0
    while true {
      let level = point.level
      do {
        try readOnce(item, collection, level, &position)
        break
      } catch let error as MongoError {
        attempts += 1
        try recover(error, item, collection, level, attempts, &position)
      }
    }
    if item.includesMaxKey { try readMaxKey(collection, &position) }
    try submit(&position, collection)
    return position.tally
  }

  private func recover(
    _ error: MongoError, _ item: ReadItem, _ collection: PlannedCollection,
    _ level: ReadPoint.Level, _ attempts: Int, _ position: inout Position
  ) throws {
    let name = collection.namespace.description
    let started = position.tally.count > 0
    if case .snapshot = level {
      switch error.code {
      case 239:
        let reason = "the server's history was too short for the snapshot"
        guard !started || item.isResumable, point.giveUpSnapshot(reason) else {
          throw DumpError(
            .inconsistent, reason, namespace: name,
            hint: "raise minSnapshotHistoryWindowInSeconds for the time of the dump", cause: error)
        }
        return resume(&position)
      case 26, 175, 246, 361:
        throw DumpError(
          .inconsistent, "the collection was dropped or renamed while it was dumped",
          namespace: name, hint: "run the dump again", cause: error)
      default: break
      }
    }
    if case .majority = level, error.code == 26 || error.code == 175 {
      // Its drop is in the oplog, which is dumped too; the dumper checks that.
      throw CollectionGone(namespace: collection.namespace)
    }
    let isLost = error.code == 43 || error.code == 237 || error.isNetwork || error.isNotPrimary
    guard isLost, attempts <= 5, !started || item.isResumable else { throw error }
    resume(&position)
  }

  private func resume(_ position: inout Position) { position.skipsFirst = position.last != nil }

  // MARK: - One cursor

  private func readOnce(
    _ item: ReadItem, _ collection: PlannedCollection, _ level: ReadPoint.Level,
    _ position: inout Position
  ) throws {
    if let records = item.records {
      guard case .snapshot = level else {
        return try readNumbered(records, collection, level, &position)
      }
    }
    let find = command(item, collection, level, position)
    let options =
      item.records == nil
      ? CommandOptions(readPreference: self.options.readPreference) : RangeCutter.pinned
    var size = ReplySize(collection)
    var pass: ReplyGate.Pass? = try gate.enter(size.bytes)
    let cursor = try client.cursor(
      find, on: collection.source.database, options: options, member: item.records?.member)
    var end = item.records?.last.map { RecordEnd($0) }
    while true {
      try self.options.cancellation.check()
      var count: Int64 = 0
      var bytes: Int64 = 0
      let got: Void? = try cursor.nextBatch { batch in
        let owner = pass?.keeping(batch.owner)
        end?.begin(cursor)
        try RawDocuments.forEach(in: batch) { raw in
          if let isBehind = try end?.isBehind(raw), isBehind { return }
          if position.skipsFirst {
            position.skipsFirst = false
            if try Self.id(raw) == position.last { return }
          }
          if raw.count >= pool.chunkSize / 2, let owner {
            try addLarge(raw, owner, item, collection, &position)
          } else {
            try add(raw, collection, &position)
          }
          count += 1
          bytes += Int64(raw.count)
        }
        if item.isOrdered, let chunk = position.chunk {
          position.last = try Self.id(chunk.slice(position.lastStart..<chunk.count))
        }
      }
      if item.records != nil {
        position.record = try place(of: cursor, collection) ?? position.record
      }
      try end?.check(isAtEnd: got == nil, collection)
      if got == nil { return }
      moved(count, bytes)
      if end?.isReached == true { return }
      size.learn(count, bytes)
      cursor.batchSize = size.documents
      pass = nil
      pass = cursor.isOpen ? try gate.enter(size.bytes) : nil
    }
  }

  func command(
    _ item: ReadItem, _ collection: PlannedCollection, _ level: ReadPoint.Level,
    _ position: Position = Position()
  ) -> Document {
    var find: Document = ["find": .string(collection.source.collection)]
    // By its UUID a dropped or renamed collection is an error; by its name it is an empty one.
    if level != .local, let uuid = collection.uuid { find = ["find": .binary(uuid)] }
    if let filter = collection.filter { find.append("filter", .document(filter)) }
    if let records = item.records {
      find.append("hint", ["$natural": 1])
      find.append("$_requestResumeToken", true)
      if let after = position.record ?? records.after {
        find.append("$_resumeAfter", ["$recordId": .int64(after)])
      }
    } else if item.isOrdered {
      find.append("hint", ["_id": 1])
      if let lower = position.last ?? item.lower { find.append("min", .document(lower)) }
      if let upper = item.upper { find.append("max", .document(upper)) }
    } else if collection.filter == nil, !collection.isReadThroughView {
      find.append("hint", ["$natural": 1])
    }
    find.append("batchSize", .integer(ReplySize(collection).documents))
    switch level {
    case .local: break
    case .majority: find.append("readConcern", ["level": "majority"])
    case .snapshot(let time):
      find.append("readConcern", ["level": "snapshot", "atClusterTime": .timestamp(time)])
    }
    return find
  }

  private func readMaxKey(_ collection: PlannedCollection, _ position: inout Position) throws {
    let item = ReadItem(collection: 0)
    var find = command(item, collection, point.level)
    find.remove("hint")
    find.append("filter", ["_id": .maxKey])
    let cursor = try client.cursor(
      find, on: collection.source.database,
      options: CommandOptions(readPreference: options.readPreference))
    while try cursor.nextBatch({ batch in
      try RawDocuments.forEach(in: batch) { raw in try add(raw, collection, &position) }
    }) != nil {}
  }

  // MARK: - Chunks

  /// A large document goes on as it lies in the reply, which stays until it is written.
  private func addLarge(
    _ raw: UnsafeRawBufferPointer, _ owner: AnyObject, _ item: ReadItem,
    _ collection: PlannedCollection, _ position: inout Position
  ) throws {
    try submit(&position, collection)
    if item.isOrdered { position.last = try Self.id(raw) }
    position.tally.add(document: raw)
    guard let chunk = Chunk(borrowing: raw, from: owner) else { return }
    var crc = CRC64()
    crc.update(raw)
    try output.write(chunk, crc: crc, to: collection)
  }

  @inline(__always)
  func add(
    _ raw: UnsafeRawBufferPointer, _ collection: PlannedCollection, _ position: inout Position
  ) throws {
    if let chunk = position.chunk, chunk.free.count >= raw.count {
      position.lastStart = chunk.count
      chunk.append(raw)
    } else {
      try submit(&position, collection)
      let chunk = try pool.take(raw.count)
      chunk.append(raw)
      position.lastStart = 0
      position.chunk = chunk
    }
    position.tally.add(document: raw)
  }

  private func submit(_ position: inout Position, _ collection: PlannedCollection) throws {
    guard let chunk = position.chunk, chunk.count > 0 else { return }
    position.chunk = nil
    var crc = CRC64()
    crc.update(chunk.bytes)
    try output.write(chunk, crc: crc, to: collection)
  }

  /// A document of the `_id` alone, byte for byte: decoded text that is not UTF-8 is another one.
  static func id(_ raw: UnsafeRawBufferPointer) throws -> Document? {
    guard let element = try DocumentView(raw).first("_id") else { return nil }
    var id = Document()
    id.append(raw: element)
    return id
  }
}

/// A collection was dropped while it was read in oplog mode.
struct CollectionGone: Error {
  let namespace: Namespace
}

extension PlannedCollection {
  /// A view's results: a hint belongs to no index of its own.
  var isReadThroughView: Bool { uuid == nil && type == "collection" }
}
