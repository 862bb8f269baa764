import BSON
import Crypto

/// Short names and generated ids that come out the same on every run.
enum StepHash {
  /// Eight hexadecimal digits of a name.
  static func short(of text: String) -> String {
    String(Hex.encode(SHA256.hash(data: Array(text.utf8))).prefix(8))
  }

  /// Ids for the documents of a migration's inserts: the same for the same seed, step and position,
  /// so that an attempt that goes on inserts the very documents that the first one began with.
  static func ids(seed: String, migration: String, step: Int, now: DateTime) -> () -> ObjectID {
    let digest = Array(SHA256.hash(data: Array("\(seed)/\(migration)/\(step)".utf8)))
    let random = digest.prefix(5).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    var counter = digest[5..<7].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return {
      counter &+= 1
      return ObjectID(
        seconds: UInt32(truncatingIfNeeded: now.milliseconds / 1000), random: random,
        counter: counter)
    }
  }

  /// A seed for a run that begins.
  static func newSeed() -> String {
    var generator = SystemRandomNumberGenerator()
    return String(generator.next(), radix: 16)
  }
}
