internal import BSON

/// Reads `validation/rules.yaml`.
public struct RulesLoader: Sendable {
  /// Most bytes of a rules file.
  public static let maximumSize = 4 << 20

  public init() {}

  /// Reads a file. Blocks.
  /// - Throws: ``ValidationError`` `unreadableRules` or `invalidRules`, with everything that is wrong
  ///   in `others`.
  public func load(_ path: String) throws(ValidationError) -> Rules {
    guard let bytes = WholeFile.read(path, limit: Self.maximumSize) else {
      throw ValidationError(
        .unreadableRules, "cannot read the rules: \(WholeFile.reason)", file: path,
        hint: "martlet init writes validation/rules.yaml; --rules FILE names another")
    }
    guard bytes.count <= Self.maximumSize else {
      throw ValidationError(.unreadableRules, "larger than a rules file may be", file: path)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw ValidationError(.unreadableRules, "not UTF-8 text", file: path)
    }
    var rules = try parse(text, file: path)
    // FNV-1a: tells one text from another, and no more.
    let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    rules.digest = String(hash, radix: 16)
    return rules
  }

  /// Reads text; `file` is for messages.
  /// - Throws: ``ValidationError`` `invalidRules`.
  public func parse(_ text: String, file: String) throws(ValidationError) -> Rules {
    var rules = Rules(file: file)
    guard let root = try RuleNodeReader.read(text, file: file) else { return rules }
    if case .scalar(.null) = root.content { return rules }
    var reader = try RuleReader(root, file: file, what: "a rules file")
    var errors: [ValidationError] = []
    if let node = reader.take("version") {
      guard case .scalar(.number("1")) = node.content else {
        throw reader.fail("this martlet reads rules of version 1", at: node)
      }
    }
    let parser = RuleParser(file: file)
    rules.collections = each("collections", &reader, &errors, parser.collection)
    rules.indexes = each("indexes", &reader, &errors, parser.index)
    rules.references = each("references", &reader, &errors, parser.reference)
    rules.unique = each("unique", &reader, &errors, parser.unique)
    rules.schemas = each("schemas", &reader, &errors, parser.schema)
    rules.fields = each("fields", &reader, &errors, parser.field)
    rules.empty = each("empty", &reader, &errors, parser.empty)
    rules.queries = each("queries", &reader, &errors, parser.query)
    rules.files = each("files", &reader, &errors, parser.file)
    rules.commands = each("commands", &reader, &errors, parser.command)
    rules.audits = each("audit", &reader, &errors, parser.audit)
    do throws(ValidationError) { try reader.finish() } catch { errors.append(error) }
    errors += repeated(rules.queries.map(\.name), "queries", file)
    errors += repeated(rules.empty.map(\.name), "empty", file)
    errors.sort { ($0.line ?? 0, $0.column ?? 0) < ($1.line ?? 0, $1.column ?? 0) }
    guard var first = errors.first else { return rules }
    first.others = Array(errors.dropFirst())
    throw first
  }

  private func each<Rule>(
    _ name: String, _ reader: inout RuleReader, _ errors: inout [ValidationError],
    _ parse: (RuleNode) throws(ValidationError) -> Rule
  ) -> [Rule] {
    guard let node = reader.take(name) else { return [] }
    if case .scalar(.null) = node.content { return [] }
    guard case .sequence(let items) = node.content else {
      errors.append(reader.fail("`\(name)` is a list, found \(node.kind)", at: node))
      return []
    }
    var rules: [Rule] = []
    for item in items {
      do throws(ValidationError) { rules.append(try parse(item)) } catch { errors.append(error) }
    }
    return rules
  }

  /// Results are told apart by name.
  private func repeated(_ names: [String], _ list: String, _ file: String) -> [ValidationError] {
    var seen: Set<String> = []
    return names.filter { !seen.insert($0).inserted }.map {
      ValidationError(.invalidRules, "two rules of `\(list)` are called `\($0)`", file: file)
    }
  }
}
