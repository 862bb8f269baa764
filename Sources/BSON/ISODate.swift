/// Dates of the proleptic Gregorian calendar as text, without time zones' rules.
enum ISODate {
  private static let day: Int64 = 86_400_000

  /// `2012-12-24T12:15:30.501Z`, the fraction left out when it is zero; nil before 1970 and after 9999.
  static func text(_ milliseconds: Int64) -> String? {
    guard milliseconds >= 0, milliseconds < 253_402_300_800_000 else { return nil }
    let (year, month, date) = civil(milliseconds / day)
    let time = milliseconds % day
    let fraction = time % 1000
    var text =
      "\(pad(year, 4))-\(pad(month, 2))-\(pad(date, 2))T\(pad(time / 3_600_000, 2))"
      + ":\(pad(time / 60_000 % 60, 2)):\(pad(time / 1000 % 60, 2))"
    if fraction != 0 { text += ".\(pad(fraction, 3))" }
    return text + "Z"
  }

  /// Milliseconds since 1970 of `YYYY-MM-DDTHH:MM[:SS[.fff]]` and `Z`, `+HH:MM`, `+HHMM` or `+HH`;
  /// nil for other text and for dates that do not exist.
  static func parse(_ text: String) -> Int64? {
    var rest = Array(text.utf8)[...]
    guard let year = number(&rest, 4), skip(&rest, "-"), let month = number(&rest, 2),
      skip(&rest, "-"), let date = number(&rest, 2), skip(&rest, "T") || skip(&rest, "t"),
      let hour = number(&rest, 2), skip(&rest, ":"), let minute = number(&rest, 2)
    else { return nil }
    var second: Int64 = 0
    var fraction: Int64 = 0
    if skip(&rest, ":") {
      guard let value = number(&rest, 2) else { return nil }
      second = value
      if skip(&rest, ".") || skip(&rest, ",") {
        guard let value = milliseconds(&rest) else { return nil }
        fraction = value
      }
    }
    guard let zone = zone(&rest), rest.isEmpty, (1...12).contains(month), date >= 1,
      date <= length(month, year), hour < 24, minute < 60, second < 60
    else { return nil }
    let seconds = (hour * 60 + minute - zone) * 60 + second
    return days(year, month, date) * day + seconds * 1000 + fraction
  }

  private static func zone(_ rest: inout ArraySlice<UInt8>) -> Int64? {
    if skip(&rest, "Z") || skip(&rest, "z") { return 0 }
    let sign: Int64 = skip(&rest, "-") ? -1 : 1
    guard sign < 0 || skip(&rest, "+"), let hours = number(&rest, 2) else { return nil }
    if rest.isEmpty { return hours < 24 ? sign * hours * 60 : nil }
    _ = skip(&rest, ":")
    guard let minutes = number(&rest, 2), hours < 24, minutes < 60 else { return nil }
    return sign * (hours * 60 + minutes)
  }

  private static func milliseconds(_ rest: inout ArraySlice<UInt8>) -> Int64? {
    let digits = rest.prefix { isDigit($0) }
    guard !digits.isEmpty else { return nil }
    rest = rest.dropFirst(digits.count)
    return (0..<3).reduce(0) { sum, i in
      sum * 10 + (i < digits.count ? Int64(digits[digits.startIndex + i]) - 48 : 0)
    }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }

  private static func number(_ rest: inout ArraySlice<UInt8>, _ count: Int) -> Int64? {
    guard rest.count >= count, rest.prefix(count).allSatisfy(isDigit) else { return nil }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count).reduce(0) { $0 * 10 + Int64($1) - 48 }
  }

  private static func skip(_ rest: inout ArraySlice<UInt8>, _ sign: Unicode.Scalar) -> Bool {
    guard rest.first == UInt8(ascii: sign) else { return false }
    rest.removeFirst()
    return true
  }

  private static func pad(_ value: Int64, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }

  private static func length(_ month: Int64, _ year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  // Years are counted from March, so that the leap day is the last of its year; 719,468 days lie
  // between 0000-03-01 and 1970-01-01, 146,097 in 400 years.

  private static func days(_ year: Int64, _ month: Int64, _ date: Int64) -> Int64 {
    let y = month > 2 ? year : year - 1
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + date - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func civil(_ days: Int64) -> (year: Int64, month: Int64, date: Int64) {
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
    return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }
}
