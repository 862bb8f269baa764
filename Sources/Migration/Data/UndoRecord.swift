internal import BSON

/// One document of the undo collection: what a chunk did, and what its documents were before.
///
///     { _id: { s: step, u: statement, n: number }, kind, ns, state, fields?, entries: [
///         { i: _id, p: fields or document before, h: hash after } ], next? }
///
/// A document before the change that does not fit lies in pieces in documents whose `_id` has a
/// further field `b`; the entry then has their number as `b` in place of `p`.
struct UndoRecord {
  enum Kind: String, Sendable {
    /// Touched fields or whole documents, and the hash after.
    case update
    /// Only the hash after.
    case insert
    /// Whole documents.
    case delete
  }

  enum State: String, Sendable {
    /// Written before the change, on a server without transactions.
    case pending
    case done
    /// Being taken back, on a server without transactions.
    case undoing
    /// Taken back; the entries are those left alone.
    case undone
  }

  struct Entry {
    let id: RawValue
    /// Bytes of a document, empty for an insert.
    var before: [UInt8] = []
    /// Empty while unknown, and for a delete.
    var hash: [UInt8] = []
    /// The change left the document as it was.
    var unchanged = false

    /// Roughly what it takes in a record.
    var size: Int { id.bytes.count + before.count + 64 }
  }

  let step: Int
  let statement: Int
  let number: Int
  let kind: Kind
  let collection: String
  let touched: Touched
  var state: State
  var entries: [Entry]
  /// The checkpoint that follows, on a server without transactions.
  var next: StepState?

  /// More is split; a stored document may have 16 MiB.
  static let maximumBytes = 12 << 20
  /// A piece of a document that is too large for a record.
  static let pieceBytes = 8 << 20

  var id: Value { Self.id(step, statement, number) }

  static func id(_ step: Int, _ statement: Int, _ number: Int) -> Value {
    ["s": .integer(step), "u": .integer(statement), "n": .integer(number)]
  }

  /// Selects everything kept for a step but its checkpoint.
  static func range(step: Int) -> Document {
    ["_id": ["$gte": ["s": .integer(step)], "$lt": ["s": .integer(step + 1)]]]
  }

  /// The same without the pieces and the records that are taken back.
  static func open(step: Int) -> Document {
    var filter = range(step: step)
    filter.append("state", ["$in": ["pending", "done", "undoing"]])
    return filter
  }

  /// Selects the pieces of this record.
  var piecesFilter: Document {
    guard case .document(var upper) = id else { return [:] }
    upper.append("b", .maxKey)
    return ["_id": ["$gt": id, "$lte": .document(upper)]]
  }

  /// The record, and the documents that hold pieces of it, which are written first.
  func encoded() throws(BSONError) -> (record: Document, pieces: [Document]) {
    var pieces: [Document] = []
    var writer = RawWriter(capacity: entries.reduce(512) { $0 + $1.size })
    writer.append("_id", id)
    writer.append("kind", .string(kind.rawValue))
    writer.append("ns", .string(collection))
    writer.append("state", .string(state.rawValue))
    if case .fields(let names) = touched {
      writer.append("fields", .array(names.map { .string($0) }))
    }
    writer.array("entries") { writer in
      for (index, entry) in entries.enumerated() {
        writer.document(String(index)) { writer in
          writer.append("i", entry.id)
          if entry.before.count > Self.maximumBytes {
            let made = self.pieces(of: entry.before, from: pieces.count)
            writer.append("b", ["from": .integer(pieces.count), "count": .integer(made.count)])
            pieces += made
          } else if kind != .insert {
            writer.append("p", document: entry.before)
          }
          if !entry.hash.isEmpty { writer.append("h", .binary(Binary(bytes: entry.hash))) }
        }
      }
    }
    if let next { writer.append("next", .document(try next.encoded())) }
    return (try writer.finish(), pieces)
  }

  private func pieces(of bytes: [UInt8], from first: Int) -> [Document] {
    stride(from: 0, to: bytes.count, by: Self.pieceBytes).enumerated().map { index, start in
      let end = min(start + Self.pieceBytes, bytes.count)
      var id: Document = id.documentValue ?? [:]
      id.append("b", .integer(first + index))
      return [
        "_id": .document(id), "data": .binary(Binary(bytes: Array(bytes[start..<end]))),
      ]
    }
  }
}

extension UndoRecord {
  /// Reads a record; `piece` gives the data of a piece by its number.
  /// - Returns: nil when it is not one of ours.
  init?(_ document: Document, piece: (Int) throws -> [UInt8]?) throws {
    guard let id = document["_id"]?.documentValue, let step = id["s"]?.integerValue,
      let statement = id["u"]?.integerValue, let number = id["n"]?.integerValue,
      let kind = document["kind"]?.stringValue.flatMap(Kind.init),
      let state = document["state"]?.stringValue.flatMap(State.init),
      let collection = document["ns"]?.stringValue
    else { return nil }
    self.step = Int(step)
    self.statement = Int(statement)
    self.number = Int(number)
    self.kind = kind
    self.state = state
    self.collection = collection
    touched =
      document["fields"]?.arrayValue.map { .fields($0.compactMap(\.stringValue)) } ?? .whole
    next = document["next"]?.documentValue.flatMap { StepState($0) }
    entries = []
    let read: [Entry]? = try document.withView { view in
      guard let array = try view.first("entries")?.nested() else { return nil }
      var result: [Entry] = []
      var iterator = array.makeIterator()
      while let element = try iterator.next() {
        guard let fields = try element.nested(), let entry = try Self.entry(fields, piece) else {
          return nil
        }
        result.append(entry)
      }
      return result
    }
    guard let read else { return nil }
    entries = read
  }

  private static func entry(
    _ fields: DocumentView, _ piece: (Int) throws -> [UInt8]?
  ) throws -> Entry? {
    guard let id = try fields.first("i") else { return nil }
    var entry = Entry(id: RawValue(id))
    if let before = try fields.first("p")?.nested() {
      entry.before = [UInt8](before.bytes)
    } else if let place = try fields.first("b")?.value().documentValue,
      let from = place["from"]?.integerValue, let count = place["count"]?.integerValue
    {
      for number in from..<from + max(0, count) {
        guard let data = try piece(Int(number)) else { return nil }
        entry.before += data
      }
    }
    if let hash = try fields.first("h")?.value().binaryValue { entry.hash = hash.stored }
    return entry
  }
}
