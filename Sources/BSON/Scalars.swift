/// A UTC date: milliseconds since 1970, before it negative.
public struct DateTime: Sendable, Hashable, Comparable {
  /// Milliseconds since 1970-01-01T00:00:00Z.
  public let milliseconds: Int64
  public init(milliseconds: Int64) { self.milliseconds = milliseconds }
  public static func < (a: Self, b: Self) -> Bool { a.milliseconds < b.milliseconds }
}

/// Bytes with a subtype.
public struct Binary: Sendable, Hashable {
  /// The bytes as stored; for subtype 2 they begin with their own length again.
  public let stored: [UInt8]
  /// 0 generic, 2 old generic, 3 old UUID, 4 UUID, 5 MD5, 128 and above user-defined.
  public let subtype: UInt8

  /// Takes the bytes as a document stores them; malformed subtype 2 is kept as it is.
  public init(stored: [UInt8], subtype: UInt8) {
    self.stored = stored
    self.subtype = subtype
  }

  /// Wraps a payload; for subtype 2 the inner length is put before it.
  public init(bytes: [UInt8], subtype: UInt8 = 0) {
    var prefix: [UInt8] = []
    if subtype == 2 { Encoder.append(UInt32(truncatingIfNeeded: bytes.count), to: &prefix) }
    stored = prefix + bytes
    self.subtype = subtype
  }

  /// The bytes without the inner length of subtype 2; nil when that length is not true.
  public var payload: ArraySlice<UInt8>? {
    guard subtype == 2 else { return stored[...] }
    guard stored.count >= 4 else { return nil }
    let length = stored.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
    return length == stored.count - 4 ? stored.dropFirst(4) : nil
  }
}

/// A server-side logical time: seconds since 1970 and an increment.
public struct Timestamp: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// Seconds in the upper half, increment in the lower.
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(seconds: UInt32, increment: UInt32) {
    rawValue = UInt64(seconds) << 32 | UInt64(increment)
  }
  /// Seconds since 1970.
  public var seconds: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
  /// Position within the second.
  public var increment: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  /// `seconds:increment`, as mongorestore's `--oplogLimit` takes it.
  public var description: String { "\(seconds):\(increment)" }
}

/// A pattern with its option letters, both as stored.
public struct RegularExpression: Sendable, Hashable {
  public let pattern: String
  public let options: String
  public init(pattern: String, options: String = "") {
    self.pattern = pattern
    self.options = options
  }

  // String's own equality would take different bytes of one canonical form for the same.
  public static func == (a: Self, b: Self) -> Bool {
    a.pattern.utf8.elementsEqual(b.pattern.utf8) && a.options.utf8.elementsEqual(b.options.utf8)
  }
}

/// The deprecated reference type: a namespace and an id.
public struct DBPointer: Sendable, Hashable {
  public let namespace: String
  public let id: ObjectID
  public init(namespace: String, id: ObjectID) {
    self.namespace = namespace
    self.id = id
  }

  public static func == (a: Self, b: Self) -> Bool {
    a.namespace.utf8.elementsEqual(b.namespace.utf8) && a.id == b.id
  }
}

/// Twelve bytes, shown as 24 lower-case hexadecimal digits.
public struct ObjectID: Sendable, Hashable, Comparable, CustomStringConvertible {
  let high: UInt64
  let low: UInt32

  init(high: UInt64, low: UInt32) {
    self.high = high
    self.low = low
  }

  /// An id of the given parts: seconds since 1970, five random bytes, a counter of three bytes.
  public init(seconds: UInt32, random: UInt64, counter: UInt32) {
    high = UInt64(seconds) << 32 | (random >> 8) & 0xFFFF_FFFF
    low = UInt32(truncatingIfNeeded: random & 0xFF) << 24 | counter & 0xFF_FFFF
  }

  /// Parses 24 hexadecimal digits; nil for anything else.
  public init?(_ hex: String) {
    let digits = Array(hex.utf8)
    guard digits.count == 24, let bytes = Hex.decode(digits) else { return nil }
    high = bytes[0..<8].reduce(0) { $0 << 8 | UInt64($1) }
    low = bytes[8..<12].reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// A new id from the process's clock and the system's random numbers.
  public static func generate(seconds: UInt32) -> ObjectID {
    var random = SystemRandomNumberGenerator()
    let bits = random.next()
    return ObjectID(
      seconds: seconds, random: bits >> 24, counter: UInt32(truncatingIfNeeded: bits & 0xFF_FFFF))
  }

  /// The twelve bytes.
  public var bytes: [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * $0)) }
      + (0..<4).map { UInt8(truncatingIfNeeded: low >> (24 - 8 * $0)) }
  }

  /// Seconds since 1970 at which the id was made, as its maker's clock said.
  public var seconds: UInt32 { UInt32(truncatingIfNeeded: high >> 32) }

  public var description: String { Hex.encode(bytes) }

  public static func < (a: Self, b: Self) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

/// Hexadecimal digits to bytes and back.
public enum Hex {
  /// Lower-case digits, two a byte.
  public static func encode(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var out: [UInt8] = []
    for byte in bytes {
      out.append(digits[Int(byte >> 4)])
      out.append(digits[Int(byte & 15)])
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// The bytes of pairs of digits of either case; nil when something else is in them.
  public static func decode(_ digits: some Collection<UInt8>) -> [UInt8]? {
    guard digits.count % 2 == 0 else { return nil }
    var out: [UInt8] = []
    var high: UInt8?
    for digit in digits {
      guard let value = nibble(digit) else { return nil }
      if let first = high {
        out.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    return out
  }

  static func nibble(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
