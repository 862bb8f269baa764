import Yams

extension YAMLReader {
  /// One of ours for what the parser says, with the reason that is behind it most of the time.
  static func translate(_ error: YamlError, text: String, file: String) -> MigrationError {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _):
      syntax(problem, mark, text: text, file: file)
    case .composer(_, let problem, let mark, _):
      if problem.contains("another document") {
        MigrationError(
          .multipleDocuments, "a second YAML document begins here: expected one", file: file,
          line: mark.line, column: mark.column, hint: "one migration per file: make a second file")
      } else {
        syntax(problem, mark, text: text, file: file)
      }
    case .duplicatedKeysInMapping(let names, let context):
      duplicate(names.first ?? "", context.mark, text: text, file: file)
    case .reader(let problem, let offset, _, let yaml):
      reader(problem, offset, yaml, file)
    default:
      MigrationError(.syntax, "the file cannot be parsed as YAML", file: file)
    }
  }

  private static func syntax(
    _ problem: String, _ mark: Mark, text: String, file: String
  ) -> MigrationError {
    let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
    var (number, column) = (mark.line, mark.column)
    if number > lines.count, let last = lines.last {
      // The parser takes the end of the text for one more line.
      (number, column) = (lines.count, last.count + 1)
    }
    let line = lines.indices.contains(number - 1) ? Array(lines[number - 1]) : []
    let before = line.prefix(column)
    if before.contains("\t"), before.allSatisfy({ $0 == " " || $0 == "\t" || $0 == "-" }) {
      return MigrationError(
        .syntax, "a tab in the indentation: expected spaces", file: file, line: number,
        column: column)
    }
    var hint: String?
    if problem.contains("cannot start any token") {
      hint = "quote values that begin with @, `, % or a tab"
    } else if problem.contains("mapping values are not allowed") {
      hint = "a value with `: ` in it has to be quoted, and keys of one mapping begin in one column"
    } else if problem.contains("expected <block end>")
      || problem.contains("could not find expected")
    {
      hint = "look at the indentation here and on the line before"
    } else if problem.contains("',' or") {
      hint = "a { or [ is not closed, or a comma is missing"
    }
    return MigrationError(
      .syntax, "not valid YAML: \(problem)", file: file, line: number, column: column,
      hint: hint)
  }

  /// The parser marks the first of the two keys.
  private static func duplicate(
    _ name: String, _ mark: Mark, text: String, file: String
  ) -> MigrationError {
    MigrationError(
      .duplicateKey, "key `\(name)` is more than once in this mapping; the first is here",
      file: file, line: mark.line, column: mark.column,
      hint: "remove one, or make a second list item of it with `- `")
  }

  private static func reader(
    _ problem: String, _ offset: Int?, _ text: String, _ file: String
  ) -> MigrationError {
    let before = text.prefix(offset ?? 0)
    let line = before.reduce(into: 1) { n, c in if c.isNewline { n += 1 } }
    let column = before.reversed().prefix { !$0.isNewline }.count + 1
    return MigrationError(
      .syntax, "not valid YAML: \(problem)", file: file, line: line, column: column)
  }
}
