extension Console {
  /// Shows a page to whoever watches, on standard error: before a question.
  func tell(_ output: some CommandOutput) {
    var page = Page()
    output.write(to: &page)
    for block in page.blocks {
      switch block {
      case .line(let text): status(text)
      case .table(let table): for line in table.lines(colour: false) { status("\(line)") }
      }
    }
  }
}
