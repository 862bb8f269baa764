internal import BSON
internal import Dump
internal import MongoDB

/// Adds to a safety backup what was written to the replaced collections after it and before the swap,
/// so that no write is lost where collections cannot be exchanged.
///
/// The oplog tells them by the UUID of the collection that was replaced, also inside transactions.
/// - Source: consistency.md, "Restore beside, verify, swap".
struct LateWrites {
  private static let stem = "late-writes"

  let client: Client
  let store: any Store
  let options: RestoreOptions

  /// Whether this user may read the oplog, and there is one.
  func isPossible() -> Bool {
    let entry = try? client.database("local").findOne(
      "oplog.rs", options: ["sort": ["$natural": -1], "projection": ["ts": 1]])
    return entry?.has("ts") == true
  }

  /// Whether what was written since a safety backup can still be collected.
  func reaches(_ id: String) throws -> Bool {
    guard isPossible(), let start = try Catalog(store).set(id)?.manifest?.consistency?.replayStart
    else { return false }
    return try ReplicaSet.oldestEntry(client).map { $0 <= start } ?? false
  }

  /// Collects the entries and puts them into the set. A second time does it anew. Blocks.
  ///
  /// The set is whole at every moment: it has the file of before until its manifest names the new one.
  ///
  /// - Parameter replaced: UUIDs of the collections that are gone.
  /// - Returns: how many entries.
  /// - Throws: ``BackupError`` `.gap` when the oplog does not reach back to the safety backup any more.
  func add(to id: String, replaced: Set<Binary>) throws -> Int64 {
    guard !replaced.isEmpty, let set = try Catalog(store).set(id), var manifest = set.manifest,
      let consistency = manifest.consistency, let start = consistency.replayStart
    else { return 0 }
    // Its manifest is written anew: somebody who removed it meanwhile would leave a manifest and no data.
    let use = try StoreUse(store, sets: [id], purpose: "restore")
    defer { use.end() }
    try reach(back: start)
    // A fuzzy set needs its own oplog too; replayed are either the set's entries or these.
    let whole = consistency.time == nil ? consistency.oplogEnd : nil
    var found: Int64 = 0
    var backup = options.safety
    backup.cancellation = Cancellation()
    let writer = SetWriter(store: store, id: id, options: backup)
    let before = manifest.files.filter { $0.role == .lateWrites }.map(\.name)
    let file = try writer.file(
      Self.stem(not: before), .lateWrites, compresses: true, isCompressed: true
    ) { sink in
      let cursor = try entries(from: start, isInclusive: consistency.includesReplayStart)
      while let entry = try cursor.next() {
        guard let time = entry["ts"]?.timestampValue else { continue }
        var kept: Document?
        if let whole, time <= whole {
          kept = entry
        } else {
          kept = Self.filtered(entry, replaced)
          // Those up to a snapshot are parts of transactions that end later.
          let isLate = consistency.time.map { time > $0 } ?? true
          if let kept, isLate, !Self.isEnd(kept) { found += 1 }
        }
        if let kept { try kept.bytes.withUnsafeBytes { try sink.write($0) } }
      }
    }
    guard found > 0 else {
      try? store.delete(id + "/" + file.name)
      return 0
    }
    // Of a run that died before its manifest.
    let strays = try store.list(id, recursively: false).map(\.name).filter { name in
      name.hasPrefix("\(id)/\(Self.stem)") && !before.contains { name == "\(id)/\($0)" }
        && name != "\(id)/\(file.name)"
    }
    manifest.files.removeAll { $0.role == .lateWrites }
    manifest.files.append(file)
    let notice = " entries of the oplog complete it up to the swap"
    manifest.notices.removeAll { $0.hasSuffix(notice) }
    manifest.notices.append("\(found)" + notice)
    try store.put(id + "/" + Manifest.name, bytes: SealedText.seal(manifest.document))
    try? store.delete(all: before.map { "\(id)/\($0)" } + strays)
    return found
  }

  /// A name that no file of the set has.
  private static func stem(not taken: [String]) -> String {
    for number in 1... {
      let stem = number == 1 ? "\(stem).bson" : "\(stem)-\(number).bson"
      if !taken.contains(where: { $0.hasPrefix(stem) }) { return stem }
    }
    return stem
  }

  /// One file of entries, for a restore of such a set.
  static func source(_ set: BackupSet, _ store: any Store, _ options: RestoreOptions) throws
    -> ReplaySource?
  {
    guard let file = set.manifest?.files.first(where: { $0.role == .lateWrites }) else {
      return nil
    }
    let place = ReplaySource(folder: try WorkFolder(in: options.workFolder))
    do {
      let sink = try OutputFile(path: place.path)
      var source: any ByteSource = try store.get(set.id + "/" + file.name)
      if file.isEncrypted { source = try options.age.decrypting(source) }
      try Transfer.all(GzipSource(source), to: sink) { try options.cancellation.check() }
      try sink.commit()
      return place
    } catch {
      place.remove()
      throw error
    }
  }

  // MARK: - Entries

  private func reach(back start: Timestamp) throws {
    guard let time = try ReplicaSet.oldestEntry(client), time <= start else {
      throw BackupError(
        .gap,
        "the oplog rolled over since the safety backup: what was written since cannot be collected",
        hint: "make the oplog larger (replSetResizeOplog)")
    }
  }

  private func entries(from start: Timestamp, isInclusive: Bool) throws -> Cursor {
    try client.database("local").find(
      "oplog.rs",
      filter: ["ts": isInclusive ? ["$gte": .timestamp(start)] : ["$gt": .timestamp(start)]],
      // All that the swaps have seen is committed by a majority: they waited for it.
      command: CommandOptions(readConcern: ["level": "majority"]))
  }

  /// Commit and abort of a transaction: kept in case one of its parts is, and no write by itself.
  private static func isEnd(_ entry: Document) -> Bool {
    let object = entry["o"]?.documentValue
    if object?.has("commitTransaction") == true || object?.has("abortTransaction") == true {
      return true
    }
    return object?["applyOps"]?.arrayValue?.isEmpty == true
  }

  static func filtered(_ entry: Document, _ replaced: Set<Binary>) -> Document? {
    guard let object = entry["o"]?.documentValue else { return nil }
    if let operations = object["applyOps"]?.arrayValue {
      let kept = operations.filter { operation in
        operation.documentValue?["ui"]?.binaryValue.map(replaced.contains) == true
      }
      let isPart =
        object["partialTxn"]?.isTruthy == true || object["prepare"]?.isTruthy == true
        || entry["prevOpTime"]?.documentValue?["ts"]?.timestampValue.map { $0.rawValue != 0 }
          == true
      guard !kept.isEmpty || isPart else { return nil }
      var changed = object
      changed["applyOps"] = .array(kept)
      var out = entry
      out["o"] = .document(changed)
      return out
    }
    if object.has("commitTransaction") || object.has("abortTransaction") { return entry }
    guard entry["ui"]?.binaryValue.map(replaced.contains) == true else { return nil }
    let isOurSwap = object.has("renameCollection") || object.has("drop")
    return entry["op"]?.stringValue == "c" && isOurSwap ? nil : entry
  }
}
