public import BSON

/// A moment to recover to, as somebody typed it. It is inclusive.
public enum RecoveryTime: Sendable, Hashable {
  /// Everything up to the end of this second (seconds since 1970).
  case moment(Int64)
  /// Everything up to this oplog entry.
  case entry(Timestamp)

  /// The last oplog time that belongs to it.
  public var timestamp: Timestamp {
    switch self {
    case .moment(let seconds):
      Timestamp(seconds: UInt32(clamping: seconds), increment: .max)
    case .entry(let timestamp): timestamp
    }
  }

  /// Reads `2026-01-28 10:00:00` (in `zone`), ISO 8601 with a zone, or `seconds:increment`.
  ///
  /// - Throws: ``BackupError`` `.usage`, also for a local time that does not exist or exists twice.
  public static func parse(_ text: String, zone: Zone = .local) throws(BackupError) -> RecoveryTime
  {
    let trimmed = text.filter { $0 != "\t" && $0 != "\n" }
    if let entry = OplogTime.parse(trimmed) { return .entry(entry) }
    var scanner = TimeScanner(trimmed)
    guard let civil = scanner.civil(), civil.isValid else { throw refused(text) }
    scanner.skipFraction()
    if let offset = scanner.zone() {
      guard scanner.isAtEnd else { throw refused(text) }
      return try moment(civil.secondsAsUTC - offset, text)
    }
    guard scanner.isAtEnd else { throw refused(text) }
    let moments = zone.moments(of: civil)
    guard let first = moments.first else {
      throw BackupError(
        .usage, "the local time \(text) does not exist: the clocks went forward over it",
        hint: "give it with its zone, as 2026-01-28T10:00:00+01:00")
    }
    guard moments.count == 1 else {
      throw BackupError(
        .usage, "the local time \(text) was there twice: the clocks went back over it",
        hint: "one is \(Moment.iso(first)), the other \(Moment.iso(moments[1]))")
    }
    return try moment(first, text)
  }

  private static func moment(_ seconds: Int64, _ text: String) throws(BackupError) -> RecoveryTime {
    guard UInt32(exactly: seconds) != nil else {
      throw BackupError(
        .usage, "'\(text)' is outside of what an oplog can tell: 1970 to 2106")
    }
    return .moment(seconds)
  }

  private static func refused(_ text: String) -> BackupError {
    BackupError(
      .usage, "'\(text)' is not a time",
      hint: "write '2026-01-28 10:00:00' (local), 2026-01-28T10:00:00Z, or seconds:increment")
  }
}

/// `seconds:increment`.
public enum OplogTime {
  public static func text(_ time: Timestamp) -> String { "\(time.seconds):\(time.increment)" }

  public static func parse(_ text: String) -> Timestamp? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let seconds = UInt32(parts[0]), let increment = UInt32(parts[1]),
      parts[0].utf8.count >= 5
    else { return nil }
    return Timestamp(seconds: seconds, increment: increment)
  }
}

private struct TimeScanner {
  private var rest: Substring

  init(_ text: String) { rest = text[...].drop { $0 == " " } }

  var isAtEnd: Bool { rest.allSatisfy { $0 == " " } }

  mutating func civil() -> CivilTime? {
    var time = CivilTime()
    guard let year = digits(4), take("-"), let month = digits(2), take("-"), let day = digits(2)
    else { return nil }
    time.year = year
    time.month = month
    time.day = day
    guard take("T") || take("t") || take(" ") else { return nil }
    guard let hour = digits(2), take(":"), let minute = digits(2) else { return nil }
    time.hour = hour
    time.minute = minute
    if take(":") {
      guard let second = digits(2) else { return nil }
      time.second = second
    }
    return time
  }

  /// The oplog counts whole seconds.
  mutating func skipFraction() {
    guard let first = rest.first, first == "." || first == "," else { return }
    rest = rest.dropFirst().drop(while: \.isNumber)
  }

  /// Seconds east of UTC.
  mutating func zone() -> Int64? {
    if take("Z") || take("z") { return 0 }
    let sign: Int64
    if take("+") { sign = 1 } else if take("-") { sign = -1 } else { return nil }
    guard let hours = digits(2) else { return nil }
    _ = take(":")
    let minutes = digits(2) ?? 0
    guard hours < 24, minutes < 60 else {
      // Left where it is, so that the text is not at its end.
      rest = "?"
      return nil
    }
    return sign * Int64(hours * 3600 + minutes * 60)
  }

  private mutating func take(_ character: Character) -> Bool {
    guard rest.first == character else { return false }
    rest = rest.dropFirst()
    return true
  }

  private mutating func digits(_ count: Int) -> Int? {
    let text = rest.prefix(count)
    guard text.utf8.count == count, text.utf8.allSatisfy({ (48...57).contains($0) }) else {
      return nil
    }
    rest = rest.dropFirst(count)
    return Int(text)
  }
}
