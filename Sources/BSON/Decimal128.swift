/// An IEEE 754-2008 decimal of 34 digits, kept as its 128 bits.
public struct Decimal128: Sendable, Hashable {
  /// Sign, combination field, exponent and the upper digits.
  public let high: UInt64
  /// The lower digits.
  public let low: UInt64
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }
}
