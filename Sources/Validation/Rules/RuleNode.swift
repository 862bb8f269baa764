internal import BSON
internal import Yams

/// A part of the rules file that knows where it was written.
struct RuleNode {
  enum Content {
    case scalar(JSON)
    case mapping([(key: RuleKey, value: RuleNode)])
    case sequence([RuleNode])
  }

  struct RuleKey {
    let name: String
    let line: Int
    let column: Int
  }

  let content: Content
  let line: Int
  let column: Int

  /// What it is, for "expected …, found …".
  var kind: String {
    switch content {
    case .mapping: "a mapping"
    case .sequence: "a list"
    case .scalar(.string): "a string"
    case .scalar(.number): "a number"
    case .scalar(.bool): "a boolean"
    case .scalar: "null"
    }
  }

  var json: JSON {
    switch content {
    case .scalar(let value): value
    case .sequence(let items): .array(items.map(\.json))
    case .mapping(let pairs): .object(pairs.map { JSON.Member($0.key.name, $0.value.json) })
    }
  }
}

/// Reads YAML text into nodes.
struct RuleNodeReader {
  let file: String
  private var nodes = 0

  init(file: String) { self.file = file }

  /// Nil for an empty file.
  static func read(_ text: String, file: String) throws(ValidationError) -> RuleNode? {
    let root: Node?
    do {
      // No resolver: `no` and `on` are strings, as YAML 1.2 has it.
      root = try Parser(yaml: text, resolver: .basic, encoding: .utf8).singleRoot()
    } catch let error as YamlError {
      throw translate(error, file)
    } catch {
      throw ValidationError(.invalidRules, "the file cannot be parsed as YAML", file: file)
    }
    guard let root else { return nil }
    var reader = RuleNodeReader(file: file)
    return try reader.node(root, depth: 0)
  }

  private static func translate(_ error: YamlError, _ file: String) -> ValidationError {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      ValidationError(
        .invalidRules, "not valid YAML: \(problem)", file: file, line: mark.line,
        column: mark.column, hint: "look at the indentation here and on the line before")
    case .duplicatedKeysInMapping(let names, let context):
      ValidationError(
        .invalidRules, "key `\(names.first ?? "")` is more than once in this mapping", file: file,
        line: context.mark.line, column: context.mark.column)
    case .reader(let problem, _, _, _):
      ValidationError(.invalidRules, "not valid YAML: \(problem)", file: file)
    default: ValidationError(.invalidRules, "the file cannot be parsed as YAML", file: file)
    }
  }

  private mutating func node(_ node: Node, depth: Int) throws(ValidationError) -> RuleNode {
    let (line, column) = (node.mark?.line ?? 1, node.mark?.column ?? 1)
    nodes += 1
    // Aliases of aliases grow without bound.
    guard nodes <= 100_000, depth <= 100 else {
      throw ValidationError(
        .invalidRules, "more values than a rules file may have", file: file, line: line,
        column: column)
    }
    switch node {
    case .scalar(let scalar):
      return RuleNode(
        content: .scalar(Self.scalar(scalar)), line: line, column: column)
    case .sequence(let sequence):
      var items: [RuleNode] = []
      for item in sequence { items.append(try self.node(item, depth: depth + 1)) }
      return RuleNode(content: .sequence(items), line: line, column: column)
    case .mapping(let mapping):
      var pairs: [(key: RuleNode.RuleKey, value: RuleNode)] = []
      for (key, value) in mapping {
        let mark = key.mark
        guard case .scalar(let name) = key else {
          throw ValidationError(
            .invalidRules, "expected a plain name as key", file: file, line: mark?.line,
            column: mark?.column)
        }
        let place = RuleNode.RuleKey(
          name: name.string, line: mark?.line ?? line, column: mark?.column ?? column)
        pairs.append((place, try self.node(value, depth: depth + 1)))
      }
      return RuleNode(content: .mapping(pairs), line: line, column: column)
    case .alias:
      throw ValidationError(
        .invalidRules, "an alias to nothing", file: file, line: line, column: column)
    }
  }

  /// A scalar by the core schema of YAML 1.2.
  private static func scalar(_ scalar: Node.Scalar) -> JSON {
    let text = scalar.string
    guard scalar.style == .plain else { return .string(text) }
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE": return .bool(true)
    case "false", "False", "FALSE": return .bool(false)
    case ".inf", "+.inf", ".Inf", "+.Inf": return wrapped("Infinity")
    case "-.inf", "-.Inf": return wrapped("-Infinity")
    case ".nan", ".NaN", ".NAN": return wrapped("NaN")
    default: break
    }
    guard let first = text.utf8.first, first < 0x3A, first >= 0x2B else { return .string(text) }
    if let number = Int64(text) { return .number(String(number)) }
    let isNumeric = text.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || "+-.eE".utf8.contains(byte)
    }
    if isNumeric, let number = Double(text), number.isFinite { return .number("\(number)") }
    return .string(text)
  }

  private static func wrapped(_ text: String) -> JSON {
    .object([JSON.Member("$numberDouble", .string(text))])
  }
}
