/// What a migration is called: a number that orders and a name, `002_two_factor`.
public struct MigrationID: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The file's name without its ending; the name in the ledger.
  public let stem: String
  /// The digits before the first underscore without leading zeros; any length, so that times fit.
  public let number: String

  /// Takes a stem apart; nil unless it is digits, an underscore and a name of letters, digits,
  /// `_`, `-` and `.`.
  public init?(_ stem: String) {
    let bytes = Array(stem.utf8)
    let digits = bytes.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
    let rest = bytes.dropFirst(digits.count)
    guard !digits.isEmpty, rest.first == UInt8(ascii: "_"), rest.count > 1,
      rest.allSatisfy(Self.isNameByte)
    else { return nil }
    self.stem = stem
    let significant = digits.drop { $0 == UInt8(ascii: "0") }
    number = significant.isEmpty ? "0" : String(decoding: significant, as: UTF8.self)
  }

  /// The stem.
  public var description: String { stem }

  /// By number, then by stem.
  public static func < (a: Self, b: Self) -> Bool {
    if a.number != b.number {
      let (x, y) = (a.number.utf8.count, b.number.utf8.count)
      return x == y ? a.number < b.number : x < y
    }
    return a.stem < b.stem
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "-"),
      UInt8(ascii: "."):
      true
    default: false
    }
  }
}
