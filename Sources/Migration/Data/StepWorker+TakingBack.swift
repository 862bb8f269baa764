internal import BSON
internal import MongoDB

/// How a record is taken back.
struct TakingBack {
  /// The run before died while it took this record back without a transaction.
  var resumed = false
  /// Documents that a unique index refused.
  var refused: Set<RawValue> = []
  /// Documents with equal pre-images are restored by one statement.
  var groups = true
  /// Legacy documents that fail the validator come back too; needs a privilege.
  var bypassesValidation = true
  /// The documents of each statement of the last write, for finding a refused one.
  var attempted: [[RawValue]] = []

  /// Takes a refusal by a unique index into account; false when that cannot be.
  mutating func learn(from error: MongoError) -> Bool {
    if error.kind == .privilege, bypassesValidation {
      bypassesValidation = false
      return true
    }
    guard error.isDuplicateKey, let index = error.writeErrors.first?.index,
      attempted.indices.contains(index)
    else { return false }
    if attempted[index].count > 1 {
      groups = false
    } else {
      refused.formUnion(attempted[index])
    }
    return true
  }
}

/// What became of a record.
struct TakenBack {
  var restored = 0
  /// The entries left alone.
  var left: [(entry: UndoRecord.Entry, reason: UndoOutcome.Reason)] = []
}

extension StepWorker {
  /// Restores the documents of a record that are as the step left them.
  func takeBack(_ record: UndoRecord, _ way: inout TakingBack) throws -> TakenBack {
    way.attempted = []
    switch record.kind {
    case .update: return try takeBackUpdate(record, &way)
    case .insert: return try takeBackInsert(record, way)
    case .delete: return try takeBackDelete(record, &way)
    }
  }

  private func takeBackUpdate(
    _ record: UndoRecord, _ way: inout TakingBack
  ) throws -> TakenBack {
    var now = record.entries
    for index in now.indices { now[index].hash = [] }
    try readBack(&now, of: record.collection, record.touched)
    var result = TakenBack()
    var restored: [UndoRecord.Entry] = []
    // In reverse, so that values of a unique index are freed in the order they were taken.
    for (entry, current) in zip(record.entries, now).reversed() {
      if way.refused.contains(entry.id) {
        result.left.append((entry, .existing))
      } else if current.hash.isEmpty {
        result.left.append((entry, .gone))
      } else if current.unchanged, way.resumed || record.state == .pending {
        result.restored += 1
      } else if record.state == .pending || current.hash == entry.hash {
        restored.append(entry)
      } else {
        result.left.append((entry, .changed))
      }
    }
    try restore(restored, record, &way)
    result.restored += restored.count
    return result
  }

  private func restore(
    _ entries: [UndoRecord.Entry], _ record: UndoRecord, _ way: inout TakingBack
  ) throws {
    guard !entries.isEmpty else { return }
    var statements: [Document] = []
    var places: [[UInt8]: Int] = [:]
    var groups: [(before: [UInt8], ids: [RawValue])] = []
    for entry in entries {
      if way.groups, record.touched != .whole, let place = places[entry.before] {
        groups[place].ids.append(entry.id)
      } else {
        places[entry.before] = groups.count
        groups.append((entry.before, [entry.id]))
      }
    }
    for group in groups {
      statements.append([
        "q": .document(try Self.filter(group.ids)),
        "u": try Self.restoring(group.before, record.touched), "multi": true,
      ])
    }
    way.attempted = groups.map(\.ids)
    _ = try run(writing("update", "updates", statements, record.collection, way))
  }

  /// The update that puts fields, or a whole document, back. As a literal in a pipeline a document
  /// keeps zero timestamps and field names that a replacement would refuse.
  private static func restoring(_ before: [UInt8], _ touched: Touched) throws -> Value {
    let document = try Document(bytes: before)
    guard case .fields(let names) = touched else {
      return [["$replaceWith": ["$literal": .document(document)]]]
    }
    var set = Document()
    var unset = Document()
    for name in names {
      document.withView { view in
        if let element = try? view.first(name) {
          set.append(raw: element)
        } else {
          unset.append(name, "")
        }
      }
    }
    var change = Document()
    if !set.isEmpty { change.append("$set", .document(set)) }
    if !unset.isEmpty { change.append("$unset", .document(unset)) }
    return .document(change)
  }

  private func takeBackInsert(_ record: UndoRecord, _ way: TakingBack) throws -> TakenBack {
    var result = TakenBack()
    var hashes: [RawValue: [UInt8]] = [:]
    try documents(record.entries.map(\.id), of: record.collection, .whole) { id, view in
      hashes[id] = try ContentHash.whole(view)
    }
    var deleted: [RawValue] = []
    for entry in record.entries {
      switch hashes[entry.id] {
      case nil where record.state == .pending: break
      case nil where way.resumed: result.restored += 1
      case nil: result.left.append((entry, .gone))
      case entry.hash: deleted.append(entry.id)
      case .some where entry.hash.isEmpty: deleted.append(entry.id)
      default: result.left.append((entry, .changed))
      }
    }
    if !deleted.isEmpty {
      let statement: Document = ["q": .document(try Self.filter(deleted)), "limit": 0]
      _ = try run([
        "delete": .string(record.collection), "deletes": [.document(statement)],
      ])
    }
    result.restored += deleted.count
    return result
  }

  private func takeBackDelete(_ record: UndoRecord, _ way: inout TakingBack) throws -> TakenBack {
    var now = record.entries
    try readBack(&now, of: record.collection, .whole)
    var result = TakenBack()
    var missing: [(id: RawValue, document: Document)] = []
    for (entry, current) in zip(record.entries, now) {
      if way.refused.contains(entry.id) {
        result.left.append((entry, .existing))
      } else if current.hash.isEmpty {
        missing.append((entry.id, try Document(bytes: entry.before)))
      } else if current.unchanged, way.resumed || record.state == .pending {
        result.restored += 1
      } else {
        result.left.append((entry, .existing))
      }
    }
    result.restored += missing.count
    guard !missing.isEmpty else { return result }
    way.attempted = missing.map { [$0.id] }
    let documents = missing.map(\.document)
    _ = try run(writing("insert", "documents", documents, record.collection, way))
    let stamped = missing.filter { $0.document.hasZeroTimestamp }
    if !stamped.isEmpty {
      let statements = try stamped.map { id, document -> Document in
        let zero = document.filteringElements { $0.isZeroTimestamp && !$0.isNamed("_id") }
        return ["q": .document(try Self.filter([id])), "u": ["$set": .document(zero)]]
      }
      way.attempted = []
      _ = try run(writing("update", "updates", statements, record.collection, way))
    }
    return result
  }

  private func writing(
    _ verb: String, _ list: String, _ parts: [Document], _ collection: String, _ way: TakingBack
  ) -> Document {
    var command: Document = [
      verb: .string(collection), list: .array(parts.map { .document($0) }),
    ]
    if way.bypassesValidation { command.append("bypassDocumentValidation", true) }
    return command
  }
}

extension Document {
  /// True with a top-level Timestamp(0,0), which an insert replaces by the server's time.
  var hasZeroTimestamp: Bool {
    withView { view in
      var iterator = view.makeIterator()
      while let element = try? iterator.next() {
        if element.isZeroTimestamp, !element.isNamed("_id") { return true }
      }
      return false
    }
  }
}

extension ElementView {
  var isZeroTimestamp: Bool { type == .timestamp && valueBytes.allSatisfy { $0 == 0 } }
}
