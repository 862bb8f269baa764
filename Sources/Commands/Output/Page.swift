/// What a command has to say to people, line by line, without knowing where it will be shown.
struct Page: Sendable, Hashable {
  enum Block: Sendable, Hashable {
    case line(StyledText)
    case table(Table)
  }

  private(set) var blocks: [Block] = []

  mutating func line(_ text: StyledText = "") { blocks.append(.line(text)) }
  mutating func heading(_ text: String) { blocks.append(.line(StyledText(text, .bold))) }
  mutating func table(_ table: Table) { blocks.append(.table(table)) }

  func lines(colour: Bool) -> [String] {
    blocks.flatMap { block in
      switch block {
      case .line(let text): [text.rendered(colour: colour)]
      case .table(let table): table.lines(colour: colour)
      }
    }
  }
}

/// What a command found or did: once for programs, once for people.
protocol CommandOutput {
  var json: JSONValue { get }
  func write(to page: inout Page)
}
