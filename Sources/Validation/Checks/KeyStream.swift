internal import BSON
internal import MongoDB

/// The values of one field of a collection in index order, from a covered index scan.
///
/// Constant memory: one batch, packed, is kept. The values are pulled one by one.
struct KeyStream {
  private let cursor: ScanCursor
  private let reader: KeyReader
  private var packed: [UInt8] = []
  private var offset = 0

  /// Documents of a batch: large enough to make round trips cheap, less than 1 MB of keys.
  static let batchSize = 20_000

  init(cursor: ScanCursor, path: String) {
    self.cursor = cursor
    reader = KeyReader(path: path)
  }

  /// The find that reads only the index.
  static func find(_ collection: String, _ path: String, index: String) -> Document {
    [
      "find": .string(collection), "filter": [:], "hint": .string(index), "sort": [path: 1],
      "projection": path == "_id" ? ["_id": 1] : [path: 1, "_id": 0],
      "batchSize": .integer(batchSize),
    ]
  }

  /// Moves to the first value at or after the wanted one; calls `body` with how it compares:
  /// 0 when equal, 1 when it is beyond, nil at the end.
  mutating func advance(to key: Key) throws -> Int? {
    while try fill() {
      let end = offset + length
      let order = try packed.withUnsafeBytes { bytes in
        let document = UnsafeRawBufferPointer(rebasing: bytes[offset..<end])
        return try reader.read(document).map { try Key.order($0, key) } ?? -1
      }
      if order >= 0 { return order }
      offset = end
    }
    return nil
  }

  private var length: Int {
    packed.withUnsafeBytes {
      Int(Int32(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
    }
  }

  private mutating func fill() throws -> Bool {
    while offset >= packed.count {
      var batch: [UInt8] = packed
      batch.removeAll(keepingCapacity: true)
      packed = []
      let more: Void? = try cursor.nextBatch { raw in
        try raw.visit { batch.append(contentsOf: $0) }
      }
      packed = batch
      offset = 0
      if more == nil { return false }
    }
    return true
  }
}

/// A value as it lies in a batch.
struct Key {
  let element: ElementView
  /// The bytes of an ObjectId, read without walking the document.
  let objectID: UnsafeRawBufferPointer?

  var type: BSONType { element.type }

  /// As the server sorts.
  @inline(__always)
  static func order(_ a: Key, _ b: Key) throws -> Int {
    if let x = a.objectID, let y = b.objectID {
      let (high, other) = (word(x), word(y))
      if high != other { return high < other ? -1 : 1 }
      let (low, rest) = (half(x), half(y))
      return low == rest ? 0 : low < rest ? -1 : 1
    }
    return try a.element.compare(b.element)
  }

  @inline(__always)
  private static func word(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
  }

  @inline(__always)
  private static func half(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
  }
}

/// Finds a field in the small documents of a covered scan.
struct KeyReader {
  private let path: [String]

  init(path: String) { self.path = path.split(separator: ".").map(String.init) }

  /// The value at the path, or nil when it is missing.
  @inline(__always)
  func read(_ document: UnsafeRawBufferPointer) throws -> Key? {
    var iterator = try DocumentView(document).makeIterator()
    // A covered document has one field; deeper ones repeat that.
    guard var element = try iterator.next() else { return nil }
    for name in path.dropFirst() {
      guard let inner = try element.nested(), let next = try inner.first(name) else { return nil }
      element = next
    }
    return Key(element: element, objectID: element.type == .objectID ? element.valueBytes : nil)
  }
}
