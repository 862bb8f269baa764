/// Base64 of RFC 4648 with padding.
enum Base64 {
  private static let alphabet = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// Appends the digits for `bytes`.
  static func encode(_ bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    var at = 0
    while at < bytes.count {
      let left = min(3, bytes.count - at)
      var group = 0
      for i in 0..<3 { group = group << 8 | (i < left ? Int(bytes[at + i]) : 0) }
      for i in 0..<4 {
        out.append(i <= left ? alphabet[group >> (18 - 6 * i) & 63] : UInt8(ascii: "="))
      }
      at += left
    }
  }

  /// The bytes, or nil for anything that ``encode(_:to:)`` would not have written.
  static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
    guard text.count % 4 == 0 else { return nil }
    var out: [UInt8] = []
    out.reserveCapacity(text.count / 4 * 3)
    var group = 0
    var bits = 0
    var padding = 0
    for digit in text {
      if digit == UInt8(ascii: "=") {
        padding += 1
        continue
      }
      guard padding == 0, let value = value(of: digit) else { return nil }
      group = (group << 6 | value) & 0xFFF
      bits += 6
      if bits >= 8 {
        bits -= 8
        out.append(UInt8(truncatingIfNeeded: group >> bits))
      }
    }
    // Four digits make whole bytes; three leave two bits and one pad, two leave four and two.
    guard bits == padding * 2, bits <= 4, group & ((1 << bits) - 1) == 0 else { return nil }
    return out
  }

  private static func value(of digit: UInt8) -> Int? {
    switch digit {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): Int(digit) - 65
    case UInt8(ascii: "a")...UInt8(ascii: "z"): Int(digit) - 71
    case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(digit) + 4
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
