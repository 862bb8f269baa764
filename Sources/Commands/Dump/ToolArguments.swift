/// Command lines of mongodump and mongorestore that ArgumentParser cannot say by itself.
enum ToolArguments {
  /// Options whose value may be left out, and what that means.
  private static let optionalValues = ["--archive": "-"]

  /// The same command line with every optional value written out, and counted flags as flags.
  static func normalized(_ arguments: [String]) -> [String] {
    guard let command = arguments.first(where: { !$0.hasPrefix("-") }),
      ["dump", "load"].contains(command)
    else { return arguments }
    var out: [String] = []
    for (index, argument) in arguments.enumerated() {
      if let missing = optionalValues[argument] {
        let next = index + 1 < arguments.count ? arguments[index + 1] : "-"
        let isValue =
          index + 1 < arguments.count && (next == "-" || !next.hasPrefix("-"))
          && !next.hasPrefix("mongodb")
        out.append(isValue ? argument : "\(argument)=\(missing)")
      } else if argument.hasPrefix("--verbose=") {
        let level = Int(argument.dropFirst("--verbose=".count)) ?? 1
        out += Array(repeating: "--verbose", count: min(max(level, 0), 5))
      } else {
        out.append(argument)
      }
    }
    return out
  }
}
