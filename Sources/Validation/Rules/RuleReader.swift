internal import BSON

/// One mapping of the rules file while its keys are taken out; what is left is unknown.
struct RuleReader {
  let file: String
  let node: RuleNode
  private var left: [(key: RuleNode.RuleKey, value: RuleNode)]
  private var known: [String] = []

  init(_ node: RuleNode, file: String, what: String) throws(ValidationError) {
    self.file = file
    self.node = node
    guard case .mapping(let pairs) = node.content else {
      throw Self.fail("\(what) is a mapping, found \(node.kind)", node, file)
    }
    left = pairs
  }

  static func fail(
    _ message: String, _ node: RuleNode, _ file: String, hint: String? = nil
  ) -> ValidationError {
    ValidationError(
      .invalidRules, message, file: file, line: node.line, column: node.column, hint: hint)
  }

  func fail(_ message: String, at node: RuleNode? = nil, hint: String? = nil) -> ValidationError {
    Self.fail(message, node ?? self.node, file, hint: hint)
  }

  mutating func take(_ name: String) -> RuleNode? {
    known.append(name)
    guard let index = left.firstIndex(where: { $0.key.name == name }) else { return nil }
    return left.remove(at: index).value
  }

  /// Whatever nobody has asked for is a mistake.
  func finish() throws(ValidationError) {
    guard let first = left.first else { return }
    let nearest = Nearest.name(to: first.key.name, in: known)
    throw ValidationError(
      .invalidRules, "unknown key `\(first.key.name)`", file: file, line: first.key.line,
      column: first.key.column,
      hint: nearest.map { "did you mean `\($0)`?" }
        ?? "known here: \(known.joined(separator: ", "))")
  }

  /// The keys that nobody has asked for, as a document.
  mutating func rest() throws(ValidationError) -> Document {
    let pairs = left
    left = []
    return try document(RuleNode(content: .mapping(pairs), line: node.line, column: node.column))
  }

  mutating func required(_ name: String) throws(ValidationError) -> RuleNode {
    if let node = take(name) { return node }
    let written = Nearest.name(to: name, in: left.map(\.key.name))
    throw fail(
      "`\(name)` is missing", hint: written.map { "`\($0)` is written here, `\(name)` is meant?" })
  }

  mutating func string(_ name: String) throws(ValidationError) -> String {
    try text(try required(name), name)
  }

  mutating func optionalString(_ name: String) throws(ValidationError) -> String? {
    guard let node = take(name) else { return nil }
    return try text(node, name)
  }

  func text(_ node: RuleNode, _ name: String) throws(ValidationError) -> String {
    guard case .scalar(.string(let text)) = node.content, !text.isEmpty else {
      throw fail("`\(name)` is a string, found \(node.kind)", at: node)
    }
    return text
  }

  mutating func flag(_ name: String) throws(ValidationError) -> Bool {
    guard let node = take(name) else { return false }
    guard case .scalar(.bool(let flag)) = node.content else {
      throw fail("`\(name)` is true or false, found \(node.kind)", at: node)
    }
    return flag
  }

  mutating func integer(_ name: String) throws(ValidationError) -> Int64? {
    guard let node = take(name) else { return nil }
    guard case .scalar(.number(let text)) = node.content, let number = Int64(text), number >= 0
    else { throw fail("`\(name)` is a whole number of 0 or more, found \(node.kind)", at: node) }
    return number
  }

  mutating func number(_ name: String) throws(ValidationError) -> Double? {
    guard let node = take(name) else { return nil }
    guard case .scalar(.number(let text)) = node.content, let number = Double(text), number > 0
    else { throw fail("`\(name)` is a number above 0, found \(node.kind)", at: node) }
    return number
  }

  /// `50ms`, `2s`, `5m`, in milliseconds.
  mutating func duration(_ name: String) throws(ValidationError) -> Double? {
    guard let node = take(name) else { return nil }
    if case .scalar(.string(let text)) = node.content {
      for (suffix, factor) in [("ms", 1.0), ("s", 1000), ("m", 60_000)] {
        guard text.hasSuffix(suffix), let number = Double(text.dropLast(suffix.count)), number > 0
        else { continue }
        return number * factor
      }
    }
    throw fail("`\(name)` is a time such as 50ms, 2s or 5m", at: node)
  }

  mutating func strings(_ name: String) throws(ValidationError) -> [String]? {
    guard let node = take(name) else { return nil }
    if case .scalar(.string(let text)) = node.content { return [text] }
    guard case .sequence(let items) = node.content, !items.isEmpty else {
      throw fail("`\(name)` is a string or a list of strings, found \(node.kind)", at: node)
    }
    var texts: [String] = []
    for item in items { texts.append(try text(item, name)) }
    return texts
  }

  mutating func optionalDocument(_ name: String) throws(ValidationError) -> Document? {
    guard let node = take(name) else { return nil }
    return try document(node, name)
  }

  func document(_ node: RuleNode, _ name: String = "") throws(ValidationError) -> Document {
    guard case .mapping = node.content else {
      throw fail("`\(name)` is a mapping, found \(node.kind)", at: node)
    }
    guard case .document(let document) = try value(node) else {
      throw fail("`\(name)` is a mapping, found a value of Extended JSON", at: node)
    }
    return document
  }

  /// YAML or Extended JSON to BSON.
  func value(_ node: RuleNode) throws(ValidationError) -> Value {
    do {
      return try ExtendedJSON.value(of: node.json)
    } catch {
      throw fail("not a valid Extended JSON value: \(error.message)", at: node)
    }
  }

  /// - Parameter phases: when nothing is said.
  mutating func header(
    phases: Set<Phase> = [.before, .after]
  ) throws(ValidationError) -> RuleHeader {
    var header = RuleHeader()
    header.phases = phases
    if let node = take("severity") {
      let text = try text(node, "severity")
      guard let severity = CheckResult.Severity(rawValue: text) else {
        throw fail("`severity` is error, warning or info, not `\(text)`", at: node)
      }
      header.severity = severity
    }
    if let node = take("when") {
      let text = try text(node, "when")
      switch text {
      case "both": header.phases = [.before, .after]
      case "before": header.phases = [.before]
      case "after": header.phases = [.after]
      case "started": header.phases = [.started]
      default: throw fail("`when` is before, after, both or started, not `\(text)`", at: node)
      }
    }
    header.fix = try optionalString("fix")
    return header
  }

  /// `orders.user_id`: up to the first dot the collection. `{collection: …, field: …}` for others.
  func fieldPath(_ node: RuleNode, _ name: String) throws(ValidationError) -> FieldPath {
    if case .mapping = node.content {
      var reader = try RuleReader(node, file: file, what: "`\(name)`")
      let path = FieldPath(try reader.string("collection"), try reader.string("field"))
      try reader.finish()
      return path
    }
    let text = try text(node, name)
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
      throw fail(
        "`\(name)` names a collection and a field, such as orders.user_id", at: node,
        hint: "a collection with a dot in its name: { collection: a.b, field: c }")
    }
    return FieldPath(String(parts[0]), String(parts[1]))
  }

  /// Pipelines that only read.
  func pipeline(_ node: RuleNode) throws(ValidationError) -> [Document] {
    guard case .sequence(let stages) = node.content else {
      throw fail("`pipeline` is a list of stages, found \(node.kind)", at: node)
    }
    var pipeline: [Document] = []
    for stage in stages {
      try refuseWriting(stage)
      pipeline.append(try document(stage, "a stage"))
    }
    return pipeline
  }

  private func refuseWriting(_ node: RuleNode) throws(ValidationError) {
    switch node.content {
    case .scalar: return
    case .sequence(let items): for item in items { try refuseWriting(item) }
    case .mapping(let pairs):
      for (key, value) in pairs {
        if ["$out", "$merge"].contains(key.name) {
          throw ValidationError(
            .invalidRules, "\(key.name) writes: a check only reads", file: file, line: key.line,
            column: key.column, hint: "leave the stage out")
        }
        try refuseWriting(value)
      }
    }
  }
}

/// The nearest of some known names, for "did you mean".
enum Nearest {
  static func name(to name: String, in known: [String]) -> String? {
    let wanted = Array(name.lowercased().utf8)
    guard wanted.count <= 64 else { return nil }
    let ranked = known.map { ($0, distance(wanted, Array($0.lowercased().utf8))) }
    return ranked.min { $0.1 < $1.1 }.flatMap { $0.1 <= max(1, wanted.count / 3) ? $0.0 : nil }
  }

  /// Insertions, removals and replacements.
  private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
      var corner = row[0]
      row[0] = i + 1
      for (j, y) in b.enumerated() {
        let next = min(row[j + 1] + 1, row[j] + 1, corner + (x == y ? 0 : 1))
        corner = row[j + 1]
        row[j + 1] = next
      }
    }
    return row[b.count]
  }
}
