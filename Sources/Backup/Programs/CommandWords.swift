/// Splits a configured command into words as a shell would, without running one.
enum CommandWords {
  /// - Parameter name: what it is called in messages; the command itself may hold a password.
  /// - Throws: ``BackupError`` `.usage` for open quotes, nothing at all, or what only a shell can do.
  static func split(_ text: String, name: String) throws(BackupError) -> [String] {
    var words: [String] = []
    var word = ""
    var isWord = false
    var quote: Character?
    var escaped = false
    for character in text {
      if escaped {
        if quote == "\"", !"\"\\$`".contains(character) { word.append("\\") }
        word.append(character)
        escaped = false
      } else if character == "\\", quote != "'" {
        escaped = true
        isWord = true
      } else if let open = quote {
        if character == open {
          quote = nil
        } else {
          try refuse(character, in: name, unless: open == "'" || !"$`".contains(character))
          word.append(character)
        }
      } else if character == "'" || character == "\"" {
        quote = character
        isWord = true
      } else if character.isWhitespace {
        if isWord { words.append(word) }
        word = ""
        isWord = false
      } else {
        try refuse(character, in: name, unless: !"|<>;&$`()*?".contains(character))
        word.append(character)
        isWord = true
      }
    }
    guard quote == nil, !escaped else {
      throw BackupError(.usage, "a quote is not closed in the command of '\(name)'")
    }
    if isWord { words.append(word) }
    guard !words.isEmpty else { throw BackupError(.usage, "the command of '\(name)' is empty") }
    return words
  }

  private static func refuse(_ character: Character, in name: String, unless fine: Bool)
    throws(BackupError)
  {
    if fine { return }
    throw BackupError(
      .usage, "'\(character)' in the command of '\(name)' needs a shell, and none is used",
      hint: "write sh -c '…' when you want one, or put the character into single quotes")
  }
}
