import Foundation
import MongoDB
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Turns signals into a cancellation that the work looks at between steps.
///
/// The signals are blocked and one thread waits for them, so nothing here runs in a signal handler.
enum Signals {
  static let interrupt: Int32 = SIGINT

  /// Starts to listen. Call it before any other thread starts, which inherits what is blocked.
  static func listen(_ cancellation: Cancellation, console: Console) {
    // A pipe that closes is an error of write(2), not the end of a migration.
    signal(SIGPIPE, SIG_IGN)
    // So is a file that may not become larger (ulimit -f).
    signal(SIGXFSZ, SIG_IGN)
    // A run started with nohup keeps ignoring what it was told to. What a shell's script starts in the
    // background ignores interrupts only so that Ctrl-C does not reach it: `kill -INT` still means it.
    let isInBackground = isIgnored(SIGINT)
    let stopping = [SIGTERM, SIGHUP].filter { !isIgnored($0) }
    let waited = signalSet(stopping + [SIGINT, SIGUSR1])
    withUnsafePointer(to: waited) { _ = pthread_sigmask(SIG_BLOCK, $0, nil) }

    Thread.detachNewThread {
      var interrupts = 0
      while true {
        guard let (number, isOfTerminal) = wait(waited) else { continue }
        switch number {
        case SIGINT where isInBackground && isOfTerminal: break
        case SIGUSR1:
          console.printProgress()
        case SIGINT where interrupts > 0:
          console.status("interrupted again: gone without tidying up")
          _exit(CommandStatus.interrupted.rawValue)
        default:
          if number == SIGINT { interrupts += 1 }
          console.status(
            number == SIGINT
              ? "stopping at the next safe point (Ctrl-C again to quit at once)"
              : "stopping at the next safe point")
          cancellation.cancel(.interrupted(number))
        }
      }
    }
  }

  /// The next of these signals, and whether it was typed.
  private static func wait(_ signals: sigset_t) -> (number: Int32, isOfTerminal: Bool)? {
    var set = signals
    #if canImport(Darwin)
      var number: Int32 = 0
      return sigwait(&set, &number) == 0 ? (number, true) : nil
    #else
      var information = siginfo_t()
      let number = sigwaitinfo(&set, &information)
      // What a process sends has a code of 0 or less, what the kernel sends a greater one.
      return number > 0 ? (number, information.si_code > 0) : nil
    #endif
  }

  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    guard sigaction(number, nil, &action) == 0 else { return false }
    #if canImport(Darwin)
      let handler = action.__sigaction_u.__sa_handler
    #else
      let handler = action.__sigaction_handler.sa_handler
    #endif
    return unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  private static func signalSet(_ numbers: [Int32]) -> sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in numbers { sigaddset(&set, number) }
    return set
  }
}
