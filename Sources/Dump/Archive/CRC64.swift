import CLZMA

/// CRC-64/XZ of a stream, computed in pieces that may be finished in any order.
///
/// - Source: archive-format.md 1.6; the joining is the arithmetic of zlib's `crc32_combine`, with
///   this polynomial.
public struct CRC64: Sendable, Hashable {
  /// The checksum; 0 for no bytes.
  public private(set) var value: UInt64
  /// Bytes that went in.
  public private(set) var length: Int64

  public init() {
    value = 0
    length = 0
  }

  /// Adds bytes at the end.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    value = lzma_crc64(base.assumingMemoryBound(to: UInt8.self), bytes.count, value)
    length += Int64(bytes.count)
  }

  /// Adds what another one has seen, at the end.
  public mutating func append(_ other: CRC64) {
    guard other.length > 0 else { return }
    value = Self.multiply(Self.power(UInt64(other.length)), value) ^ other.value
    length += other.length
  }

  private static let polynomial: UInt64 = 0xC96C_5795_D787_0F42

  /// x^(2^n) modulo the polynomial, bits reflected.
  private static let squares: [UInt64] = {
    var value: UInt64 = 1 << 62
    return (0..<64).map { _ in
      defer { value = multiply(value, value) }
      return value
    }
  }()

  /// x^(8·bytes) modulo the polynomial.
  private static func power(_ bytes: UInt64) -> UInt64 {
    var result: UInt64 = 1 << 63
    var rest = bytes
    var index = 3
    while rest != 0 {
      if rest & 1 == 1 { result = multiply(squares[index & 63], result) }
      rest >>= 1
      index += 1
    }
    return result
  }

  private static func multiply(_ a: UInt64, _ b: UInt64) -> UInt64 {
    var product: UInt64 = 0
    var mask: UInt64 = 1 << 63
    var b = b
    while mask != 0 {
      if a & mask != 0 {
        product ^= b
        if a & (mask &- 1) == 0 { break }
      }
      mask >>= 1
      b = b & 1 == 1 ? (b >> 1) ^ polynomial : b >> 1
    }
    return product
  }
}
