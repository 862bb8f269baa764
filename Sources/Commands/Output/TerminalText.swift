extension Unicode.Scalar {
  /// Whether a terminal may act on this instead of showing it: control characters, and the marks that
  /// reverse the direction of text.
  var controlsTerminal: Bool {
    switch value {
    case 0...0x1F, 0x7F...0x9F, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF: true
    default: false
    }
  }

  /// All scalars that control a terminal are in the first plane.
  var fourHexDigits: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }

  /// Columns that this takes in a terminal.
  fileprivate var columns: Int {
    switch properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format, .control: return 0
    default: break
    }
    switch value {
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF,
      0xA000...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
      0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F1E6...0x1F1FF, 0x20000...0x3FFFD:
      return 2
    default:
      return properties.isEmojiPresentation ? 2 : 1
    }
  }
}

extension String {
  /// This text with every character that a terminal would obey written out: a collection can be called
  /// `\u{1b}[2J`.
  var shown: String {
    guard unicodeScalars.contains(where: \.controlsTerminal) else { return self }
    var out = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.controlsTerminal: out += "\\u" + scalar.fourHexDigits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  /// The same for text of several lines: line feeds stay.
  var shownLines: String {
    split(separator: "\n", omittingEmptySubsequences: false).map { String($0).shown }
      .joined(separator: "\n")
  }

  /// Columns that this takes in a terminal.
  var columns: Int {
    // The scalar view is enough for almost all names; clusters decide only where one is joined.
    if utf8.allSatisfy({ $0 < 0x80 }) { return utf8.count }
    return reduce(0) { sum, character in
      let widths = character.unicodeScalars.map(\.columns)
      let isEmoji = character.unicodeScalars.contains { $0.value == 0xFE0F }
      return sum + (isEmoji ? 2 : widths.max() ?? 0)
    }
  }

  func padded(to width: Int, right: Bool = false) -> String {
    let fill = String(repeating: " ", count: max(0, width - columns))
    return right ? fill + self : self + fill
  }

  /// At most `width` columns, with an ellipsis where something was cut.
  func cut(to width: Int) -> String {
    guard columns > width, width > 0 else { return self }
    var out = ""
    var used = 0
    for character in self {
      let next = String(character).columns
      if used + next > width - 1 { break }
      out.append(character)
      used += next
    }
    return out + "…"
  }
}
