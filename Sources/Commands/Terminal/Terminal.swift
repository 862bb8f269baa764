import MongoDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The person at the other end of standard input, if there is one.
protocol Interlocutor: Sendable {
  /// Whether somebody can be asked.
  var isPresent: Bool { get }

  /// Reads one line, without showing it where `secret`. Blocks; nil at the end of input.
  /// - Throws: `interrupted` when the run was told to stop.
  func readLine(secret: Bool, cancellation: Cancellation) throws(CommandError) -> String?
}

struct Terminal: Interlocutor {
  var isPresent: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1 }

  func readLine(secret: Bool, cancellation: Cancellation) throws(CommandError) -> String? {
    let before = secret ? hideTyping() : nil
    defer {
      if var before { tcsetattr(STDIN_FILENO, TCSAFLUSH, &before) }
    }
    var line: [UInt8] = []
    while true {
      // Signals are blocked in this thread, so a plain read would not notice Ctrl-C.
      if cancellation.reason != nil { throw CommandError(.interrupted, "interrupted") }
      var wait = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      guard poll(&wait, 1, 100) > 0 else { continue }
      var byte: UInt8 = 0
      let count = read(STDIN_FILENO, &byte, 1)
      if count == 1, byte != 0x0A {
        line.append(byte)
      } else if count < 0, errno == EINTR || errno == EAGAIN {
        continue
      } else {
        if count <= 0, line.isEmpty { return nil }
        return String(decoding: line, as: UTF8.self)
      }
    }
  }

  private func hideTyping() -> termios? {
    var settings = termios()
    guard tcgetattr(STDIN_FILENO, &settings) == 0 else { return nil }
    let before = settings
    settings.c_lflag &= ~tcflag_t(ECHO)
    guard tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings) == 0 else { return nil }
    return before
  }
}
