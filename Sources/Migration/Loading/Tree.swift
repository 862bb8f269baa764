import BSON

/// Parsed text, YAML or JSON, that still knows where each part was written.
struct Tree: Sendable {
  enum Content: Sendable {
    /// A scalar's value, and its text for those that are read in another way.
    case scalar(Value, text: String)
    case mapping([Entry])
    case sequence([Tree])
  }

  struct Entry: Sendable {
    let key: String
    let line: Int
    let column: Int
    let value: Tree
  }

  let content: Content
  let line: Int
  let column: Int

  var entries: [Entry]? { if case .mapping(let entries) = content { entries } else { nil } }
  var items: [Tree]? { if case .sequence(let items) = content { items } else { nil } }
  var scalar: Value? { if case .scalar(let value, _) = content { value } else { nil } }
  var string: String? { scalar?.stringValue }

  subscript(key: String) -> Tree? { entries?.first { $0.key == key }?.value }

  /// What it is, for "expected …, found …".
  var kind: String {
    switch content {
    case .mapping: "a mapping"
    case .sequence: "a list"
    case .scalar(let value, _):
      switch value {
      case .string: "a string"
      case .int32, .int64: "an integer"
      case .double: "a floating-point number"
      case .bool: "a boolean"
      case .null: "null"
      default: "a scalar"
      }
    }
  }
}

/// Limits that keep a hostile or broken file from taking the machine with it.
enum Limits {
  /// Bytes of one file; a single command cannot be larger anyway.
  static let fileSize = 48 * 1024 * 1024
  /// Bytes of one encoded step: the server's message limit for one command document.
  static let stepSize = 16 * 1024 * 1024 + 16 * 1024
  /// Levels of nesting; the server stores 180.
  static let depth = 150
  /// Nodes of one file, aliases expanded.
  static let nodes = 2_000_000
}
