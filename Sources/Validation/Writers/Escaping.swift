extension String {
  /// This text where markup stands: harmless in HTML and XML, in elements and in quoted attributes.
  ///
  /// Characters that XML 1.0 cannot hold, and marks that reverse the direction of text, are shown as
  /// U+FFFD.
  var escaped: String {
    var out = ""
    out.reserveCapacity(utf8.count)
    for scalar in unicodeScalars {
      switch scalar {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "\"": out += "&quot;"
      case "'": out += "&#39;"
      case "\n", "\t": out.unicodeScalars.append(scalar)
      case _ where scalar.isUnfitForMarkup: out += "\u{FFFD}"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  /// This text on one line of a terminal, control characters as U+FFFD.
  var harmless: String {
    guard unicodeScalars.contains(where: { $0.isUnfitForMarkup || $0 == "\n" || $0 == "\t" }) else {
      return self
    }
    var out = ""
    for scalar in unicodeScalars {
      let space = scalar == "\n" || scalar == "\t"
      out.unicodeScalars.append(space ? " " : scalar.isUnfitForMarkup ? "\u{FFFD}" : scalar)
    }
    return out
  }
}

extension Unicode.Scalar {
  var isUnfitForMarkup: Bool {
    switch value {
    case 0...8, 0xB...0x1F, 0x7F...0x9F, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF,
      0xFFFE...0xFFFF:
      true
    default: false
    }
  }
}
