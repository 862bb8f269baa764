import BSON
import Yams

/// Reads one YAML document into a tree.
struct YAMLReader {
  private let file: String
  private var nodes = 0

  private init(file: String) { self.file = file }

  /// - Throws: the first thing that is not as it should be; YAML cannot be read on after it.
  static func read(_ text: String, file: String) throws(MigrationError) -> Tree {
    guard let root = try compose(text, file: file) else {
      throw MigrationError(
        .emptyFile, "the file is empty: expected a mapping with `up:`", file: file, line: 1,
        column: 1)
    }
    var reader = YAMLReader(file: file)
    return try reader.tree(root, depth: 0)
  }

  private static func compose(_ text: String, file: String) throws(MigrationError) -> Node? {
    do {
      // The basic resolver has no rules: the default one runs a dozen regular expressions a key.
      // The encoding is given because the default looks it up in the environment each time.
      return try Parser(yaml: text, resolver: .basic, encoding: .utf8).singleRoot()
    } catch let error as YamlError {
      throw translate(error, text: text, file: file)
    } catch {
      throw MigrationError(.syntax, "the file cannot be parsed as YAML", file: file)
    }
  }

  private mutating func tree(_ node: Node, depth: Int) throws(MigrationError) -> Tree {
    let (line, column) = (node.mark?.line ?? 1, node.mark?.column ?? 1)
    nodes += 1
    guard nodes <= Limits.nodes, depth <= Limits.depth else {
      let what =
        depth > Limits.depth
        ? "nested deeper than \(Limits.depth) levels"
        : "more than \(Limits.nodes) values once aliases are expanded"
      throw MigrationError(.tooLarge, what, file: file, line: line, column: column)
    }
    switch node {
    case .scalar(let scalar):
      return Tree(
        content: .scalar(try value(scalar, line, column), text: scalar.string), line: line,
        column: column)
    case .sequence(let sequence):
      try check(sequence.tag, is: "tag:yaml.org,2002:seq", line, column)
      var items: [Tree] = []
      for item in sequence { items.append(try tree(item, depth: depth + 1)) }
      return Tree(content: .sequence(items), line: line, column: column)
    case .mapping(let mapping):
      try check(mapping.tag, is: "tag:yaml.org,2002:map", line, column)
      var entries: [Tree.Entry] = []
      for (key, value) in mapping {
        entries.append(try entry(key, value, depth: depth))
      }
      return Tree(content: .mapping(entries), line: line, column: column)
    case .alias:
      throw MigrationError(.syntax, "an alias to nothing", file: file, line: line, column: column)
    }
  }

  private mutating func entry(
    _ key: Node, _ value: Node, depth: Int
  ) throws(MigrationError) -> Tree.Entry {
    let (line, column) = (key.mark?.line ?? 1, key.mark?.column ?? 1)
    guard case .scalar(let name) = key else {
      throw MigrationError(
        .wrongType, "expected a plain name as key, found a list or a mapping", file: file,
        line: line, column: column)
    }
    if name.string == "<<", name.style == .plain {
      throw MigrationError(
        .unknownKey, "merge keys (`<<`) are not part of YAML 1.2", file: file, line: line,
        column: column, hint: "write the keys out, or alias the whole mapping with *name")
    }
    guard !name.string.utf8.contains(0) else {
      throw MigrationError(
        .invalidValue, "a key holds a NUL character, which no field name may", file: file,
        line: line, column: column)
    }
    return Tree.Entry(
      key: name.string, line: line, column: column, value: try tree(value, depth: depth + 1))
  }

  private func value(
    _ scalar: Node.Scalar, _ line: Int, _ column: Int
  ) throws(MigrationError) -> Value {
    let text = scalar.string
    func fail(_ code: MigrationError.Code, _ message: String, hint: String? = nil) -> MigrationError
    {
      MigrationError(code, message, file: file, line: line, column: column, hint: hint)
    }
    let core = scalar.style == .plain ? CoreScalar.value(text) : .string(text)
    switch scalar.tag.description {
    case "" where scalar.style == .plain, "tag:yaml.org,2002:null" where text.isEmpty:
      guard let core else {
        throw fail(
          .invalidValue, "an integer that does not fit in 64 bits",
          hint: "write { $numberDecimal: \"…\" } or quote it")
      }
      return core
    case "", "!", "tag:yaml.org,2002:str": return .string(text)
    case "tag:yaml.org,2002:int":
      guard case .some(let value) = CoreScalar.value(text), value.integerValue != nil,
        value.type != .double
      else { throw fail(.invalidValue, "!!int on something that is not an integer") }
      return value
    case "tag:yaml.org,2002:float":
      guard case .some(let value) = CoreScalar.value(text), let double = value.doubleValue else {
        throw fail(.invalidValue, "!!float on something that is not a number")
      }
      return .double(double)
    case "tag:yaml.org,2002:bool":
      guard case .some(.bool(let flag)) = CoreScalar.value(text) else {
        throw fail(.invalidValue, "!!bool on something that is not true or false")
      }
      return .bool(flag)
    case "tag:yaml.org,2002:null":
      guard case .some(.null) = CoreScalar.value(text) else {
        throw fail(.invalidValue, "!!null on something that is not null")
      }
      return .null
    case let tag:
      throw fail(
        .unknownTag, "unknown tag \(tag)",
        hint: "only !!str, !!int, !!float, !!bool, !!null, !!map and !!seq; write other types as "
          + "Extended JSON, { $date: … }")
    }
  }

  private func check(
    _ tag: Tag, is name: String, _ line: Int, _ column: Int
  ) throws(MigrationError) {
    guard ["", "!", name].contains(tag.description) else {
      throw MigrationError(
        .unknownTag, "tag \(tag) does not fit here", file: file, line: line, column: column)
    }
  }
}
