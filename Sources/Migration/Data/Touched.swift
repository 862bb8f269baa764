internal import BSON

/// Which top-level fields an update changes.
enum Touched: Sendable, Hashable {
  case fields([String])
  /// A replacement or a pipeline: nobody can say before it runs.
  case whole

  /// Reads the `u` of an update statement.
  init(update: Value) {
    guard case .document(let document) = update, document.keys.allSatisfy({ $0.hasPrefix("$") }),
      !document.isEmpty
    else {
      self = .whole
      return
    }
    var names: Set<String> = []
    for element in document where element.key != "$setOnInsert" {
      for change in element.value.documentValue ?? [:] {
        names.insert(Self.top(of: change.key))
        if element.key == "$rename", let target = change.value.stringValue {
          names.insert(Self.top(of: target))
        }
      }
    }
    // An _id cannot change.
    names.remove("_id")
    self = .fields(names.sorted())
  }

  /// True when the update has the positional operator, which needs the filter beside the `_id`s.
  static func isPositional(_ update: Value) -> Bool {
    guard case .document(let document) = update else { return false }
    return document.contains { element in
      (element.value.documentValue ?? [:]).keys.contains { path in
        path.split(separator: ".").contains("$")
      }
    }
  }

  private static func top(of path: String) -> String {
    path.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).first.map(
      String.init)
      ?? path
  }

  /// The find options that read just that, and the `_id`.
  var projection: Document {
    guard case .fields(let names) = self else { return [:] }
    var fields: Document = ["_id": 1]
    for name in names { fields.append(name, 1) }
    return ["projection": .document(fields)]
  }

  /// What an undo record keeps of a document.
  func preimage(of view: DocumentView) throws(BSONError) -> [UInt8] {
    guard case .fields = self else { return [UInt8](view.bytes) }
    var writer = RawWriter(capacity: view.bytes.count)
    var iterator = view.makeIterator()
    while let element = try iterator.next() {
      if !element.isNamed("_id") { writer.append(element: element) }
    }
    return writer.finishBytes()
  }

  func hash(of view: DocumentView) throws(BSONError) -> [UInt8] {
    switch self {
    case .fields(let names): try ContentHash.fields(names, of: view)
    case .whole: try ContentHash.whole(view)
    }
  }
}
