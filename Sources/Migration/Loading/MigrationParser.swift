import BSON

/// Makes a migration of a parsed file and collects everything that is wrong with it.
struct MigrationParser {
  let file: String
  var problems: [MigrationError] = []

  init(file: String) { self.file = file }

  static let keys = ["description", "up", "down", "transaction", "expect", "requires", "lint"]

  /// The migration that a YAML or JSON file of ours describes; nil when something is wrong.
  mutating func migration(_ tree: Tree, id: MigrationID, source: Source) -> Migration? {
    guard let entries = tree.entries else {
      let hint =
        tree.items == nil
        ? nil : "put the list under `up:` (a bare list is golang-migrate's NNN_name.up.json)"
      fail(.wrongType, "expected a mapping with `up:`, found \(tree.kind)", tree, hint: hint)
      return nil
    }
    for entry in entries where !Self.keys.contains(entry.key) {
      unknown(entry, among: Self.keys, in: "a migration")
    }
    let description = text(tree["description"], "description")
    let up = upSteps(tree)
    let down = self.down(tree["down"])
    let transaction: TransactionMode = choice(tree["transaction"], "transaction") ?? .auto
    let requires = self.requires(tree["requires"])
    let expect = self.expect(tree["expect"])
    let allowed = self.allowed(tree["lint"])
    guard problems.isEmpty else { return nil }
    return Migration(
      id: id, description: description, up: up, down: down, transaction: transaction,
      expect: expect, requires: requires, allowedFindings: allowed, source: source)
  }

  /// The migration of a golang-migrate pair; `down` is the second file, when there is one.
  mutating func migration(
    up: Tree, down: (tree: Tree, file: String)?, id: MigrationID, source: Source
  ) -> Migration? {
    let steps = self.steps(up, "an array of commands", allowingEmpty: true)
    var back = Down.derived
    if let down {
      var other = MigrationParser(file: down.file)
      back = .steps(other.steps(down.tree, "an array of commands", allowingEmpty: true))
      problems += other.problems
    }
    guard problems.isEmpty else { return nil }
    return Migration(id: id, up: steps, down: back, source: source)
  }

  private mutating func upSteps(_ tree: Tree) -> [Step] {
    guard let up = tree["up"] else {
      fail(
        .missingKey, "`up:` is missing: expected a list of database commands", tree,
        hint: "up:\n  - create: things")
      return []
    }
    return steps(up, "up", allowingEmpty: false)
  }

  private mutating func down(_ tree: Tree?) -> Down {
    guard let tree else { return .derived }
    if tree.items != nil { return .steps(steps(tree, "down", allowingEmpty: false)) }
    switch tree.string {
    case "irreversible": return .irreversible
    case "derived": return .derived
    default:
      fail(
        .wrongType,
        "down: expected a list of commands, `irreversible` or `derived`, found "
          + (tree.string.map { "`\($0.prefix(40))`" } ?? tree.kind), tree,
        hint: "leave `down:` out to have it derived from `up:`")
      return .derived
    }
  }

  private mutating func steps(_ tree: Tree, _ list: String, allowingEmpty: Bool) -> [Step] {
    guard let items = tree.items else {
      fail(
        .wrongType, "\(list): expected a list of steps, found \(tree.kind)", tree,
        hint: "begin each step with `- `")
      return []
    }
    if items.isEmpty, !allowingEmpty {
      fail(
        .invalidValue, "\(list): the list is empty: expected at least one step", tree,
        hint: list == "down" ? "leave `down:` out, or write `down: irreversible`" : nil)
    }
    var steps: [Step] = []
    for (index, item) in items.enumerated() {
      if let step = step(item, index: index, list: list) { steps.append(step) }
    }
    return steps
  }

  private mutating func step(_ tree: Tree, index: Int, list: String) -> Step? {
    let label = list == "down" ? "down, step \(index + 1)" : "step \(index + 1)"
    guard let entries = tree.entries else {
      fail(
        .wrongType, "\(label): expected a database command, found \(tree.kind)", tree,
        hint: "write it as a mapping whose first key is the command, such as `create: things`")
      return nil
    }
    let before = problems.count
    var command: [Tree.Entry] = []
    var options = StepOptions()
    for entry in entries {
      if entry.key == "martlet" {
        options = self.options(entry.value, label)
      } else {
        command.append(entry)
      }
    }
    guard let first = command.first else {
      fail(.missingKey, "\(label): expected a database command, found nothing", tree)
      return nil
    }
    checkShape(of: command, first: first, label)
    guard problems.count == before else { return nil }
    do {
      let document = try TreeConverter(file: file).document(command)
      guard document.bytes.count <= Limits.stepSize else {
        fail(
          .tooLarge, "\(label): larger than the 16 MB that one command may be", tree,
          hint: "make several steps of it")
        return nil
      }
      return Step(
        index: index, command: document, options: options, location: location(tree))
    } catch {
      problems.append(
        MigrationError(
          error.code, "\(label): \(error.message)", file: error.file, line: error.line,
          column: error.column, hint: error.hint))
      return nil
    }
  }
}

extension MigrationParser {
  func location(_ tree: Tree) -> Location {
    Location(file: file, line: tree.line, column: tree.column)
  }

  mutating func fail(
    _ code: MigrationError.Code, _ message: String, _ tree: Tree, hint: String? = nil
  ) {
    problems.append(MigrationError(code, message, at: location(tree), hint: hint))
  }

  mutating func unknown(_ entry: Tree.Entry, among known: [String], in place: String) {
    let near = Suggestion.nearest(to: entry.key, in: known)
    problems.append(
      MigrationError(
        .unknownKey, "unknown key `\(entry.key)` in \(place)", file: file, line: entry.line,
        column: entry.column,
        hint: near.map { "did you mean `\($0)`?" }
          ?? "expected one of: \(known.joined(separator: ", "))"))
  }

  mutating func text(_ tree: Tree?, _ key: String) -> String? {
    guard let tree else { return nil }
    if let string = tree.string { return string }
    fail(.wrongType, "\(key): expected a string, found \(tree.kind)", tree)
    return nil
  }

  mutating func integer(_ tree: Tree?, _ key: String, in range: ClosedRange<Int>) -> Int? {
    guard let tree else { return nil }
    guard let value = tree.scalar, value.type != .double, let number = value.integerValue else {
      fail(.wrongType, "\(key): expected an integer, found \(tree.kind)", tree)
      return nil
    }
    guard let small = Int(exactly: number), range.contains(small) else {
      fail(
        .invalidValue,
        "\(key): expected \(range.lowerBound) to \(range.upperBound), found "
          + "\(number)", tree)
      return nil
    }
    return small
  }

  mutating func choice<T: RawRepresentable & CaseIterable>(
    _ tree: Tree?, _ key: String
  ) -> T? where T.RawValue == String {
    guard let tree else { return nil }
    if let name = tree.string, let value = T(rawValue: name) { return value }
    let known = T.allCases.map(\.rawValue).joined(separator: ", ")
    let found = tree.string.map { "`\($0.prefix(40))`" } ?? tree.kind
    fail(
      tree.string == nil ? .wrongType : .invalidValue,
      "\(key): expected one of \(known), found \(found)", tree)
    return nil
  }
}
