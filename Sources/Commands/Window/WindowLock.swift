import Foundation

/// Keeps a second window out of a project for as long as the first one lives. The kernel gives it back,
/// however the process ends.
final class WindowLock: Sendable {
  private let descriptor: Int32

  private init(_ descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// - Throws: `CommandError` `.locked` while another window runs, `.file`.
  static func take(_ path: String) throws(CommandError) -> WindowLock {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw CommandError(.file, "cannot open \(path): \(String(cString: strerror(errno)))")
    }
    let lock = WindowLock(descriptor)
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw CommandError(
        .locked, "another window runs in this folder",
        hint: "wait for it; --resume is for one that was killed")
    }
    return lock
  }
}
