/// Random numbers that are the same for the same seed on every machine.
///
/// - Source: SplitMix64, public domain.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  /// A stream of its own for each purpose and position, so that threads need not wait for each other.
  init(seed: UInt64, stream: UInt64, position: Int) {
    state = seed &+ stream &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(position) &* 0xBF58_476D_1CE4_E5B9
    _ = next()
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number below `bound`.
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(max(1, bound))) }

  mutating func one(of choices: [String]) -> String { choices[below(choices.count)] }
}
