import BSON
import Testing

struct Decimal128Tests {
  @Test(
    "text is read and written in its shortest scientific form",
    arguments: [
      ("0", "0"), ("-0.00", "-0.00"), ("007.50", "7.50"), ("+1e3", "1E+3"), (".5", "0.5"),
      ("5.", "5"), ("0.0000001", "1E-7"), ("0.000001", "0.000001"), ("12E-8", "1.2E-7"),
      ("iNf", "Infinity"), ("-infinity", "-Infinity"), ("nan", "NaN"),
      ("9999999999999999999999999999999999E+6111", "9.999999999999999999999999999999999E+6144"),
      ("1E+6144", "1.000000000000000000000000000000000E+6144"),
      ("0E+9999999999999999999", "0E+6111"),
      ("1E-6176", "1E-6176"), ("10E-6177", "1E-6176"), ("0E-99999", "0E-6176"),
      ("12345678901234567890123456789012340", "1.234567890123456789012345678901234E+34"),
    ])
  func text(_ input: String, _ output: String) {
    #expect(Decimal128(input)?.description == output)
  }

  @Test(
    "text that is no decimal, or that would have to be rounded, is refused",
    arguments: [
      "", "-", ".", "e1", "1e", "1e+", "1 ", " 1", "1.2.3", "0x1", "infinit", "1E+6145", "1E-6177",
      "12345678901234567890123456789012345", "1e99999999999999999999", "１",
    ])
  func refused(_ input: String) {
    #expect(Decimal128(input) == nil)
  }

  @Test("every significand and exponent bit pattern has a text that reads as the same number")
  func patterns() {
    for shift in 0..<64 {
      for low in [UInt64(0), 1, .max] {
        let decimal = Decimal128(high: 1 << UInt64(shift) | 0x3040 << 48, low: low)
        let again = Decimal128(decimal.description)
        #expect(again.map { Value.canonicalOrder(.decimal128($0), .decimal128(decimal)) } == 0)
      }
    }
  }
}
