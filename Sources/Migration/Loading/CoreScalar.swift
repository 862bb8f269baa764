import BSON

/// Plain scalars as the core schema of YAML 1.2 reads them: `no`, `on`, `1_000` and `2026-01-01`
/// stay strings.
/// - Source: YAML 1.2.2, section 10.3.2.
enum CoreScalar {
  /// The value of a plain scalar; nil for an integer that 64 bits do not hold.
  static func value(_ text: String) -> Value? {
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE": return true
    case "false", "False", "FALSE": return false
    case ".nan", ".NaN", ".NAN": return .double(.nan)
    case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .double(.infinity)
    case "-.inf", "-.Inf", "-.INF": return .double(-.infinity)
    default: break
    }
    guard let first = text.utf8.first, first < 0x3A, first >= 0x2B else { return .string(text) }
    if isInteger(text) { return Int64(text).map { .integer($0) } }
    if text.hasPrefix("0o") { return radix(text, 8) }
    if text.hasPrefix("0x") { return radix(text, 16) }
    if isFloat(text), let double = Double(text) { return .double(double) }
    return .string(text)
  }

  static func isInteger(_ text: String) -> Bool {
    let digits = unsigned(text.utf8)
    return !digits.isEmpty && digits.allSatisfy(isDigit)
  }

  private static func radix(_ text: String, _ radix: Int) -> Value? {
    let digits = text.dropFirst(2)
    let valid = digits.utf8.allSatisfy { byte in
      radix == 8 ? isDigit(byte) && byte < 0x38 : Character(UnicodeScalar(byte)).isHexDigit
    }
    guard valid, !digits.isEmpty else { return .string(text) }
    return Int64(digits, radix: radix).map { .integer($0) }
  }

  /// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
  static func isFloat(_ text: String) -> Bool {
    var rest = unsigned(text.utf8)
    let whole = rest.prefix(while: isDigit)
    rest = rest.dropFirst(whole.count)
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      let fraction = rest.prefix(while: isDigit)
      if whole.isEmpty && fraction.isEmpty { return false }
      rest = rest.dropFirst(fraction.count)
    } else if whole.isEmpty {
      return false
    }
    guard let mark = rest.first else { return true }
    guard mark == UInt8(ascii: "e") || mark == UInt8(ascii: "E") else { return false }
    let exponent = unsigned(rest.dropFirst())
    return !exponent.isEmpty && exponent.allSatisfy(isDigit)
  }

  private static func unsigned(_ bytes: some Collection<UInt8>) -> ArraySlice<UInt8> {
    let all = Array(bytes)
    let signed = all.first == UInt8(ascii: "-") || all.first == UInt8(ascii: "+")
    return signed ? all.dropFirst() : all[...]
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
}
