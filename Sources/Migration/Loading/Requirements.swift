/// A server release, `6.0.5`; a part that is not written is 0.
public struct Release: Sendable, Hashable, Comparable, CustomStringConvertible {
  public let major: Int
  public let minor: Int
  public let patch: Int

  public init(major: Int, minor: Int = 0, patch: Int = 0) {
    self.major = major
    self.minor = minor
    self.patch = patch
  }

  /// Reads `6`, `6.0` or `6.0.5`; nil for anything else.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { part in
      part.utf8.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") } ? Int(part) : nil
    }
    guard (1...3).contains(parts.count), numbers.count == parts.count else { return nil }
    self.init(
      major: numbers[0], minor: numbers.count > 1 ? numbers[1] : 0,
      patch: numbers.count > 2 ? numbers[2] : 0)
  }

  /// All three parts.
  public var description: String { "\(major).\(minor).\(patch)" }

  public static func < (a: Self, b: Self) -> Bool {
    (a.major, a.minor, a.patch) < (b.major, b.minor, b.patch)
  }
}

/// What a migration asks of the server that it runs on.
public struct Requirements: Sendable, Hashable {
  /// A kind of deployment.
  public enum Topology: String, Sendable, Hashable, CaseIterable {
    case standalone
    case replicaSet
    case sharded
  }

  /// The oldest release that will do.
  public var minimum: Release?
  /// The first release that will not do any more.
  public var below: Release?
  /// The kinds of deployment that will do; empty for all.
  public var topologies: [Topology]

  public init(minimum: Release? = nil, below: Release? = nil, topologies: [Topology] = []) {
    self.minimum = minimum
    self.below = below
    self.topologies = topologies
  }

  /// True when nothing is asked for.
  public var isEmpty: Bool { minimum == nil && below == nil && topologies.isEmpty }

  /// True when a release is in the range.
  public func accepts(_ release: Release) -> Bool {
    minimum.map { release >= $0 } ?? true && below.map { release < $0 } ?? true
  }
}
