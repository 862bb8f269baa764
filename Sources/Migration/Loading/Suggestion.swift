/// The nearest of some known names, for "did you mean".
enum Suggestion {
  /// The closest name within two edits, or a third of the length for short ones; nil without one.
  static func nearest(to name: String, in known: some Sequence<String>) -> String? {
    let wanted = Array(name.lowercased().utf8)
    guard wanted.count <= 64 else { return nil }
    let limit = wanted.count < 4 ? 1 : wanted.count < 6 ? 2 : 3
    let ranked = known.map { (name: $0, distance: distance(wanted, Array($0.lowercased().utf8))) }
    return ranked.min { ($0.distance, $0.name) < ($1.distance, $1.name) }
      .flatMap { $0.distance <= limit && $0.distance < wanted.count ? $0.name : nil }
  }

  /// Insertions, removals, replacements and swaps of neighbours.
  private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
    var rows = [Array(0...b.count)]
    for i in 1...a.count {
      var row = [i]
      for j in 1...b.count {
        let change = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
        var best = min(rows[i - 1][j] + 1, row[j - 1] + 1, change)
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
          best = min(best, rows[i - 2][j - 2] + 1)
        }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
}
