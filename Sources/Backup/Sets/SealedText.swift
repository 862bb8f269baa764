internal import BSON
internal import Crypto

/// JSON whose last member is the SHA-256 of all that stands before it.
///
/// A manifest tells whether the files are whole; this tells whether the manifest is. The bytes are
/// compared, not what they mean, so that no version's way of writing JSON matters.
enum SealedText {
  private static let mark = ",\n  \"checksum\": \"sha256:"
  private static let end = "\"\n}\n"

  static func seal(_ document: Document) -> [UInt8] {
    var text = ExtendedJSON.text(document, .relaxed, indent: 2)
    while let last = text.last, last == "}" || last.isWhitespace {
      text.removeLast()
      if last == "}" { break }
    }
    while text.last?.isWhitespace == true { text.removeLast() }
    return Array((text + mark + hash(text.utf8) + end).utf8)
  }

  /// - Throws: ``BackupError`` `.damaged`.
  static func open(_ bytes: [UInt8], path: String) throws(BackupError) -> Document {
    let suffix = mark.utf8.count + 64 + end.utf8.count
    guard bytes.count > suffix else {
      throw BackupError(.damaged, "the file is cut", offset: Int64(bytes.count), path: path)
    }
    let body = bytes.dropLast(suffix)
    guard bytes.suffix(suffix).elementsEqual((mark + hash(body) + end).utf8) else {
      throw BackupError(.damaged, "the file was altered or cut: its checksum differs", path: path)
    }
    do { return try ExtendedJSON.parseDocument(utf8: bytes) } catch {
      throw BackupError(.damaged, "the file is not JSON", path: path, cause: error)
    }
  }

  private static func hash(_ bytes: some Collection<UInt8>) -> String {
    Hex.encode(SHA256.hash(data: Array(bytes)))
  }
}
