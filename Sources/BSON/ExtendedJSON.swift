/// MongoDB Extended JSON version 2, and the older forms that dumps of old tools hold.
///
/// - Source: the Extended JSON specification of MongoDB's drivers.
public enum ExtendedJSON {
  /// How much of a value's type the text keeps.
  public enum Format: Sendable, Hashable {
    /// Every type kept.
    case canonical
    /// Numbers and dates as people write them; int64 and double may come back as another type.
    case relaxed
  }

  // MARK: - Reading

  /// Parses one value; a type wrapper may stand alone.
  ///
  /// Canonical, relaxed and legacy forms are told apart by themselves. Names may repeat.
  /// - Throws: ``BSONError`` `.invalidJSON`, `.tooDeep` or `.tooLarge`.
  public static func parse(_ text: String) throws(BSONError) -> Value {
    try value(of: JSON.parse(text))
  }

  /// Parses one value from UTF-8 bytes; a type wrapper may stand alone.
  /// - Throws: ``BSONError`` `.invalidJSON`, `.tooDeep` or `.tooLarge`.
  public static func parse(utf8 bytes: UnsafeRawBufferPointer) throws(BSONError) -> Value {
    try value(of: JSON.parse(utf8: bytes))
  }

  /// Parses an object as a document; its own `$` names are names, those inside it may be wrappers.
  /// - Throws: ``BSONError`` `.invalidJSON`, `.tooDeep` or `.tooLarge`.
  public static func parseDocument(_ text: String) throws(BSONError) -> Document {
    try document(of: JSON.parse(text))
  }

  /// Parses an object from UTF-8 bytes as a document.
  /// - Throws: ``BSONError`` `.invalidJSON`, `.tooDeep` or `.tooLarge`.
  public static func parseDocument(utf8 bytes: UnsafeRawBufferPointer) throws(BSONError)
    -> Document
  {
    try document(of: JSON.parse(utf8: bytes))
  }

  /// Parses an object from UTF-8 bytes as a document.
  /// - Throws: ``BSONError`` `.invalidJSON`, `.tooDeep` or `.tooLarge`.
  public static func parseDocument(utf8 bytes: [UInt8]) throws(BSONError) -> Document {
    let result = bytes.withUnsafeBytes { raw in
      Result { () throws(BSONError) in try parseDocument(utf8: raw) }
    }
    return try result.get()
  }

  /// The value that parsed JSON stands for.
  /// - Throws: ``BSONError`` `.invalidJSON`, `.tooDeep` or `.tooLarge`.
  public static func value(of json: JSON) throws(BSONError) -> Value {
    var builder = JSONBuilder()
    return try builder.value(json)
  }

  /// The document that a parsed object stands for; its own `$` names are names.
  /// - Throws: ``BSONError`` `.invalidJSON`, `.tooDeep` or `.tooLarge`.
  public static func document(of json: JSON) throws(BSONError) -> Document {
    guard case .object(let members) = json else {
      throw BSONError(.invalidJSON, "a JSON object was expected")
    }
    var builder = JSONBuilder()
    return try builder.document(members)
  }

  // MARK: - Writing

  /// The text of a value. `indent` is the number of spaces a level; nil writes one line without any.
  public static func text(_ value: Value, _ format: Format, indent: Int? = nil) -> String {
    var holder = Document()
    holder.append("", value)
    return text(of: holder, format, indent) { writer, view throws(BSONError) in
      var iterator = view.makeIterator()
      if let element = try iterator.next() { try writer.value(element, depth: 0) }
    }
  }

  /// The text of a document. `indent` is the number of spaces a level; nil writes one line without any.
  public static func text(_ document: Document, _ format: Format, indent: Int? = nil) -> String {
    text(of: document, format, indent) { writer, view throws(BSONError) in
      try writer.document(view, depth: 0)
    }
  }

  /// Appends a borrowed document as text, byte for byte as mongodump writes it in canonical format.
  /// - Throws: ``BSONError`` when the bytes are not BSON; `out` then holds the text up to there.
  public static func write(
    _ view: DocumentView, _ format: Format, indent: Int? = nil, to out: inout [UInt8]
  ) throws(BSONError) {
    var writer = ExtendedJSONWriter(
      format: format, indent: indent, depthLimit: DocumentView.maximumDepth)
    swap(&writer.out, &out)
    defer { swap(&writer.out, &out) }
    try writer.document(view, depth: 0)
  }

  private static func text(
    of document: Document, _ format: Format, _ indent: Int?,
    _ body: (inout ExtendedJSONWriter, DocumentView) throws(BSONError) -> Void
  ) -> String {
    var writer = ExtendedJSONWriter(format: format, indent: indent, depthLimit: Int.max)
    // A document's bytes were checked when it was made: nothing is thrown.
    document.withView { try? body(&writer, $0) }
    return String(decoding: writer.out, as: UTF8.self)
  }
}

extension Document {
  /// The text of this document. `indent` is the number of spaces a level; nil writes one line.
  public func extendedJSON(_ format: ExtendedJSON.Format, indent: Int? = nil) -> String {
    ExtendedJSON.text(self, format, indent: indent)
  }
}
