/// One pair of `--nsFrom` and `--nsTo`.
///
/// Without a `$` in `from`, the stars of both sides correspond in order. With one, `$name$` is a
/// variable and stars are literal. - Source: archive-format.md 4.3.
public struct NamespaceRename: Sendable {
  /// One piece of the right side.
  private enum Piece: Sendable {
    case literal([UInt8])
    case capture(Int)
  }

  /// Both sides as they were given.
  public let from: String
  public let to: String
  private let literals: [[UInt8]]
  private let pieces: [Piece]

  /// - Throws: ``DumpError`` `.usage` when the two sides do not fit together.
  public init(from: String, to: String) throws(DumpError) {
    self.from = from
    self.to = to
    if from.utf8.contains(UInt8(ascii: "$")) {
      (literals, pieces) = try Self.variables(from, to)
    } else {
      (literals, pieces) = try Self.stars(from, to)
    }
  }

  /// The new name, or nil when the left side does not match.
  public func apply(to text: String) -> String? {
    guard let captures = LazyMatch.captures(of: text.utf8, between: literals) else { return nil }
    var out: [UInt8] = []
    for piece in pieces {
      switch piece {
      case .literal(let bytes): out += bytes
      case .capture(let index): out += captures[index]
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func stars(_ from: String, _ to: String) throws(DumpError) -> (
    [[UInt8]], [Piece]
  ) {
    let left = NamespacePattern.pieces(of: from)
    let right = NamespacePattern.pieces(of: to)
    guard left.count == right.count else {
      throw DumpError(
        .usage,
        "'\(from)' has \(left.count - 1) stars and '\(to)' has \(right.count - 1): they must correspond"
      )
    }
    var pieces: [Piece] = []
    for (index, literal) in right.enumerated() {
      if index > 0 { pieces.append(.capture(index - 1)) }
      pieces.append(.literal(literal))
    }
    return (left, pieces)
  }

  private static func variables(_ from: String, _ to: String) throws(DumpError) -> (
    [[UInt8]], [Piece]
  ) {
    let left = try split(from)
    let right = try split(to)
    var names: [[UInt8]: Int] = [:]
    var literals: [[UInt8]] = []
    for (index, part) in left.enumerated() {
      if index % 2 == 0 {
        literals.append(part)
      } else if names.updateValue(names.count, forKey: part) != nil {
        throw DumpError(
          .usage,
          "the variable '$\(String(decoding: part, as: UTF8.self))$' occurs twice in '\(from)'")
      }
    }
    var pieces: [Piece] = []
    for (index, part) in right.enumerated() {
      if index % 2 == 0 {
        pieces.append(.literal(part))
      } else if let capture = names[part] {
        pieces.append(.capture(capture))
      } else {
        throw DumpError(
          .usage,
          "the variable '$\(String(decoding: part, as: UTF8.self))$' of '\(to)' is not in '\(from)'"
        )
      }
    }
    return (literals, pieces)
  }

  /// Literals at even places, variable names at odd ones.
  private static func split(_ text: String) throws(DumpError) -> [[UInt8]] {
    let parts = text.utf8.split(separator: UInt8(ascii: "$"), omittingEmptySubsequences: false)
      .map { Array($0) }
    guard parts.count % 2 == 1 else {
      throw DumpError(.usage, "the '$' in '\(text)' do not pair up")
    }
    return parts
  }
}

/// What a load takes from a dump, and under which names.
public struct NamespaceSelection: Sendable {
  /// A namespace is taken when one of these matches; all of them when empty.
  public var includes: [NamespacePattern]
  /// Taken besides, when there are patterns, under the names that are given here.
  public var places: [Namespace: Namespace] = [:]
  /// … and none of these does.
  public var excludes: [NamespacePattern]
  /// The pair given last goes first; one is applied, once.
  public var renames: [NamespaceRename]
  /// What every collection's new name begins with; it is put before those that do not yet.
  public var prefix = ""

  public init(
    includes: [NamespacePattern] = [], excludes: [NamespacePattern] = [],
    renames: [NamespaceRename] = []
  ) {
    self.includes = includes
    self.excludes = excludes
    self.renames = renames
  }

  /// True when the namespace is taken; buckets are judged by their time-series' name.
  public func takes(_ namespace: Namespace) -> Bool {
    (includes.isEmpty || places[namespace.logical] != nil
      || includes.contains { $0.matches(namespace) })
      && !excludes.contains { $0.matches(namespace) }
  }

  /// The target of a namespace; buckets follow their time-series.
  /// - Throws: ``DumpError`` `.usage` when a rename gives something that is not a namespace.
  public func target(of namespace: Namespace) throws(DumpError) -> Namespace {
    let logical = namespace.logical
    if let place = places[logical] { return namespace.isBuckets ? place.buckets : place }
    for rename in renames.reversed() {
      guard let name = rename.apply(to: logical.description) else { continue }
      guard let target = Namespace(name), !target.database.isEmpty, !target.collection.isEmpty
      else {
        throw DumpError(
          .usage, "'\(rename.from)' to '\(rename.to)' gives '\(name)', which is not a namespace",
          namespace: logical.description)
      }
      return prefixed(target, isBuckets: namespace.isBuckets)
    }
    return prefix.isEmpty ? namespace : prefixed(logical, isBuckets: namespace.isBuckets)
  }

  private func prefixed(_ target: Namespace, isBuckets: Bool) -> Namespace {
    var target = target
    if !target.collection.hasPrefix(prefix) { target.collection = prefix + target.collection }
    return isBuckets ? target.buckets : target
  }
}
