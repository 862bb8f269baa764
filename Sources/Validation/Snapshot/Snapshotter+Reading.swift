internal import BSON
internal import Fingerprint
internal import MongoDB

/// One cursor in the collection's own order: as fast as the server gives documents away.
extension Snapshotter {
  /// Where a run that was cut off stood in a collection.
  private struct Stand {
    var pass: Pass
    /// What the server gave for going on; of this member only.
    var token: Document
    /// `_id` of the last document that was counted.
    var last: Value
    /// It was read at the moment of the snapshot.
    var isOfMoment: Bool
  }

  /// - Parameter identity: of the collection, for a run that goes on.
  mutating func read(_ collection: String, _ identity: Value = .null) throws -> Pass {
    context.current = ("snapshot", collection)
    try context.checkTime()
    let stand = stand(collection, identity)
    guard isOneMoment else {
      return try read(collection, identity, context.drain, stand?.isOfMoment == false ? stand : nil)
    }
    var options = context.drain
    var concern: Document = ["level": "snapshot"]
    if let time { concern.append("atClusterTime", .timestamp(time)) }
    options.readConcern = concern
    do {
      return try read(collection, identity, options, stand?.isOfMoment == true ? stand : nil)
    } catch let error as MongoError where Self.isGone(error) {
      // A capped collection, or a time that the server no longer keeps.
      isOneMoment = false
      reason =
        [72, 115, 167].contains(error.code) || error.message.contains("capped")
        ? "\(collection) cannot be read as it was at a moment"
        : "the server no longer had the moment at which it began "
          + "(minSnapshotHistoryWindowInSeconds)"
      keepMoment()
      if stand != nil { context.note("\(collection) is read anew: \(reason).") }
      return try read(collection, identity, context.drain, nil)
    }
  }

  /// How many documents a time-series has: what is read of it are buckets, which hold many.
  func documents(of series: String) throws -> Int64 {
    try context.checkTime()
    var options = context.scan
    guard isOneMoment, let time else {
      return try context.database.count(series, command: options)
    }
    options.readConcern = ["level": "snapshot", "atClusterTime": .timestamp(time)]
    do {
      return try context.database.count(series, command: options)
    } catch {
      guard Self.isGone(error) else { throw error }
      return try context.database.count(series, command: context.scan)
    }
  }

  /// InvalidOptions, OptionNotSupportedOnView, SnapshotTooOld, SnapshotUnavailable, ….
  private static func isGone(_ error: MongoError) -> Bool {
    error.kind == .server && [72, 115, 167, 239, 246].contains(error.code)
  }

  private mutating func read(
    _ collection: String, _ identity: Value, _ options: CommandOptions, _ stand: Stand?
  ) throws -> Pass {
    let total = try context.database.estimatedCount(collection)
    var stand = stand
    if let found = stand, try !isThere(found, collection, options) { stand = nil }
    let cursor = try context.database.find(
      collection, options: scanOptions(after: stand?.token), command: options)
    if time == nil, let moment = cursor.atClusterTime {
      time = moment
      keepMoment()
    }
    var pass = stand?.pass ?? Pass()
    if stand != nil { context.wentOn(after: pass.tally.count, "documents") }
    let isSmall = total <= 10_000
    while true {
      var last: Value?
      let batch: Void? = try cursor.nextBatch { raw in
        var end: UnsafeRawBufferPointer?
        try raw.visit { document in
          pass.tally.add(document: document)
          if isSmall || pass.tally.count & 15 == 0 {
            try pass.names.inspect(document, evidenceRows: context.options.evidenceRows)
          }
          end = document
        }
        if canGoOn, let end { last = try DocumentView(end).first("_id")?.value() }
      }
      guard batch != nil else { return pass }
      if let last, let token = cursor.resumeToken {
        keep(
          Stand(pass: pass, token: token, last: last, isOfMoment: options.readConcern != nil),
          collection, identity)
      }
      context.report(done: pass.tally.count, total: total)
      try context.checkTime()
    }
  }

  // MARK: - going on

  /// Positions are those of one member: the primary, as which the state was kept.
  private var canGoOn: Bool {
    if case .sharded = context.server.topology { return false }
    return context.state != nil && context.options.readPreference == .primary
      && context.server.version >= ServerVersion(4, 4)
  }

  private func scanOptions(after token: Document?) -> Document {
    guard canGoOn else { return [:] }
    var options: Document = ["hint": ["$natural": 1], "$_requestResumeToken": true]
    if let token { options.append("$_resumeAfter", .document(token)) }
    return options
  }

  /// Whether the last document still lies where it did: it may have been deleted, and after a resync the
  /// member has other positions.
  private func isThere(
    _ stand: Stand, _ collection: String, _ options: CommandOptions
  ) throws -> Bool {
    let found = try context.database.findOne(
      collection, filter: ["_id": ["$eq": stand.last]],
      options: ["projection": ["_id": 1], "showRecordId": true], command: options)
    guard let now = found?["$recordId"], let then = stand.token["$recordId"] else { return false }
    return Loose.equal(now, then)
  }

  private func stand(_ collection: String, _ identity: Value) -> Stand? {
    guard canGoOn, let slice = context.state?.slice(of: "snapshot of \(collection)"),
      slice["uuid"] == identity, let token = slice["token"]?.documentValue,
      let last = slice["last"],
      let fingerprint = slice["fingerprint"]?.stringValue.flatMap({ Fingerprint($0) })
    else { return nil }
    var pass = Pass()
    pass.tally.count = slice["count"]?.integerValue ?? 0
    pass.tally.bytes = slice["bytes"]?.integerValue ?? 0
    pass.tally.fingerprint = fingerprint
    pass.names.inspected = slice["inspected"]?.integerValue ?? 0
    pass.names.odd = slice["odd"]?.integerValue ?? 0
    pass.names.ids = slice["oddIDs"]?.arrayValue ?? []
    return Stand(
      pass: pass, token: token, last: last, isOfMoment: slice["isOfMoment"]?.boolValue ?? false)
  }

  private func keep(_ stand: Stand, _ collection: String, _ identity: Value) {
    let pass = stand.pass
    context.state?.keep(
      slice: [
        "uuid": identity, "token": .document(stand.token), "last": stand.last,
        "isOfMoment": .bool(stand.isOfMoment), "count": .integer(pass.tally.count),
        "bytes": .integer(pass.tally.bytes),
        "fingerprint": .string(pass.tally.fingerprint.description),
        "inspected": .integer(pass.names.inspected), "odd": .integer(pass.names.odd),
        "oddIDs": .array(pass.names.ids),
      ], of: "snapshot of \(collection)")
  }
}
