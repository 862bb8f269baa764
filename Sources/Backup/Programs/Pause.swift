internal import Glibc

enum Pause {
  /// Blocks.
  static func milliseconds(_ count: UInt32) { usleep(count * 1000) }
}
