public import BSON

/// What a dump says of a collection besides its documents. - Source: archive-format.md 2.3.
public struct CollectionMetadata: Sendable, Hashable {
  /// As listCollections gives them; nil when the collection has none.
  public var options: Document?
  /// As listIndexes gives them, in that order; none for a view.
  public var indexes: [Document]
  /// 32 hexadecimal digits; nil for views and time-series.
  public var uuid: String?
  /// The name, unescaped; nil in old dumps.
  public var collectionName: String?
  /// `collection`, `view` or `timeseries`; nil in old dumps.
  public var type: String?

  public init(
    options: Document?, indexes: [Document], uuid: String?, collectionName: String?, type: String?
  ) {
    self.options = options
    self.indexes = indexes
    self.uuid = uuid
    self.collectionName = collectionName
    self.type = type
  }

  /// True for a view.
  public var isView: Bool { type == "view" || options?.has("viewOn") == true }
  /// True for a time-series.
  public var isTimeseries: Bool { type == "timeseries" || options?.has("timeseries") == true }

  /// Parses the text of a metadata file, canonical, relaxed or legacy; empty text has no indexes.
  /// - Throws: ``DumpError`` `.damaged`.
  public init(text: String) throws(DumpError) {
    self.init(options: nil, indexes: [], uuid: nil, collectionName: nil, type: nil)
    guard !text.isEmpty else { return }
    let document: Document
    do { document = try ExtendedJSON.parseDocument(text) } catch {
      throw DumpError(
        .damaged, "a collection's metadata is not Extended JSON", cause: error)
    }
    for element in document {
      switch (element.key, element.value) {
      case ("options", .document(let value)): options = value.isEmpty ? nil : value
      case ("indexes", .array(let value)):
        indexes = value.compactMap(\.documentValue)
        guard indexes.count == value.count else {
          throw DumpError(.damaged, "a collection's metadata lists an index that is no document")
        }
      case ("options", .null), ("indexes", .null): break
      case ("options", _), ("indexes", _):
        throw DumpError(
          .damaged, "a collection's metadata has '\(element.key)' of an unexpected type")
      case ("uuid", .string(let value)): uuid = value.isEmpty ? nil : value
      case ("collectionName", .string(let value)): collectionName = value
      case ("type", .string(let value)): type = value.isEmpty ? nil : value
      default: break
      }
    }
  }

  /// The text exactly as mongodump writes it: canonical, one line, members in its order.
  /// - Throws: ``DumpError`` `.unsupported` when Extended JSON cannot carry the options or indexes:
  ///   keys such as `$date` that are real keys there.
  public func text() throws(DumpError) -> String {
    var out = "{"
    if let options { out += "\"options\":" + ExtendedJSON.text(options, .canonical) + "," }
    out += "\"indexes\":["
    out += indexes.map { ExtendedJSON.text($0, .canonical) }.joined(separator: ",")
    out += "]"
    if let uuid { out += ",\"uuid\":" + Self.quoted(uuid) }
    if let collectionName { out += ",\"collectionName\":" + Self.quoted(collectionName) }
    if let type { out += ",\"type\":" + Self.quoted(type) }
    out += "}"
    guard let again = try? CollectionMetadata(text: out), again == self else {
      throw DumpError(
        .unsupported,
        "the collection's options or indexes have keys that Extended JSON cannot carry",
        namespace: collectionName)
    }
    return out
  }

  private static func quoted(_ text: String) -> String {
    ExtendedJSON.text(.string(text), .canonical)
  }
}
