/// An IEEE 754-2008 decimal of 34 digits, kept as its 128 bits.
///
/// Equality and hash are of the bits; ``Value/canonicalOrder(_:_:)`` compares the numbers.
public struct Decimal128: Sendable, Hashable {
  /// Sign, combination field, exponent and the upper digits.
  public let high: UInt64
  /// The lower digits.
  public let low: UInt64
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  static let bias = 6176
  static let largestExponent = 6111
  static let precision = 34
  /// 10^34, one more than the largest significand.
  static let significandLimit: UInt128 = 10_000_000_000_000_000 * 1_000_000_000_000_000_000

  /// What the bits say.
  enum Number: Equatable {
    case notANumber
    case infinite(negative: Bool)
    /// significand times ten to the exponent.
    case finite(negative: Bool, significand: UInt128, exponent: Int)
  }

  var number: Number {
    let negative = high >> 63 == 1
    if high >> 58 & 0x1F == 0x1F { return .notANumber }
    if high >> 58 & 0x1F == 0x1E { return .infinite(negative: negative) }
    if high >> 61 & 3 == 3 {
      // This form has only significands beyond 34 digits, which count as zero.
      return .finite(
        negative: negative, significand: 0, exponent: Int(high >> 47 & 0x3FFF) - Self.bias)
    }
    let significand = UInt128(high & 0x1_FFFF_FFFF_FFFF) << 64 | UInt128(low)
    return .finite(
      negative: negative, significand: significand < Self.significandLimit ? significand : 0,
      exponent: Int(high >> 49 & 0x3FFF) - Self.bias)
  }

  init(negative: Bool, significand: UInt128, exponent: Int) {
    high =
      (negative ? 1 << 63 : 0) | UInt64(exponent + Self.bias) << 49
      | UInt64(truncatingIfNeeded: significand >> 64)
    low = UInt64(truncatingIfNeeded: significand)
  }
}

extension Decimal128: CustomStringConvertible {
  /// The scientific notation of the General Decimal Arithmetic specification: `1.5`, `1E+3`, `NaN`.
  public var description: String {
    switch number {
    case .notANumber: return "NaN"
    case .infinite(let negative): return negative ? "-Infinity" : "Infinity"
    case .finite(let negative, let significand, let exponent):
      return (negative ? "-" : "") + Self.text(String(significand), exponent)
    }
  }

  private static func text(_ digits: String, _ exponent: Int) -> String {
    let adjusted = exponent + digits.count - 1
    if exponent > 0 || adjusted < -6 {
      let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
      return "\(digits.prefix(1))\(fraction)E\(adjusted < 0 ? "-" : "+")\(abs(adjusted))"
    }
    if exponent == 0 { return digits }
    let point = digits.count + exponent
    if point <= 0 { return "0." + String(repeating: "0", count: -point) + digits }
    return "\(digits.prefix(point)).\(digits.dropFirst(point))"
  }

  /// Parses decimal text, `Infinity`, `Inf` or `NaN` in any case; nil for other text, and for numbers
  /// that 34 digits and the exponents -6176...6111 cannot hold exactly.
  public init?(_ text: String) {
    var rest = Array(text.utf8)[...]
    var negative = false
    if let first = rest.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
      negative = first == UInt8(ascii: "-")
      rest.removeFirst()
    }
    switch String(decoding: rest, as: UTF8.self).lowercased() {
    case "nan":
      self.init(high: 0x7C << 56, low: 0)
      return
    case "inf", "infinity":
      self.init(high: (negative ? 0xF8 : 0x78) << 56, low: 0)
      return
    default: break
    }
    guard let (digits, exponent) = Self.digits(rest) else { return nil }
    self.init(negative: negative, digits: digits, exponent: exponent)
  }

  /// Splits `12.5e3` into its significant digits and the exponent of the last one.
  private static func digits(_ text: ArraySlice<UInt8>) -> (digits: [UInt8], exponent: Int)? {
    var digits: [UInt8] = []
    var exponent = 0
    var seen = false
    var point = false
    var at = text.startIndex
    scan: while at < text.endIndex {
      switch text[at] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        seen = true
        let digit = text[at] - UInt8(ascii: "0")
        if digit != 0 || !digits.isEmpty { digits.append(digit) }
        if point { exponent -= 1 }
      case UInt8(ascii: "."):
        if point { return nil }
        point = true
      default: break scan
      }
      at += 1
    }
    guard seen else { return nil }
    guard at < text.endIndex else { return (digits, exponent) }
    guard text[at] == UInt8(ascii: "e") || text[at] == UInt8(ascii: "E") else { return nil }
    var tail = text[(at + 1)...]
    var sign = 1
    if let first = tail.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
      sign = first == UInt8(ascii: "-") ? -1 : 1
      tail.removeFirst()
    }
    guard !tail.isEmpty else { return nil }
    var written = 0
    for byte in tail {
      guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte else { return nil }
      // A longer exponent is out of range whatever the digits before it; the sum must not overflow.
      written = min(written * 10 + Int(byte - UInt8(ascii: "0")), 1 << 40)
    }
    return (digits, exponent + sign * written)
  }

  private init?(negative: Bool, digits: [UInt8], exponent: Int) {
    var digits = digits
    var exponent = exponent
    if digits.isEmpty {
      exponent = min(max(exponent, -Self.bias), Self.largestExponent)
      self.init(negative: negative, significand: 0, exponent: exponent)
      return
    }
    while digits.count > Self.precision || exponent < -Self.bias {
      guard digits.count > 1, digits.last == 0 else { return nil }
      digits.removeLast()
      exponent += 1
    }
    while exponent > Self.largestExponent {
      guard digits.count < Self.precision else { return nil }
      digits.append(0)
      exponent -= 1
    }
    let significand = digits.reduce(UInt128(0)) { $0 * 10 + UInt128($1) }
    self.init(negative: negative, significand: significand, exponent: exponent)
  }
}
