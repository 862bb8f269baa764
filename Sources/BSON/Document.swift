/// A document that owns its bytes; elements keep their order, names may repeat.
///
/// The bytes are structurally valid BSON from the moment it exists, so reading cannot fail.
public struct Document: Sendable, Hashable {
  /// The encoded document, length field and terminator included.
  public private(set) var bytes: [UInt8]

  /// The empty document.
  public init() { bytes = [5, 0, 0, 0, 0] }

  /// Takes over encoded bytes after checking their structure, nested documents included.
  /// - Throws: ``BSONError``.
  public init(bytes: [UInt8]) throws(BSONError) {
    do {
      try bytes.withUnsafeBytes { try DocumentView($0).validate() }
    } catch let error as BSONError { throw error } catch {
      throw BSONError(.invalidValue, "unreadable bytes")
    }
    self.bytes = bytes
  }

  /// Copies a borrowed document after checking its structure.
  /// - Throws: ``BSONError``.
  public init(copying view: DocumentView) throws(BSONError) {
    try self.init(copying: view, depth: 0)
  }

  init(copying view: DocumentView, depth: Int) throws(BSONError) {
    try view.validate(depth: depth)
    bytes = [UInt8](view.bytes)
  }

  /// Bytes that this module has just built.
  init(trusted bytes: [UInt8]) { self.bytes = bytes }

  /// Lends the bytes for reading without a copy.
  public func withView<R>(_ body: (DocumentView) throws -> R) rethrows -> R {
    try bytes.withUnsafeBytes { try body(DocumentView(trusted: $0)) }
  }

  /// True without elements.
  public var isEmpty: Bool { bytes.count == 5 }

  /// The number of elements; walks the document.
  public var count: Int {
    var count = 0
    forEachView { _ in count += 1 }
    return count
  }

  /// The names in order.
  public var keys: [String] {
    var keys: [String] = []
    forEachView { keys.append($0.key) }
    return keys
  }

  private func forEachView(_ body: (ElementView) -> Void) {
    withView { view in
      var iterator = view.makeIterator()
      while let element = try? iterator.next() { body(element) }
    }
  }

  /// The first value named `key`; setting replaces it in place or appends, nil removes it.
  public subscript(key: String) -> Value? {
    get {
      withView { view in
        guard let element = try? view.first(key) else { return nil }
        return try? element.trustedValue()
      }
    }
    set {
      guard let newValue else { return remove(key) }
      set(key, newValue)
    }
  }

  /// True when an element is named `key`.
  public func has(_ key: String) -> Bool {
    withView { view in (try? view.first(key)) != nil }
  }

  /// Adds an element at the end, whether or not the name is there already.
  ///
  /// BSON cannot say a zero byte in a name or a regular expression: they end before it.
  public mutating func append(_ key: String, _ value: Value) {
    bytes.removeLast()
    Encoder.append(key: key, value: value, to: &bytes)
    close()
  }

  /// Adds a borrowed element at the end, byte for byte.
  public mutating func append(raw element: ElementView) {
    bytes.removeLast()
    bytes.append(contentsOf: element.bytes)
    close()
  }

  /// Adds every element of another document at the end.
  public mutating func append(contentsOf other: Document) {
    bytes.removeLast()
    bytes.append(contentsOf: other.bytes.dropFirst(4).dropLast())
    close()
  }

  /// Removes every element named `key`.
  public mutating func remove(_ key: String) {
    guard has(key) else { return }
    self = filteringElements { !$0.isNamed(key) }
  }

  /// The same document with the elements that `keep` accepts, byte for byte.
  public func filteringElements(_ keep: (ElementView) -> Bool) -> Document {
    var result = Document()
    forEachView { if keep($0) { result.append(raw: $0) } }
    return result
  }

  private mutating func set(_ key: String, _ value: Value) {
    guard has(key) else { return append(key, value) }
    var result = Document()
    var done = false
    forEachView { element in
      if !done, element.isNamed(key) {
        result.append(key, value)
        done = true
      } else {
        result.append(raw: element)
      }
    }
    self = result
  }

  private mutating func close() {
    bytes.append(0)
    precondition(
      bytes.count <= Int(Int32.max), "a document grew past what its length field can say")
    Encoder.patchLength(&bytes, at: 0)
  }
}

extension Document: Sequence {
  /// A name and its value.
  public struct Element: Sendable, Hashable {
    public let key: String
    public let value: Value
  }

  /// Decodes one element at a time.
  public struct Iterator: IteratorProtocol {
    private let document: Document
    private var offset = ElementIterator.start

    init(_ document: Document) { self.document = document }

    public mutating func next() -> Element? {
      document.withView { view in
        var iterator = ElementIterator(view.bytes, from: offset)
        guard let element = try? iterator.next(), let value = try? element.trustedValue() else {
          return nil
        }
        offset = iterator.offset
        return Element(key: element.key, value: value)
      }
    }
  }

  public func makeIterator() -> Iterator { Iterator(self) }
}

extension Document: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, Value)...) {
    self.init()
    for (key, value) in elements { append(key, value) }
  }

  /// A document of the pairs, in their order.
  public init(_ pairs: some Sequence<(String, Value)>) {
    self.init()
    for (key, value) in pairs { append(key, value) }
  }
}
