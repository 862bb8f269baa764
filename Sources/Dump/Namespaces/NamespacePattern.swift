/// A pattern of `--nsInclude` and `--nsExclude`, matched against the whole `database.collection`.
///
/// `*` is any run of characters, `\*` and `\\` are literal, any other backslash is dropped, `$` is
/// refused. - Source: archive-format.md 4.3.
public struct NamespacePattern: Sendable, Hashable {
  /// The pattern as it was given.
  public let text: String
  /// The literal pieces between the stars.
  private let pieces: [[UInt8]]

  /// - Throws: ``DumpError`` `.usage` for a `$`.
  public init(_ text: String) throws(DumpError) {
    guard !text.utf8.contains(UInt8(ascii: "$")) else {
      throw DumpError(
        .usage, "'$' is not allowed in the namespace pattern '\(text)'",
        hint: "use '*' for any run of characters")
    }
    self.text = text
    pieces = Self.pieces(of: text)
  }

  /// The pattern that matches exactly `text`, stars included.
  public static func escape(_ text: String) -> String {
    var out = ""
    for character in text {
      if character == "*" || character == "\\" { out.append("\\") }
      out.append(character)
    }
    return out
  }

  /// True when the whole of `text` matches.
  public func matches(_ text: String) -> Bool {
    LazyMatch.captures(of: text.utf8, between: pieces) != nil
  }

  /// True when the namespace matches under the name that users know.
  public func matches(_ namespace: Namespace) -> Bool { matches(namespace.logical.description) }

  static func pieces(of text: String) -> [[UInt8]] {
    var pieces: [[UInt8]] = [[]]
    var escaped = false
    for byte in text.utf8 {
      if escaped {
        pieces[pieces.count - 1].append(byte)
        escaped = false
      } else if byte == UInt8(ascii: "\\") {
        escaped = true
      } else if byte == UInt8(ascii: "*") {
        pieces.append([])
      } else {
        pieces[pieces.count - 1].append(byte)
      }
    }
    return pieces
  }
}

/// Matches literal pieces with gaps between them, each gap as short as possible, both ends anchored.
enum LazyMatch {
  /// What the gaps hold, or nil when the text does not match.
  ///
  /// The leftmost place for each piece leaves the most room for the rest, so there is no need to go
  /// back: only the last piece is tied, to the end.
  static func captures(of input: some Sequence<UInt8>, between pieces: [[UInt8]]) -> [[UInt8]]? {
    let text = Array(input)
    guard let first = pieces.first, let last = pieces.last else { return nil }
    guard pieces.count > 1 else { return text == first ? [] : nil }
    guard text.count >= first.count + last.count, text.starts(with: first) else { return nil }
    guard text.suffix(last.count).elementsEqual(last) else { return nil }

    let limit = text.count - last.count
    var captures: [[UInt8]] = []
    var at = first.count
    for piece in pieces.dropFirst().dropLast() {
      guard let found = find(piece, in: text, from: at, to: limit) else { return nil }
      captures.append(Array(text[at..<found]))
      at = found + piece.count
    }
    guard at <= limit else { return nil }
    captures.append(Array(text[at..<limit]))
    return captures
  }

  private static func find(_ piece: [UInt8], in text: [UInt8], from: Int, to limit: Int) -> Int? {
    var at = from
    while at + piece.count <= limit {
      if text[at..<at + piece.count].elementsEqual(piece) { return at }
      at += 1
    }
    return nil
  }
}
