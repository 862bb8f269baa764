/// A number of any type as its exact decimal digits, for comparison across types.
struct ExactNumber {
  private enum Size: Int { case notANumber, negativeInfinity, finite, infinity }

  private let size: Size
  private var negative = false
  /// Without zeros at either end; empty is zero.
  private var digits: [UInt8] = []
  /// The number is 0.digits times ten to this.
  private var point = 0

  /// Negative, zero or positive; NaN sorts before all numbers and with itself, -0 with 0.
  static func compare(_ a: Value, _ b: Value) -> Int {
    switch (a, b) {
    case (.int32(let x), .int32(let y)): return x < y ? -1 : x == y ? 0 : 1
    case (.int32(let x), .int64(let y)): return Int64(x) < y ? -1 : Int64(x) == y ? 0 : 1
    case (.int64(let x), .int32(let y)): return x < Int64(y) ? -1 : x == Int64(y) ? 0 : 1
    case (.int64(let x), .int64(let y)): return x < y ? -1 : x == y ? 0 : 1
    case (.double(let x), .double(let y)) where !x.isNaN && !y.isNaN:
      return x < y ? -1 : x == y ? 0 : 1
    case (.int32(let x), .double(let y)) where !y.isNaN:
      return Double(x) < y ? -1 : Double(x) == y ? 0 : 1
    case (.double(let x), .int32(let y)) where !x.isNaN:
      return x < Double(y) ? -1 : x == Double(y) ? 0 : 1
    default: return ExactNumber(a).compare(ExactNumber(b))
    }
  }

  private init(size: Size) { self.size = size }

  private init(_ value: Value) {
    switch value {
    case .int32(let x): self.init(negative: x < 0, String(x.magnitude), exponent: 0)
    case .int64(let x): self.init(negative: x < 0, String(x.magnitude), exponent: 0)
    case .double(let x): self.init(x)
    case .decimal128(let x):
      switch x.number {
      case .notANumber: self.init(size: .notANumber)
      case .infinite(let negative): self.init(size: negative ? .negativeInfinity : .infinity)
      case .finite(let negative, let significand, let exponent):
        self.init(negative: negative, String(significand), exponent: exponent)
      }
    default: self.init(size: .notANumber)
    }
  }

  private init(_ x: Double) {
    guard x.isFinite else {
      self.init(size: x.isNaN ? .notANumber : x < 0 ? .negativeInfinity : .infinity)
      return
    }
    guard x != 0 else {
      self.init(negative: false, "", exponent: 0)
      return
    }
    // x is an integer of 53 bits times a power of two; a negative power 2^-k is 5^k * 10^-k.
    let stored = Int(x.exponentBitPattern)
    let fraction = x.significandBitPattern
    let bits = stored == 0 ? fraction : fraction | 1 << 52
    let power = max(stored, 1) - 1075
    var big: [UInt32] = []
    var rest = bits
    while rest > 0 {
      big.append(UInt32(rest % 1_000_000_000))
      rest /= 1_000_000_000
    }
    for _ in 0..<abs(power) { Self.multiply(&big, by: power < 0 ? 5 : 2) }
    var text = ""
    for (index, limb) in big.reversed().enumerated() {
      let part = String(limb)
      text += (index == 0 ? "" : String(repeating: "0", count: 9 - part.count)) + part
    }
    self.init(negative: x < 0, text, exponent: min(power, 0))
  }

  private init(negative: Bool, _ text: String, exponent: Int) {
    size = .finite
    let significant = text.utf8.drop { $0 == UInt8(ascii: "0") }
    digits = Array(significant)
    point = digits.count + exponent
    while digits.last == UInt8(ascii: "0") { digits.removeLast() }
    self.negative = negative && !digits.isEmpty
  }

  private static func multiply(_ big: inout [UInt32], by factor: UInt64) {
    var carry: UInt64 = 0
    for i in big.indices {
      let product = UInt64(big[i]) * factor + carry
      big[i] = UInt32(product % 1_000_000_000)
      carry = product / 1_000_000_000
    }
    if carry > 0 { big.append(UInt32(carry)) }
  }

  private func compare(_ other: ExactNumber) -> Int {
    guard size == other.size else { return size.rawValue < other.size.rawValue ? -1 : 1 }
    guard size == .finite else { return 0 }
    guard negative == other.negative else { return negative ? -1 : 1 }
    let magnitudes = compareMagnitude(other)
    return negative ? -magnitudes : magnitudes
  }

  private func compareMagnitude(_ other: ExactNumber) -> Int {
    guard !digits.isEmpty, !other.digits.isEmpty else {
      return digits.count == other.digits.count ? 0 : digits.isEmpty ? -1 : 1
    }
    guard point == other.point else { return point < other.point ? -1 : 1 }
    for (x, y) in zip(digits, other.digits) where x != y { return x < y ? -1 : 1 }
    // Neither ends in zeros, so the longer one is larger.
    let (a, b) = (digits.count, other.digits.count)
    return a == b ? 0 : a < b ? -1 : 1
  }
}
