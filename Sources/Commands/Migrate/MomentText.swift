import BSON
import Foundation

extension DateTime {
  /// `2026-01-28T02:00:00.123Z`, for programs.
  var isoText: String {
    date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
  }

  /// `2026-01-28 02:00:00`, always UTC, for people.
  var shownText: String { isoText.prefix(19).replacingOccurrences(of: "T", with: " ") }

  /// `5 s`, `3 min 5 s`, `2 d 4 h`: how long ago this was.
  func age(at now: DateTime) -> String {
    Quantity.time(.milliseconds(max(0, now.milliseconds - milliseconds)))
  }

  private var date: Date { Date(timeIntervalSince1970: Double(milliseconds) / 1000) }
}
