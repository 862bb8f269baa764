internal import BSON
internal import MongoDB

/// A find that reads one index in the order of its values, and how it goes on in the middle.
struct IndexScan {
  /// Reads all of it.
  let find: Document
  private let key: Document
  /// False when the index is read backwards.
  private let isForward: Bool

  init(_ find: Document, _ index: IndexInfo, isForward: Bool = true) {
    self.find = find
    key = index.key
    self.isForward = isForward
  }

  /// Values that the first fields of the index had where a scan stood.
  struct Place {
    /// What lies before is done.
    var at: [Value]
    /// This is done too; nil when nothing is.
    var after: [Value]?
  }

  /// False for text and other indexes whose entries are not the values.
  var canSeek: Bool { key.allSatisfy { $0.value.integerValue != nil } }

  /// The finds that, one after the other, read what is not done. `min` and `max` see every type of
  /// value, which `$gt` does not.
  func commands(from place: Place?) -> [Document] {
    guard let place, canSeek else { return [find] }
    var rest = find
    guard isForward else {
      if let after = place.after { rest.append("max", .document(bound(after))) }
      return [rest]
    }
    rest.append("min", .document(bound(place.at)))
    // An entry of nothing but extremes is never returned once there is a bound.
    var last = find
    last.remove("filter")
    let extremes = Document(
      key.map { ($0.key, ["$eq": Self.isDescending($0) ? .minKey : .maxKey]) })
    last.append("filter", .document(extremes))
    return [rest, last]
  }

  /// The first entry of the index that can have these values.
  private func bound(_ values: [Value]) -> Document {
    Document(
      key.enumerated().map { position, element in
        let first: Value = Self.isDescending(element) ? .maxKey : .minKey
        return (element.key, position < values.count ? values[position] : first)
      })
  }

  private static func isDescending(_ element: Document.Element) -> Bool {
    (element.value.integerValue ?? 1) < 0
  }
}

/// The batches of several finds, one after the other.
final class ScanCursor {
  private let context: CheckContext
  private var commands: ArraySlice<Document>
  private var cursor: Cursor?

  init(_ context: CheckContext, _ commands: [Document]) {
    self.context = context
    self.commands = commands[...]
  }

  /// Lends the next batch; nil at the end.
  func nextBatch(_ body: (RawBatch) throws -> Void) throws -> Void? {
    while true {
      if cursor == nil {
        guard let command = commands.popFirst() else { return nil }
        cursor = try context.database.client.cursor(
          command, on: context.database.name, options: context.drain)
      }
      let batch: Void? = try cursor?.nextBatch(body)
      if batch != nil { return batch }
      cursor = nil
    }
  }
}
