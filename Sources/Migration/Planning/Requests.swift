/// How far `up` goes.
public struct UpRequest: Sendable {
  /// Stop after this migration: a stem or a number.
  public var to: String?
  /// At most so many.
  public var count: Int?
  /// Apply pending migrations that come before applied ones.
  public var allowOutOfOrder: Bool

  public init(to: String? = nil, count: Int? = nil, allowOutOfOrder: Bool = false) {
    self.to = to
    self.count = count
    self.allowOutOfOrder = allowOutOfOrder
  }
}

/// How far `down` goes.
public enum DownRequest: Sendable {
  /// The newest so many.
  case count(Int)
  /// All that come after this one; it stays.
  case to(String)
  /// Those that the last `up` applied together.
  case batch
  case all
  /// Exactly these, for `redo`.
  case names([String])
}
