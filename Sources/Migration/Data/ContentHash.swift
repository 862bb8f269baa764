internal import BSON
internal import Crypto

/// What an undo record remembers of a document after the change: 16 bytes of SHA-256.
///
/// The order of top-level fields does not count: taking back an `$unset` puts the field last.
enum ContentHash {
  static let length = 16

  /// Over those fields; a missing one is marked.
  static func fields(_ names: [String], of view: DocumentView) throws(BSONError) -> [UInt8] {
    var hash = SHA256()
    for name in names {
      var found = false
      var iterator = view.makeIterator()
      while let element = try iterator.next() {
        guard element.isNamed(name) else { continue }
        found = true
        hash.update(bufferPointer: element.bytes)
      }
      // No element has a type byte of zero.
      if !found { hash.update(data: [0] + Array(name.utf8) + [0]) }
    }
    return Array(hash.finalize().prefix(length))
  }

  /// Over every field.
  static func whole(_ view: DocumentView) throws(BSONError) -> [UInt8] {
    var elements: [UnsafeRawBufferPointer] = []
    var iterator = view.makeIterator()
    while let element = try iterator.next() { elements.append(element.bytes) }
    elements.sort { $0.lexicographicallyPrecedes($1) }
    var hash = SHA256()
    for element in elements { hash.update(bufferPointer: element) }
    return Array(hash.finalize().prefix(length))
  }

  static func whole(_ document: Document) -> [UInt8] {
    (try? document.withView { try whole($0) }) ?? []
  }
}
