/// Rows under a header, columns aligned by what a terminal shows.
struct Table: Sendable, Hashable {
  struct Column: Sendable, Hashable, ExpressibleByStringLiteral {
    var title: String
    var alignRight = false

    init(stringLiteral value: String) { title = value }
    init(_ title: String, alignRight: Bool = false) {
      self.title = title
      self.alignRight = alignRight
    }

    /// A column of numbers.
    static func number(_ title: String) -> Column { Column(title, alignRight: true) }
  }

  var columns: [Column]
  private(set) var rows: [[StyledText]] = []

  init(_ columns: [Column]) { self.columns = columns }

  mutating func add(_ cells: StyledText...) { rows.append(cells) }
  mutating func add(cells: [StyledText]) { rows.append(cells) }

  func lines(colour: Bool) -> [String] {
    let header = columns.map { StyledText($0.title, .dim) }
    let all = [header] + rows
    let widths = columns.indices.map { index in
      all.reduce(0) { max($0, $1.indices.contains(index) ? $1[index].columns : 0) }
    }
    return all.map { row in
      var line = ""
      for (index, width) in widths.enumerated() {
        let cell = row.indices.contains(index) ? row[index] : StyledText()
        let fill = String(repeating: " ", count: width - cell.columns)
        let text = cell.rendered(colour: colour)
        let isLast = index == widths.count - 1
        line += index > 0 ? "  " : ""
        line += columns[index].alignRight ? fill + text : isLast ? text : text + fill
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}
