/// `${NAME}` and `${NAME:-default}` in a text, as the shell replaces them; `$${` stands for `${`.
enum EnvironmentReplacement {
  static func replace(
    _ text: String, from environment: [String: String]
  ) throws(CommandError) -> String {
    var out = ""
    var rest = Substring(text)
    while let dollar = rest.firstIndex(of: "$") {
      out += rest[..<dollar]
      rest = rest[dollar...]
      if rest.hasPrefix("$${") {
        out += "${"
        rest = rest.dropFirst(3)
      } else if rest.hasPrefix("${") {
        guard let end = rest.firstIndex(of: "}") else {
          throw CommandError(.configuration, "${ without }", hint: "write $${ for a plain ${")
        }
        out += try value(of: rest[rest.index(rest.startIndex, offsetBy: 2)..<end], environment)
        rest = rest[rest.index(after: end)...]
      } else {
        out += "$"
        rest = rest.dropFirst()
      }
    }
    return out + rest
  }

  private static func value(
    of expression: Substring, _ environment: [String: String]
  ) throws(CommandError) -> String {
    let name = expression.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
    let rest = expression.dropFirst(name.count)
    guard let first = name.first, !first.isNumber, rest.isEmpty || rest.hasPrefix(":-") else {
      throw CommandError(
        .configuration, "${\(expression)} is not ${NAME} or ${NAME:-default}",
        hint: "write $${ for a plain ${")
    }
    // As in the shell, `:-` also stands in for a variable that is empty.
    if let value = environment[String(name)], !value.isEmpty || rest.isEmpty { return value }
    guard !rest.isEmpty else {
      throw CommandError(
        .configuration, "the environment variable \(name) is not set",
        hint: "set it, or write ${\(name):-default}")
    }
    return String(rest.dropFirst(2))
  }
}
