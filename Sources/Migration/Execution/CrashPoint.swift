#if canImport(Glibc)
  internal import Glibc
#else
  internal import Darwin
#endif

/// Named places at which the process kills itself, for tests of what a second run finds.
///
/// `MARTLET_CRASH_AT=data.before-commit:2` makes it die as by SIGKILL when that point is reached.
/// Without the variable a point costs one comparison.
enum CrashPoint {
  private static let armed: String? = getenv("MARTLET_CRASH_AT").map { String(cString: $0) }

  /// Dies here if the environment says so.
  static func reached(_ name: @autoclosure () -> String) {
    guard let armed, armed == name() else { return }
    kill(getpid(), SIGKILL)
  }

  /// The same for a point that is passed more than once: `name:ordinal`.
  static func reached(_ name: String, _ ordinal: Int) { reached("\(name):\(ordinal)") }
}
