internal import BSON

/// How a folder dump turns collection names into file names. - Source: archive-format.md 2.2.
public enum FileNames {
  /// Longer escaped names are cut, so that the longest extension still fits into 255 bytes.
  static let longest = 238
  private static let kept = 208
  private static let mark = "%24"

  /// The file name without extension.
  public static func escape(_ collection: String) -> String {
    let escaped = queryEscape(collection)
    guard escaped.utf8.count > longest else { return escaped }
    let start = String(decoding: escaped.utf8.prefix(kept), as: UTF8.self)
    return start + mark + digest(of: collection)
  }

  /// The collection that a file name stands for; `known` is the name in the metadata file.
  ///
  /// A cut name can only be told from the metadata, whose name must give the same file name.
  /// - Throws: ``DumpError`` `.damaged`.
  public static func collection(of stem: String, known: String?) throws(DumpError) -> String {
    if isCut(stem) {
      guard let known else {
        throw DumpError(
          .damaged, "a shortened file name without a metadata file that says the collection's name")
      }
      guard escape(known) == stem else {
        throw DumpError(.damaged, "the metadata file's collection name is not the file's")
      }
      return known
    }
    guard let name = queryUnescape(stem) else {
      throw DumpError(.damaged, "a file name with a broken '%' escape")
    }
    return name
  }

  static func isCut(_ stem: String) -> Bool {
    let bytes = Array(stem.utf8)
    return bytes.count == longest && bytes[kept..<kept + 3].elementsEqual(mark.utf8)
  }

  private static func digest(of name: String) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    let bytes = SHA1.hash(Array(name.utf8))
    var out: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
      for place in 0...group.count { out.append(alphabet[bits >> (18 - 6 * place) & 63]) }
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func queryEscape(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var out: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
        UInt8(ascii: "."), UInt8(ascii: "~"):
        out.append(byte)
      case UInt8(ascii: " "): out.append(UInt8(ascii: "+"))
      default: out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func queryUnescape(_ text: String) -> String? {
    let bytes = Array(text.utf8)
    var out: [UInt8] = []
    var at = 0
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "+"): out.append(UInt8(ascii: " "))
      case UInt8(ascii: "%"):
        guard at + 2 < bytes.count, let byte = Hex.decode(bytes[at + 1...at + 2])?.first
        else { return nil }
        out.append(byte)
        at += 2
      default: out.append(bytes[at])
      }
      at += 1
    }
    return String(validating: out, as: UTF8.self)
  }
}
