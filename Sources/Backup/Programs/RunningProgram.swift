internal import Dump
internal import Glibc
internal import MongoDB
internal import Synchronization

/// A program that runs beside us, started without a shell; its streams are pipes to us.
///
/// `posix_spawn` and not a fork: other threads of this process hold locks. Our signal mask and
/// ignored signals would be inherited, so that a child could neither be interrupted nor die of a
/// closed pipe: both are reset.
final class RunningProgram: Sendable {
  /// How a program ended.
  enum Ending: Sendable, Hashable, CustomStringConvertible {
    case exited(Int32)
    case killed(signal: Int32)
    /// The system cannot tell: never a success.
    case unknown

    var description: String {
      switch self {
      case .exited(let code): "exit code \(code)"
      case .killed(let signal): "signal \(signal)"
      case .unknown: "and how it ended is not known"
      }
    }
  }

  private struct State {
    var input: Int32
    var output: Int32
    var ending: Ending?
    var errors: [UInt8] = []
    /// Why we ended it.
    var reason: BackupError?
  }

  /// How long we wait for it.
  struct Limits: Sendable {
    /// It is killed when this is cancelled.
    var cancellation: Cancellation?
    /// Milliseconds of one read or write without a byte, after which it hangs.
    var silence: Int64?
    /// Milliseconds from its start to its end.
    var total: Int64?
    /// What stands among its arguments and must not be quoted from its messages.
    var secrets: [String] = []
  }

  /// What is shown of it in messages: never its arguments, which may be secret.
  let name: String
  let pid: pid_t
  private let state: Mutex<State>
  private let errorReader: Mutex<WorkerThread?>
  private let limits: Limits
  private let started = Moment.ticks()

  /// Starts a program found on PATH.
  ///
  /// - Parameters:
  ///   - words: its name and arguments.
  ///   - environment: added to ours.
  ///   - input: we write to its standard input, which is empty otherwise.
  ///   - output: we read its standard output, which is thrown away otherwise.
  ///   - ownGroup: signals of our terminal do not reach it.
  ///   - limits: it and what it has started are killed when they are passed.
  /// - Throws: ``BackupError`` `.program` when it cannot be started.
  init(
    _ words: [String], environment: [String: String] = [:], input: Bool, output: Bool,
    ownGroup: Bool = false, limits: Limits = Limits()
  ) throws(BackupError) {
    guard let first = words.first, !first.isEmpty else {
      throw BackupError(.usage, "a command without a program's name")
    }
    name = first.split(separator: "/").last.map(String.init) ?? first
    self.limits = limits
    Self.ignoreBrokenPipes()
    Self.expectChildren()
    // Another spawn between pipe and fcntl would inherit our ends, and hold them open.
    Self.spawning.lock()
    defer { Self.spawning.unlock() }
    let inputPipe = input ? try Pipe() : nil
    let outputPipe = output ? try Pipe() : nil
    let errorPipe = try Pipe()
    defer {
      inputPipe?.closeRead()
      outputPipe?.closeWrite()
      errorPipe.closeWrite()
    }
    do throws(BackupError) {
      pid = try Self.spawn(
        words, environment, input: inputPipe?.read, output: outputPipe?.write,
        error: errorPipe.write, ownGroup: ownGroup)
    } catch {
      inputPipe?.closeWrite()
      outputPipe?.closeRead()
      errorPipe.closeRead()
      throw error
    }
    state = Mutex(State(input: inputPipe?.write ?? -1, output: outputPipe?.read ?? -1))
    // So that a program which does not read can be given up.
    if let end = inputPipe?.write { _ = fcntl(end, F_SETFL, O_WRONLY | O_NONBLOCK) }
    errorReader = Mutex(nil)
    let errors = errorPipe.read
    let reader = WorkerThread { [self] in collectErrors(errors) }
    errorReader.withLock { $0 = reader }
    if reader == nil { close(errors) }
  }

  deinit {
    closeInput()
    closeOutput()
  }

  // MARK: - Streams

  /// Writes all bytes to its standard input. Blocks.
  /// - Throws: ``DumpError`` `.file` when it has stopped reading.
  func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    let descriptor = state.withLock { $0.input }
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
      if count >= 0 {
        done += count
      } else if errno == EAGAIN {
        try waitUntilReady(descriptor, POLLOUT)
      } else if errno != EINTR {
        throw DumpError(.file, "\(name) stopped reading", cause: failure(kill: false))
      }
    }
  }

  /// Reads from its standard output; 0 is the end. Blocks.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    let descriptor = state.withLock { $0.output }
    while true {
      try waitUntilReady(descriptor, POLLIN)
      let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      guard errno == EINTR else {
        throw DumpError(.file, "\(name) cannot be read: \(String(cString: strerror(errno)))")
      }
    }
  }

  /// Waits until a pipe can be used; ends the program when it has waited for too long.
  private func waitUntilReady(_ descriptor: Int32, _ events: Int32) throws(DumpError) {
    let begun = Moment.ticks()
    while descriptor >= 0 {
      var waited = pollfd(fd: descriptor, events: Int16(events), revents: 0)
      // Anything but a pause, an error too, is for the caller's read or write to find.
      guard poll(&waited, 1, 100) == 0 else { return }
      guard let reason = passedLimit(waitingSince: begun) else { continue }
      end(reason)
      throw DumpError(.file, reason.message, hint: reason.hint, cause: reason)
    }
  }

  /// The limit that has been passed.
  private func passedLimit(waitingSince begun: Int64? = nil) -> BackupError? {
    if let reason = limits.cancellation?.reason {
      return BackupError(.cancelled, "\(name) was stopped", cause: Self.stop(reason))
    }
    let now = Moment.ticks()
    if let total = limits.total, now - started > total {
      return BackupError(
        .program, "\(name) took longer than \(total / 1000) s and was stopped",
        hint: "see why it hangs, by hand")
    }
    if let silence = limits.silence, let begun, now - begun > silence {
      return BackupError(
        .program, "\(name) moved nothing for \(silence / 1000) s and was stopped",
        hint: "see why it hangs, by hand")
    }
    return nil
  }

  private static func stop(_ reason: Cancellation.Reason) -> MongoError? {
    let cancellation = Cancellation()
    cancellation.cancel(reason)
    do throws(MongoError) {
      try cancellation.check()
      return nil
    } catch { return error }
  }

  /// Ends its input.
  func closeInput() {
    let descriptor = state.withLock { state in
      defer { state.input = -1 }
      return state.input
    }
    if descriptor >= 0 { close(descriptor) }
  }

  func closeOutput() {
    let descriptor = state.withLock { state in
      defer { state.output = -1 }
      return state.output
    }
    if descriptor >= 0 { close(descriptor) }
  }

  /// The last 4 KiB that it wrote to standard error, credentials cut out.
  var errorText: String {
    let text = state.withLock { String(decoding: $0.errors, as: UTF8.self) }
    let lines = text.split(whereSeparator: \.isNewline).suffix(6).map { line in
      line.count > 300 ? String(line.prefix(300)) + "…" : String(line)
    }
    return limits.secrets.reduce(Redaction.text(lines.joined(separator: "; "))) {
      $0.replacing($1, with: "***")
    }
  }

  // MARK: - End

  /// Blocks until it has ended.
  func wait() -> Ending {
    if let ending = state.withLock({ $0.ending }) { return ending }
    var status: Int32 = 0
    var pause: UInt32 = 1
    var isKnown = true
    while true {
      let result = waitpid(pid, &status, limits.isEmpty ? 0 : WNOHANG)
      if result == pid { break }
      // Another thread has waited for it, and is about to say how it ended.
      if result < 0, errno == ECHILD, let ending = state.withLock({ $0.ending }) { return ending }
      if result < 0, errno == ECHILD, pause >= 100 {
        isKnown = false
        break
      }
      if result == 0, let reason = passedLimit() { end(reason) }
      if result < 0, errno == EINTR { continue }
      Pause.milliseconds(pause)
      pause = min(pause * 2, 100)
    }
    let signal = status & 0x7F
    let ending: Ending =
      !isKnown
      ? .unknown : signal == 0 ? .exited((status >> 8) & 0xFF) : .killed(signal: signal)
    state.withLock { if $0.ending == nil { $0.ending = ending } }
    let reader = errorReader.withLock { reader in
      defer { reader = nil }
      return reader
    }
    reader?.join()
    return ending
  }

  /// Kills it and all that it has started, for a reason that ``failure(kill:)`` gives.
  private func end(_ reason: BackupError) {
    let isRunning = state.withLock { state in
      if state.reason == nil { state.reason = reason }
      return state.ending == nil
    }
    guard isRunning else { return }
    for child in Self.descendants(of: pid) { _ = Glibc.kill(child, SIGKILL) }
    _ = Glibc.kill(pid, SIGKILL)
  }

  /// A shell's children hold its pipes and go on when it is gone.
  private static func descendants(of pid: pid_t) -> [pid_t] {
    guard
      let text = try? Transfer.bytes(
        FileSource(path: "/proc/\(pid)/task/\(pid)/children"), limit: 1 << 16)
    else { return [] }
    let children = String(decoding: text, as: UTF8.self).split(separator: " ").compactMap {
      pid_t($0)
    }
    return children.flatMap { descendants(of: $0) + [$0] }
  }

  /// Ends it at once, before it sees the end of its input: what it makes of a cut input must not
  /// pass for a whole one.
  func kill() {
    if state.withLock({ $0.ending == nil }) {
      for child in Self.descendants(of: pid) { _ = Glibc.kill(child, SIGKILL) }
      _ = Glibc.kill(pid, SIGKILL)
    }
    closeInput()
    closeOutput()
    _ = wait()
  }

  /// Blocks until it has ended, which must have been with exit code 0.
  /// - Throws: ``BackupError`` `.program` with what it wrote to standard error.
  func finish() throws(BackupError) {
    closeInput()
    guard wait() == .exited(0) else { throw failure(kill: false) }
  }

  /// Why it failed, once it has ended.
  func failure(kill: Bool) -> BackupError {
    if kill { self.kill() }
    let ending = wait()
    if let reason = state.withLock({ $0.reason }) { return reason }
    let said = errorText
    return BackupError(.program, "\(name) failed, \(ending)" + (said.isEmpty ? "" : ": \(said)"))
  }

  /// Runs a program to its end and collects its output, at most `limit` bytes.
  static func output(
    of words: [String], environment: [String: String] = [:], input: [UInt8]? = nil,
    limit: Int = 64 << 20, limits: Limits = Limits()
  ) throws(BackupError) -> (ending: Ending, bytes: [UInt8], errors: String) {
    let program = try RunningProgram(
      words, environment: environment, input: input != nil, output: true, limits: limits)
    let feeder = input.flatMap { bytes in
      WorkerThread {
        // A program that does not want all of it says why by its exit code.
        bytes.withUnsafeBytes { try? program.write($0) }
        program.closeInput()
      }
    }
    var bytes: [UInt8] = []
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    while bytes.count <= limit, let count = try? program.read(into: buffer), count > 0 {
      bytes.append(contentsOf: buffer[..<count])
    }
    if bytes.count > limit { program.kill() }
    feeder?.join()
    let ending = program.wait()
    if let reason = program.state.withLock({ $0.reason }) { throw reason }
    return (ending, bytes, program.errorText)
  }

  private func collectErrors(_ descriptor: Int32) {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      var waited = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      if poll(&waited, 1, 100) == 0 {
        // What it has left running may hold the pipe for ever.
        if state.withLock({ $0.ending != nil }) { break }
        continue
      }
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      state.withLock { state in
        state.errors += buffer[..<count]
        if state.errors.count > 4096 { state.errors.removeFirst(state.errors.count - 4096) }
      }
    }
    close(descriptor)
  }
}

extension RunningProgram.Limits {
  fileprivate var isEmpty: Bool { cancellation == nil && total == nil }
}
