internal import CLibMongoc
internal import Glibc
internal import Synchronization

/// What libmongoc would print to stderr on its own, such as "Error in abortTransaction".
///
/// All of it is also in the errors that are thrown, so it is swallowed unless somebody asks for it.
public enum DriverLog {
  private static let sink = Mutex<(@Sendable (String) -> Void)?>(nil)

  /// Sends libmongoc's messages to `receive`, or to nobody. `receive` must not call this module.
  public static func forward(to receive: (@Sendable (String) -> Void)?) {
    Driver.start()
    sink.withLock { $0 = receive }
  }

  fileprivate static func receive(_ line: String) {
    let receive = sink.withLock { $0 }
    receive?(line)
  }
}

/// libmongoc's process-wide state.
enum Driver {
  /// Initialises the library and takes over its log, once.
  static func start() { _ = started }

  private static let started: Bool = {
    // Counters in shared memory serve a tool that nobody here runs. Debian's library has made them when
    // it was loaded, and a process that ends without its clean-up would leave them behind, for another of
    // the same number to complain of.
    setenv("MONGOC_DISABLE_SHM", "1", 1)
    shm_unlink("/mongoc-\(getpid())")
    // Before the start, which has things to say of its own.
    mongoc_log_set_handler(
      { _, domain, message, _ in
        let domain = domain.map { String(cString: $0) } ?? ""
        let message = message.map { String(cString: $0) } ?? ""
        DriverLog.receive("\(domain): \(message)")
      }, nil)
    mongoc_init()
    return true
  }()
}
