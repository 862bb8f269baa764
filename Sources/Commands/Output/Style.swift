/// How a piece of text is set off from the rest, where colours are allowed.
enum Style: String, Sendable, Hashable {
  case plain
  case bold
  case dim
  case good
  case warning
  case bad
  case name

  private var code: String? {
    switch self {
    case .plain: nil
    case .bold: "1"
    case .dim: "2"
    case .good: "32"
    case .warning: "33"
    case .bad: "31"
    case .name: "36"
    }
  }

  /// The text between this style's escape sequences; the text itself must have none.
  func apply(to text: String, colour: Bool) -> String {
    guard colour, let code, !text.isEmpty else { return text }
    return "\u{1b}[\(code)m\(text)\u{1b}[0m"
  }
}

/// Pieces of styled text. Everything that goes in is made harmless to terminals.
struct StyledText: Sendable, Hashable, ExpressibleByStringInterpolation {
  private(set) var pieces: [Piece] = []

  struct Piece: Sendable, Hashable {
    var text: String
    var style: Style
  }

  init() {}
  init(_ text: String, _ style: Style = .plain) { pieces = [Piece(text: text.shown, style: style)] }
  init(stringLiteral value: String) { self.init(value) }
  init(stringInterpolation: Interpolation) { pieces = stringInterpolation.pieces }

  static func + (a: StyledText, b: StyledText) -> StyledText {
    var sum = a
    sum.pieces += b.pieces
    return sum
  }

  var plain: String { pieces.map(\.text).joined() }
  var columns: Int { pieces.reduce(0) { $0 + $1.text.columns } }

  func rendered(colour: Bool) -> String {
    pieces.map { $0.style.apply(to: $0.text, colour: colour) }.joined()
  }

  struct Interpolation: StringInterpolationProtocol {
    fileprivate(set) var pieces: [Piece] = []

    init(literalCapacity: Int, interpolationCount: Int) {}
    mutating func appendLiteral(_ literal: String) {
      pieces.append(Piece(text: literal.shown, style: .plain))
    }
    mutating func appendInterpolation(_ value: some Any, _ style: Style = .plain) {
      pieces.append(Piece(text: String(describing: value).shown, style: style))
    }
    mutating func appendInterpolation(_ value: StyledText) { pieces += value.pieces }
  }
}
