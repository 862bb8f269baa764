/// What a file's name makes of it.
enum MigrationFileName: Hashable {
  case yaml(MigrationID)
  case json(MigrationID)
  case golangUp(MigrationID)
  case golangDown(MigrationID)
  /// Not ours and no sign of a mistake: README, notes, dotfiles, editors' copies.
  case ignored
  /// Looks as if it should be a migration; the reason that it is not.
  case mistaken(String)
  /// Something else that lies there.
  case other

  init(_ name: String) {
    if name.hasPrefix(".") || name.hasPrefix("README") || name.hasSuffix("~")
      || name.lowercased().hasSuffix(".md")
    {
      self = .ignored
      return
    }
    let lower = name.lowercased()
    for (ending, make) in Self.endings where lower.hasSuffix(ending) {
      let stem = String(name.dropLast(ending.utf8.count))
      if !name.hasSuffix(ending) {
        self = .mistaken("the ending has to be lower case, `\(ending)`")
      } else if ending != ".up.json", ending != ".down.json", Self.isHalf(stem) {
        self = .mistaken("up and down are two files only in JSON, NNN_name.up.json")
      } else if let id = MigrationID(stem) {
        self = make(id)
      } else {
        self = .mistaken(Self.reason(stem))
      }
      return
    }
    self = MigrationID(name) == nil ? .other : .mistaken("the ending is not .yaml, .yml or .json")
  }

  private static let endings: [(String, @Sendable (MigrationID) -> MigrationFileName)] = [
    (".up.json", { .golangUp($0) }), (".down.json", { .golangDown($0) }),
    (".yaml", { .yaml($0) }), (".yml", { .yaml($0) }), (".json", { .json($0) }),
  ]

  private static func isHalf(_ stem: String) -> Bool {
    stem.hasSuffix(".up") || stem.hasSuffix(".down")
  }

  private static func reason(_ stem: String) -> String {
    let digits = stem.prefix { $0.isASCII && $0.isNumber }
    if digits.isEmpty { return "the name has to begin with a number" }
    if !stem.dropFirst(digits.count).hasPrefix("_") {
      return "the number has to be followed by an underscore and a name"
    }
    return "the name may have letters, digits, `_`, `-` and `.` only"
  }
}
