internal import Foundation
internal import Glibc

/// Waiting for what comes at once on a quiet machine, and late on a busy one.
public enum Patience {
  /// What was waited for did not come.
  public struct Over: Error, CustomStringConvertible {
    public let description: String
  }

  private static let minutes = 5

  /// Blocks until `condition` holds.
  /// - Parameters:
  ///   - what: is waited for, as the error names it.
  ///   - child: the program that brings it: nobody waits for one that has ended.
  /// - Throws: ``Over`` with what the program said, when it has ended or some minutes have passed.
  public static func wait(
    for what: String, of child: ChildProcess? = nil, until condition: () throws -> Bool
  ) throws {
    let end = ContinuousClock.now + .seconds(60 * minutes)
    while true {
      // Before the look: what a program does last is seen after its end.
      let hasEnded = child?.hasEnded == true
      if try condition() { return }
      if hasEnded { throw over("it ended without \(what)", child) }
      if ContinuousClock.now > end { throw over("\(minutes) minutes without \(what)", child) }
      usleep(5000)
    }
  }

  /// Blocks until there is a file at `path`.
  public static func wait(forFile path: String, of child: ChildProcess? = nil) throws {
    try wait(for: path, of: child) { access(path, F_OK) == 0 }
  }

  private static func over(_ text: String, _ child: ChildProcess?) -> Over {
    // The rest of what it said may still be on its way.
    if let child { for _ in 0..<200 where !child.isOver { usleep(10_000) } }
    return Over(description: child.map { "\(text)\n\($0.stderrSoFar)" } ?? text)
  }
}
