import CXXHash

/// A 128-bit fingerprint of a set of documents that does not depend on their order.
///
/// The sum, modulo 2^128, of XXH3-128 over each document's bytes. A sum and not an exclusive or,
/// because two equal documents would cancel out; over whole documents, because the server never moves
/// fields inside one. It finds every kind of loss, doubling and alteration that happens by accident
/// (two different sets agree with probability 2^-128); it is no defence against somebody who
/// constructs documents to that end: the SHA-256 of a backup's files is.
public struct Fingerprint: Sendable, Hashable, CustomStringConvertible {
  /// Upper and lower half of the sum.
  public private(set) var high: UInt64
  public private(set) var low: UInt64

  public init() {
    high = 0
    low = 0
  }

  /// Parses 32 hexadecimal digits; nil for anything else.
  public init?(_ hex: String) {
    guard hex.utf8.count == 32, let low = UInt64(hex.suffix(16), radix: 16),
      let high = UInt64(hex.prefix(16), radix: 16)
    else { return nil }
    self.high = high
    self.low = low
  }

  /// Adds one document's bytes.
  @inline(__always)
  public mutating func add(document bytes: UnsafeRawBufferPointer) {
    let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
    add(high: hash.high64, low: hash.low64)
  }

  /// Adds the documents that another one has seen.
  public mutating func add(_ other: Fingerprint) { add(high: other.high, low: other.low) }

  @inline(__always)
  private mutating func add(high: UInt64, low: UInt64) {
    let (sum, carry) = self.low.addingReportingOverflow(low)
    self.low = sum
    self.high = self.high &+ high &+ (carry ? 1 : 0)
  }

  /// 32 lower-case hexadecimal digits.
  public var description: String { Self.hex(high) + Self.hex(low) }

  private static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// What one collection's documents amount to.
public struct CollectionTally: Sendable, Hashable {
  /// Documents.
  public var count: Int64 = 0
  /// Bytes of BSON, uncompressed.
  public var bytes: Int64 = 0
  /// Order-independent fingerprint of the documents.
  public var fingerprint = Fingerprint()

  public init() {}

  /// Adds one document.
  @inline(__always)
  public mutating func add(document: UnsafeRawBufferPointer) {
    count += 1
    bytes += Int64(document.count)
    fingerprint.add(document: document)
  }

  /// Adds what another tally has seen.
  public mutating func add(_ other: CollectionTally) {
    count += other.count
    bytes += other.bytes
    fingerprint.add(other.fingerprint)
  }
}
