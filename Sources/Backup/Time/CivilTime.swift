internal import Glibc

/// A date and a time of day, without a time zone.
struct CivilTime: Sendable, Hashable {
  var year = 1970
  var month = 1
  var day = 1
  var hour = 0
  var minute = 0
  var second = 0

  /// Seconds since 1970 as if it were UTC.
  var secondsAsUTC: Int64 {
    let shifted = month > 2 ? year : year - 1
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    let days = Int64(era * 146_097 + dayOfEra - 719_468)
    return days * 86400 + Int64(hour * 3600 + minute * 60 + second)
  }

  init() {}

  /// The UTC date and time of a moment.
  init(utc seconds: Int64) {
    var days = seconds / 86400
    var rest = seconds % 86400
    if rest < 0 {
      rest += 86400
      days -= 1
    }
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthPart = (5 * dayOfYear + 2) / 153
    day = Int(dayOfYear - (153 * monthPart + 2) / 5 + 1)
    month = Int(monthPart < 10 ? monthPart + 3 : monthPart - 9)
    year = Int(yearOfEra + era * 400) + (month <= 2 ? 1 : 0)
    hour = Int(rest / 3600)
    minute = Int(rest % 3600 / 60)
    second = Int(rest % 60)
  }

  /// Days since 1970, for weeks.
  var dayNumber: Int64 {
    var midnight = self
    midnight.hour = 0
    midnight.minute = 0
    midnight.second = 0
    return midnight.secondsAsUTC / 86400
  }

  /// True when every part is in its range.
  var isValid: Bool { CivilTime(utc: secondsAsUTC) == self }

  static func padded(_ number: Int, _ width: Int = 2) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }
}

/// A time zone: how many seconds local time is ahead of UTC at a moment.
public struct Zone: Sendable {
  let offset: @Sendable (Int64) -> Int64

  /// - Parameter offset: seconds east of UTC at the given seconds since 1970.
  public init(offset: @escaping @Sendable (Int64) -> Int64) { self.offset = offset }

  /// The machine's, or the environment's `TZ`.
  public static let local = Zone { seconds in
    var time = time_t(seconds)
    var parts = tm()
    localtime_r(&time, &parts)
    return Int64(parts.tm_gmtoff)
  }

  /// UTC.
  public static let utc = Zone { _ in 0 }

  func civil(_ seconds: Int64) -> CivilTime { CivilTime(utc: seconds + offset(seconds)) }

  /// The moments that a local time names: none in the hour that is skipped in spring, two in the
  /// one that is repeated in autumn, else one.
  func moments(of civil: CivilTime) -> [Int64] {
    let guess = civil.secondsAsUTC
    let offsets = Set([guess - 86400, guess, guess + 86400].map(offset))
    return Set(offsets.map { guess - $0 }).filter { self.civil($0) == civil }.sorted()
  }
}

/// Moments as text.
public enum Moment {
  /// Seconds since 1970, now.
  public static func now() -> Int64 { Int64(time(nil)) }

  /// Milliseconds on a clock that never jumps.
  static func ticks() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
  }

  /// `2026-01-28T10:00:00Z`.
  public static func iso(_ seconds: Int64) -> String {
    let c = CivilTime(utc: seconds)
    return "\(CivilTime.padded(c.year, 4))-\(CivilTime.padded(c.month))-\(CivilTime.padded(c.day))T"
      + "\(CivilTime.padded(c.hour)):\(CivilTime.padded(c.minute)):\(CivilTime.padded(c.second))Z"
  }

  /// `20260128T100000Z`.
  static func compact(_ seconds: Int64) -> String {
    String(iso(seconds).filter { $0 != "-" && $0 != ":" })
  }

  /// The inverse of ``iso(_:)``.
  static func parse(iso text: String) -> Int64? {
    guard text.hasSuffix("Z"),
      case .moment(let seconds)? = try? RecoveryTime.parse(text, zone: .utc)
    else { return nil }
    return seconds
  }

  /// `2026-01-28 10:00:00` in a zone.
  public static func text(_ seconds: Int64, zone: Zone = .local) -> String {
    let c = zone.civil(seconds)
    return "\(CivilTime.padded(c.year, 4))-\(CivilTime.padded(c.month))-\(CivilTime.padded(c.day)) "
      + "\(CivilTime.padded(c.hour)):\(CivilTime.padded(c.minute)):\(CivilTime.padded(c.second))"
  }
}
