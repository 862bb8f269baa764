internal import BSON
internal import MongoDB

/// Inserts batches and keeps the account of what failed. Of one thread.
struct InsertWorker {
  let client: Client
  let options: LoadOptions

  /// What became of one batch.
  struct Outcome: Sendable {
    var inserted: Int64 = 0
    var failed: Int64 = 0
  }

  /// Inserts one batch; documents that the server refuses are told to `options.failed`.
  /// - Throws: ``MongoError`` for anything but single documents; ``DumpError`` `.partial` when the
  ///   first failure is to end the load.
  func insert(_ batch: LoadBatch, into item: LoadItem) throws -> Outcome {
    if options.checksDocuments { try check(batch, item) }
    var outcome = Outcome()
    var rest = batch.bytes
    while !rest.isEmpty {
      let (part, count) = firstPart(of: rest)
      rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
      let result = try send(part, count, item)
      outcome.inserted += result.inserted
      outcome.failed += result.failed
    }
    try keepZeroTimestamps(batch, item)
    return outcome
  }

  /// At most ``LoadOptions/batchSize`` documents.
  private func firstPart(of bytes: UnsafeRawBufferPointer) -> (UnsafeRawBufferPointer, Int64) {
    var end = 0
    var count = 0
    RawDocuments.forEach(in: bytes) { raw in
      guard count < options.batchSize else { return }
      end += raw.count
      count += 1
    }
    return (UnsafeRawBufferPointer(rebasing: bytes[..<end]), Int64(count))
  }

  private func send(_ part: UnsafeRawBufferPointer, _ count: Int64, _ item: LoadItem) throws
    -> Outcome
  {
    let target = item.targetData
    var mayRepeat = true
    while true {
      do throws(MongoError) {
        _ = try client.insertRaw(
          database: target.database, collection: target.collection, documents: part,
          ordered: item.isOrdered(options),
          // The validator of a bucket collection guards the format itself.
          bypassDocumentValidation: options.bypassesValidation && !target.isBuckets,
          writeConcern: options.writeConcern)
        return Outcome(inserted: count)
      } catch {
        if mayRepeat, target.isBuckets, isMixedSchema(error) {
          mayRepeat = false
          try allowMixedSchema(item)
          continue
        }
        guard error.kind == .writeErrors else {
          var error = error
          error.hint = error.hint ?? ServerTrouble.hint(error.code)
          throw error
        }
        if let trouble = error.writeErrors.first(where: { ServerTrouble.codes.contains($0.code) }) {
          throw ServerTrouble.error(trouble, of: error, item)
        }
        let failed = try account(error, part, item)
        let inserted = error.reply?["n"]?.integerValue ?? count - failed
        // In order, the documents behind the first failure were not tried.
        return Outcome(inserted: inserted, failed: count - inserted)
      }
    }
  }

  /// Tells of each refused document; returns how many.
  private func account(_ error: MongoError, _ part: UnsafeRawBufferPointer, _ item: LoadItem) throws
    -> Int64
  {
    var failures: [Int: MongoError.WriteError] = [:]
    for failure in error.writeErrors { failures[failure.index] = failure }
    var index = 0
    RawDocuments.forEach(in: part) { raw in
      if let failure = failures[index] {
        options.failed?(
          FailedDocument(
            namespace: item.target, id: Self.id(raw), code: failure.code,
            message: failure.message))
      }
      index += 1
    }
    if options.stopsOnError || options.maintainsInsertionOrder {
      throw DumpError(
        .partial, "a document was refused and the load was to stop at the first one",
        namespace: item.target.description, cause: error)
    }
    return Int64(failures.count)
  }

  static func id(_ raw: UnsafeRawBufferPointer) -> Value? {
    guard let element = try? DocumentView(raw).first("_id") else { return nil }
    return try? element.value()
  }

  private func check(_ batch: LoadBatch, _ item: LoadItem) throws {
    try RawDocuments.forEach(in: batch.bytes) { raw in
      do { try DocumentView(raw).validate(strict: false) } catch {
        throw DumpError(
          .damaged, "a document is not BSON", namespace: item.source.description, cause: error)
      }
    }
  }

  // MARK: - Time-series

  /// 408: buckets that hold one field with several types.
  private func isMixedSchema(_ error: MongoError) -> Bool {
    error.code == 408 || error.writeErrors.contains { $0.code == 408 }
  }

  private func allowMixedSchema(_ item: LoadItem) throws(MongoError) {
    _ = try client.run(
      [
        "collMod": .string(item.target.collection),
        "timeseriesBucketsMayHaveMixedSchemaData": true,
      ], on: item.target.database, options: CommandOptions(writeConcern: options.writeConcern))
  }

  // MARK: - Timestamps

  /// A top-level Timestamp(0,0) becomes the time of the insert: it is put back afterwards.
  ///
  /// By a pipeline, which keeps the order of the fields and takes any field name.
  /// - Source: experiments.md 9.
  private func keepZeroTimestamps(_ batch: LoadBatch, _ item: LoadItem) throws {
    guard !item.targetData.isBuckets else { return }
    try RawDocuments.forEach(in: batch.bytes) { raw in
      guard ZeroTimestamp.isIn(raw) else { return }
      let document = try Document(bytes: [UInt8](raw))
      guard let id = document["_id"] else { return }
      let update: Document = [
        "q": ["_id": id], "u": [["$replaceWith": ["$literal": .document(document)]]],
      ]
      _ = try client.database(item.target.database).update(
        item.target.collection, [update],
        options: CommandOptions(writeConcern: options.writeConcern))
    }
  }
}

/// Looks for Timestamp(0,0) among a document's own fields.
enum ZeroTimestamp {
  /// Steps over the elements by their lengths; false for anything malformed, which is the server's to
  /// refuse.
  static func isIn(_ raw: UnsafeRawBufferPointer) -> Bool {
    // The eight zero bytes are rare enough to look for the type first.
    guard raw.contains(BSONType.timestamp.rawValue) else { return false }
    guard var iterator = try? DocumentView(raw).makeIterator() else { return false }
    while let element = try? iterator.next() {
      if element.type == .timestamp, element.valueBytes.allSatisfy({ $0 == 0 }),
        !element.isNamed("_id")
      {
        return true
      }
    }
    return false
  }
}
