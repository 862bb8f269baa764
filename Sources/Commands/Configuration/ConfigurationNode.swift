import Yams

/// A place in `martlet.yaml`: its value, where it stands, and how it is read.
struct ConfigurationNode {
  let node: Node
  /// `backup.keep.daily`; empty at the top.
  let path: String
  let file: ConfigurationFile

  func error(_ message: String, hint: String? = nil) -> CommandError {
    Self.error(message, hint: hint, at: node.mark, in: file)
  }

  static func error(
    _ message: String, hint: String? = nil, at mark: Mark?, in file: ConfigurationFile
  ) -> CommandError {
    CommandError(
      .configuration, message, hint: hint,
      at: .init(file: file.path, line: mark?.line ?? 1, column: mark?.column ?? 1))
  }

  private var name: String { path.isEmpty ? "the file" : path }

  private var kind: String {
    switch node {
    case .mapping: "a mapping"
    case .sequence: "a list"
    case .scalar(let scalar): "\"\(scalar.string)\""
    case .alias: "an alias"
    }
  }

  /// Walks over a mapping. `body` returns false for a key that it does not know.
  func mapping(
    _ body: (String, ConfigurationNode) throws(CommandError) -> Bool, known: () -> [String]
  ) throws(CommandError) {
    if isNull { return }
    guard case .mapping(let mapping) = node else {
      throw error("\(name) must be a mapping, not \(kind)")
    }
    for (key, value) in mapping {
      guard case .scalar(let scalar) = key else {
        throw Self.error("a key of \(name) must be a word", at: key.mark ?? node.mark, in: file)
      }
      let word = scalar.string
      let inner = ConfigurationNode(
        node: value, path: path.isEmpty ? word : "\(path).\(word)", file: file)
      guard try !body(word, inner) else { continue }
      let nearest = NearestName.find(word, among: known())
      throw Self.error(
        "unknown key \"\(word)\"" + (path.isEmpty ? "" : " in \(path)"),
        hint: nearest.map { "did you mean \($0)?" } ?? "known: \(known().joined(separator: ", "))",
        at: key.mark ?? node.mark, in: file)
    }
  }

  /// A list; a single value counts as a list of one, as in `files: config`.
  func list<Item>(
    _ body: (ConfigurationNode) throws(CommandError) -> Item
  ) throws(CommandError) -> [Item] {
    if isNull { return [] }
    guard case .sequence(let sequence) = node else {
      if case .mapping = node { throw error("\(name) must be a list, not \(kind)") }
      return [try body(self)]
    }
    var items: [Item] = []
    for (index, node) in sequence.enumerated() {
      items.append(try body(.init(node: node, path: "\(path)[\(index)]", file: file)))
    }
    return items
  }

  /// The scalar with the environment's values in it.
  func text() throws(CommandError) -> String {
    guard case .scalar(let scalar) = node, !isNull else {
      throw error("\(name) must be a text, not \(isNull ? "nothing" : kind)")
    }
    let text = try replaced(scalar.string)
    guard !text.isEmpty else { throw error("\(name) is empty") }
    return text
  }

  /// A path, relative to the file's folder, made absolute.
  func path(orURL: Bool = false) throws(CommandError) -> String {
    let text = try text()
    if orURL, text.hasPrefix("rclone:") { return text }
    return file.resolve(text)
  }

  func integer(in range: ClosedRange<Int>) throws(CommandError) -> Int {
    let text = try text()
    guard let number = Int(text), range.contains(number) else {
      throw error(
        "\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound), "
          + "not \"\(text)\"")
    }
    return number
  }

  func duration() throws(CommandError) -> Duration {
    let text = try text()
    guard let duration = Quantity.duration(text) else {
      throw error(
        "\(name) must be a time, not \"\(text)\"", hint: "write 90s, 5m, 2h, 30d or 4w")
    }
    return duration
  }

  func choice<Choice: RawRepresentable & CaseIterable>(
    of type: Choice.Type
  ) throws(CommandError) -> Choice where Choice.RawValue == String {
    let text = try text()
    if let choice = Choice(rawValue: text) { return choice }
    let all = type.allCases.map(\.rawValue)
    throw error(
      "\(name) must be one of \(all.joined(separator: ", ")), not \"\(text)\"",
      hint: NearestName.find(text, among: all).map { "did you mean \($0)?" })
  }

  private var isNull: Bool {
    guard case .scalar(let scalar) = node, scalar.style == .plain || scalar.style == .any else {
      return false
    }
    return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
  }

  private func replaced(_ text: String) throws(CommandError) -> String {
    do {
      return try EnvironmentReplacement.replace(text, from: file.environment)
    } catch {
      throw self.error(error.message, hint: error.hint)
    }
  }
}
