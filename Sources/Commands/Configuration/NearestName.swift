/// The known name that somebody most likely meant.
enum NearestName {
  /// Nil where nothing is near: more than a third of the letters differ.
  static func find(_ name: String, among known: [String]) -> String? {
    let wanted = Array(name.lowercased().filter { $0 != "_" && $0 != "-" })
    let best = known.map { candidate in
      let letters = Array(candidate.lowercased().filter { $0 != "_" && $0 != "-" })
      return (name: candidate, distance: distance(wanted, letters), length: letters.count)
    }.min { $0.distance < $1.distance }
    guard let best, best.distance <= max(1, max(wanted.count, best.length) / 3) else { return nil }
    return best.name
  }

  /// Insertions, deletions, replacements and swaps of neighbours.
  private static func distance(_ a: [Character], _ b: [Character]) -> Int {
    var rows = [Array(0...b.count)]
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var cost = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
          cost = min(cost, rows[i - 1][j - 1] + 1)
        }
        row.append(cost)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
}
