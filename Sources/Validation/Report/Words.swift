public import BSON

/// Numbers, times and values as people read them; the same in every writer.
public enum Words {
  /// `1,000,000`.
  public static func grouped(_ number: Int64) -> String {
    let digits = Array(String(number.magnitude))
    var out = number < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index).isMultiple(of: 3) { out += "," }
      out.append(digit)
    }
    return out
  }

  /// `1 document`, `2 documents`: `unit` is the plural.
  public static func counted(_ number: Int64, _ unit: String) -> String {
    guard number == 1 else { return "\(grouped(number)) \(unit)" }
    if unit.hasSuffix("ies") { return "1 \(unit.dropLast(3))y" }
    return unit.hasSuffix("xes") ? "1 \(unit.dropLast(2))" : "1 \(unit.dropLast(1))"
  }

  /// `12.5 MB`; units of 1,000.
  public static func bytes(_ count: Double) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"]
    guard count.isFinite else { return "\(count) B" }
    var value = count
    var unit = 0
    while abs(value) >= 1000, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return (unit == 0 ? String(Int64(value)) : decimal(value, 1)) + " " + units[unit]
  }

  /// `0.35 ms`, `12 ms`, `1.5 s`, `3 min 20 s`, from milliseconds.
  public static func time(_ milliseconds: Double) -> String {
    guard milliseconds.isFinite, abs(milliseconds) < 1e15 else { return "\(milliseconds) ms" }
    if milliseconds < 10 { return decimal(milliseconds, 2) + " ms" }
    if milliseconds < 1000 { return decimal(milliseconds, 0) + " ms" }
    if milliseconds < 120_000 { return decimal(milliseconds / 1000, 1) + " s" }
    let seconds = Int64(milliseconds / 1000)
    if seconds < 7200 { return "\(seconds / 60) min \(seconds % 60) s" }
    return "\(seconds / 3600) h \(seconds % 3600 / 60) min"
  }

  /// `0.3 %` from 0.003.
  public static func percent(_ share: Double) -> String {
    let value = share * 100
    return decimal(value, value < 0.1 ? 3 : value < 10 ? 1 : 0) + " %"
  }

  /// A decimal number with at most that many places.
  public static func decimal(_ value: Double, _ places: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = Int64((abs(value) * scale).rounded())
    let whole = scaled / Int64(scale)
    var fraction = String(scaled % Int64(scale))
    fraction = String(repeating: "0", count: max(0, places - fraction.count)) + fraction
    while fraction.hasSuffix("0") { fraction.removeLast() }
    let sign = value < 0 && scaled > 0 ? "-" : ""
    return sign + grouped(whole) + (places > 0 && !fraction.isEmpty ? "." + fraction : "")
  }

  /// `2026-01-28T02:00:00Z` from milliseconds since 1970.
  public static func instant(_ milliseconds: Int64) -> String {
    let seconds = Int64((Double(milliseconds) / 1000).rounded(.down))
    let days = Int64((Double(seconds) / 86400).rounded(.down))
    let rest = seconds - days * 86400
    // Days since 0000-03-01, whose years end with the leap day.
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let day = shifted - era * 146_097
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365
    let dayOfYear = day - (365 * year + year / 4 - year / 100)
    let month = (5 * dayOfYear + 2) / 153
    let date = [
      padded(year + era * 400 + (month < 10 ? 0 : 1), 4),
      padded(month < 10 ? month + 3 : month - 9),
      padded(dayOfYear - (153 * month + 2) / 5 + 1),
    ].joined(separator: "-")
    let time = [padded(rest / 3600), padded(rest % 3600 / 60), padded(rest % 60)]
      .joined(separator: ":")
    return "\(date)T\(time)Z"
  }

  private static func padded(_ number: Int64, _ width: Int = 2) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  /// A value as the shell would take it, cut after 120 characters.
  public static func value(_ value: Value) -> String {
    let text =
      switch value {
      case .objectID(let id): "ObjectId(\"\(id)\")"
      case .date(let date): "ISODate(\"\(instant(date.milliseconds))\")"
      default: ExtendedJSON.text(value, .relaxed)
      }
    return text.count > 120 ? text.prefix(119) + "…" : text
  }

  /// A value's type and size without its content.
  public static func redacted(_ value: Value) -> String {
    switch value {
    case .string(let text), .symbol(let text), .javascript(let text):
      "‹string, \(counted(Int64(text.utf8.count), "bytes"))›"
    case .document(let document): "‹object, \(counted(Int64(document.count), "fields"))›"
    case .array(let items): "‹array, \(counted(Int64(items.count), "elements"))›"
    case .null: "null"
    case .undefined: "undefined"
    case .objectID(let id): "ObjectId(\"\(id)\")"
    default: "‹\(value.type.alias)›"
    }
  }

  /// A JSON string.
  public static func quoted(_ text: String) -> String { ExtendedJSON.text(.string(text), .relaxed) }
}
