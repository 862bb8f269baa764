internal import Foundation
internal import Glibc
internal import Synchronization

/// A running program whose output is collected, for tests that look at it from outside or kill it.
///
/// Spawned and waited for by hand: Foundation's `Process` waits in a run loop, which threads of a test
/// run do not turn.
public final class ChildProcess: Sendable {
  /// How a program ended, and what it wrote.
  public struct Result: Sendable {
    /// The exit code, or minus the number of the signal that killed it.
    public let exitCode: Int32
    public let stdout: String
    public let stderr: String
  }

  private struct State {
    var output: [[UInt8]] = [[], []]
    var open = 2
    var exitCode: Int32?
  }

  public let pid: Int32
  private let state = Mutex(State())
  private let changed = NSCondition()

  /// Starts a program. `environment` is added to ours; a nil value removes a name.
  public init(
    _ executable: String, _ arguments: [String], environment: [String: String?] = [:],
    directory: String? = nil, stdin: String? = nil
  ) throws {
    var variables = ProcessInfo.processInfo.environment
    for (name, value) in environment { variables[name] = value }
    // Another spawn between pipe and fcntl would inherit our ends, and hold them open.
    let (pipes, child) = try Self.spawning.withLock { _ in
      try Self.spawn(executable, arguments, variables, directory)
    }
    pid = child
    let input = [UInt8]((stdin ?? "").utf8)
    _ = input.withUnsafeBytes { write(pipes[0].write, $0.baseAddress, $0.count) }
    close(pipes[0].write)
    for stream in 0..<2 { collect(pipes[stream + 1].read, stream) }
    Thread { [self] in reap() }.start()
  }

  /// Writes a script that can be run at once, with its folder.
  ///
  /// Another process writes it. A spawn elsewhere in a test run inherits what this one has open for a moment,
  /// and a file that somebody may write to cannot be run: "text file busy".
  public static func writeProgram(_ text: String, to path: String) throws {
    let write = "mkdir -p \"$(dirname \"$0\")\" && cat >\"$0\" && chmod 700 \"$0\""
    let written = try ChildProcess("/bin/sh", ["-c", write, path], stdin: text).wait()
    guard written.exitCode == 0 else { throw TestServer.Missing(description: written.stderr) }
  }

  /// Sends a signal, unless the program is over: its number may be another's by then.
  public func kill(_ signal: Int32) {
    guard !hasEnded else { return }
    _ = Glibc.kill(pid, signal)
  }

  /// What has been written to stdout so far.
  public var stdoutSoFar: String { text(0) }
  /// What has been written to stderr so far.
  public var stderrSoFar: String { text(1) }

  /// Blocks until `text` has appeared on either stream; false when the program ended without it.
  public func waitFor(_ text: String) -> Bool {
    waitUntil { stdoutSoFar.contains(text) || stderrSoFar.contains(text) || isOver }
    return stdoutSoFar.contains(text) || stderrSoFar.contains(text)
  }

  /// Blocks until the program has ended and its output is complete.
  public func wait() -> Result {
    waitUntil { isOver }
    return Result(
      exitCode: state.withLock { $0.exitCode ?? -1 }, stdout: stdoutSoFar, stderr: stderrSoFar)
  }

  /// Whether the program itself is over; what it has started may still hold its output open.
  public var hasEnded: Bool { state.withLock { $0.exitCode != nil } }

  /// The program is over, and all of its output is here.
  var isOver: Bool { state.withLock { $0.open == 0 && $0.exitCode != nil } }

  private func text(_ stream: Int) -> String {
    state.withLock { String(decoding: $0.output[stream], as: UTF8.self) }
  }

  private func waitUntil(_ condition: () -> Bool) {
    changed.lock()
    while !condition() { changed.wait() }
    changed.unlock()
  }

  private func collect(_ descriptor: Int32, _ stream: Int) {
    Thread { [self] in
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { break }
        note { $0.output[stream].append(contentsOf: buffer[..<count]) }
      }
      close(descriptor)
      note { $0.open -= 1 }
    }.start()
  }

  private func reap() {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    let signal = status & 0x7F
    let code = signal == 0 ? (status >> 8) & 0xFF : -signal
    note { $0.exitCode = code }
  }

  private func note(_ change: (inout State) -> Void) {
    changed.lock()
    state.withLock { change(&$0) }
    changed.broadcast()
    changed.unlock()
  }

  private static let spawning = Mutex(())

  private static func spawn(
    _ executable: String, _ arguments: [String], _ variables: [String: String],
    _ directory: String?
  ) throws -> (pipes: [(read: Int32, write: Int32)], pid: Int32) {
    let pipes = try (0..<3).map { _ in try makePipe() }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, pipes[0].read, 0)
    posix_spawn_file_actions_adddup2(&actions, pipes[1].write, 1)
    posix_spawn_file_actions_adddup2(&actions, pipes[2].write, 2)

    // A test run blocks signals, and a child inherits that: it could then not be interrupted.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))

    // env(1) changes the folder and becomes the program: same process id.
    let change = directory.map { ["/usr/bin/env", "-C", $0] } ?? []
    let command = change + [executable] + arguments
    var argv = command.map { strdup($0) } + [nil]
    var envp = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for text in argv + envp { free(text) } }
    var child: pid_t = 0
    let failure = posix_spawn(&child, command[0], &actions, &attributes, &argv, &envp)
    for end in [pipes[0].read, pipes[1].write, pipes[2].write] { close(end) }
    guard failure == 0 else {
      for end in [pipes[0].write, pipes[1].read, pipes[2].read] { close(end) }
      throw TestServer.Missing(description: "\(executable): \(String(cString: strerror(failure)))")
    }
    return (pipes, child)
  }

  private static func makePipe() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else {
      throw TestServer.Missing(description: "no pipe: \(String(cString: strerror(errno)))")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }
}
