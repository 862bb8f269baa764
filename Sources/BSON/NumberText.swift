/// How numbers are spelled in Extended JSON.
enum NumberText {
  /// A double in the fewest digits that name it, always with a point or an exponent.
  ///
  /// - Parameter plainBelow: the power of ten from which an exponent is written. 6 is what mongodump
  ///   does.
  /// - Source: Go's `FormatFloat(x, 'G', -1, 64)`, which mongodump follows with `.0` after a bare
  ///   integer.
  static func double(_ x: Double, plainBelow: Int = 6) -> String {
    if x.isNaN { return "NaN" }
    if x.isInfinite { return x < 0 ? "-Infinity" : "Infinity" }
    let sign = x.sign == .minus ? "-" : ""
    if x == 0 { return sign + "0.0" }
    let (digits, point) = shortest(x.magnitude)
    let exponent = point - 1
    if exponent < -4 || exponent >= plainBelow {
      let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
      let size = String(abs(exponent))
      let padded = size.count < 2 ? "0" + size : size
      return "\(sign)\(digits.prefix(1))\(fraction)E\(exponent < 0 ? "-" : "+")\(padded)"
    }
    if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
    if point >= digits.count {
      return sign + digits + String(repeating: "0", count: point - digits.count) + ".0"
    }
    return "\(sign)\(digits.prefix(point)).\(digits.dropFirst(point))"
  }

  /// The digits d and the place p of the point so that x is 0.d times ten to the p.
  private static func shortest(_ x: Double) -> (digits: String, point: Int) {
    let parts = x.description.split(separator: "e")
    let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
    let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    let whole = mantissa[0]
    let all = whole + (mantissa.count > 1 ? mantissa[1] : "")
    let leading = all.prefix { $0 == "0" }.count
    var digits = all.dropFirst(leading)
    while digits.last == "0" { digits.removeLast() }
    return (String(digits), whole.count - leading + exponent)
  }

  /// An optional minus and digits, nothing else.
  static func isInteger(_ text: String) -> Bool {
    let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
    return !digits.isEmpty && digits.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
  }

  /// The double that text of digits, point and exponent names; nil for other text and beyond range.
  static func parseDouble(_ text: String) -> Double? {
    switch text {
    case "NaN": return .nan
    case "Infinity": return .infinity
    case "-Infinity": return -.infinity
    default: break
    }
    // Swift would also read hexadecimal, "inf" and "nan(…)".
    guard
      text.utf8.allSatisfy({ byte in
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"),
          UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
          true
        default: false
        }
      }), let value = Double(text), value.isFinite
    else { return nil }
    return value
  }
}
