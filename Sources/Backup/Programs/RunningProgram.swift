internal import Dump
internal import Glibc
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
  }

  /// What is shown of it in messages: never its arguments, which may be secret.
  let name: String
  let pid: pid_t
  private let state: Mutex<State>
  private let errorReader: Mutex<WorkerThread?>

  /// Starts a program found on PATH.
  ///
  /// - Parameters:
  ///   - words: its name and arguments.
  ///   - environment: added to ours.
  ///   - input: we write to its standard input, which is empty otherwise.
  ///   - output: we read its standard output, which is thrown away otherwise.
  ///   - ownGroup: signals of our terminal do not reach it.
  /// - Throws: ``BackupError`` `.program` when it cannot be started.
  init(
    _ words: [String], environment: [String: String] = [:], input: Bool, output: Bool,
    ownGroup: Bool = false
  ) throws(BackupError) {
    guard let first = words.first, !first.isEmpty else {
      throw BackupError(.usage, "a command without a program's name")
    }
    name = first.split(separator: "/").last.map(String.init) ?? first
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
      } else if errno != EINTR {
        throw DumpError(.file, "\(name) stopped reading", cause: failure(kill: false))
      }
    }
  }

  /// Reads from its standard output; 0 is the end. Blocks.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    let descriptor = state.withLock { $0.output }
    while true {
      let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      guard errno == EINTR else {
        throw DumpError(.file, "\(name) cannot be read: \(String(cString: strerror(errno)))")
      }
    }
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
    return Redaction.text(text.split(whereSeparator: \.isNewline).suffix(6).joined(separator: "; "))
  }

  // MARK: - End

  /// Blocks until it has ended.
  func wait() -> Ending {
    if let ending = state.withLock({ $0.ending }) { return ending }
    var status: Int32 = 0
    var result = waitpid(pid, &status, 0)
    while result < 0, errno == EINTR { result = waitpid(pid, &status, 0) }
    let reader = errorReader.withLock { reader in
      defer { reader = nil }
      return reader
    }
    reader?.join()
    let signal = status & 0x7F
    let ending: Ending =
      result != pid
      ? .unknown : signal == 0 ? .exited((status >> 8) & 0xFF) : .killed(signal: signal)
    state.withLock { if $0.ending == nil { $0.ending = ending } }
    return ending
  }

  /// Ends it at once, before it sees the end of its input: what it makes of a cut input must not
  /// pass for a whole one.
  func kill() {
    if state.withLock({ $0.ending == nil }) { _ = Glibc.kill(pid, SIGKILL) }
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
    let said = errorText
    return BackupError(.program, "\(name) failed, \(ending)" + (said.isEmpty ? "" : ": \(said)"))
  }

  /// Runs a program to its end and collects its output, at most `limit` bytes.
  static func output(
    of words: [String], environment: [String: String] = [:], input: [UInt8]? = nil,
    limit: Int = 64 << 20
  ) throws(BackupError) -> (ending: Ending, bytes: [UInt8], errors: String) {
    let program = try RunningProgram(
      words, environment: environment, input: input != nil, output: true)
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
    return (ending, bytes, program.errorText)
  }

  // MARK: - Spawning

  private static let spawning = SpawnLock()

  private struct Pipe {
    let read: Int32
    let write: Int32

    init() throws(BackupError) {
      var ends: [Int32] = [-1, -1]
      guard pipe(&ends) == 0 else {
        throw BackupError(.program, "pipe: \(String(cString: strerror(errno)))")
      }
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      read = ends[0]
      write = ends[1]
      // F_SETPIPE_SZ, which the C module hides: a megabyte instead of 64 KiB.
      _ = fcntl(write, 1031, 1 << 20)
    }

    func closeRead() { close(read) }
    func closeWrite() { close(write) }
  }

  private static func spawn(
    _ words: [String], _ environment: [String: String], input: Int32?, output: Int32?, error: Int32,
    ownGroup: Bool
  ) throws(BackupError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if let input {
      posix_spawn_file_actions_adddup2(&actions, input, 0)
    } else {
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    }
    if let output {
      posix_spawn_file_actions_adddup2(&actions, output, 1)
    } else {
      posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    }
    posix_spawn_file_actions_adddup2(&actions, error, 2)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    var standard = sigset_t()
    sigemptyset(&standard)
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE, SIGCHLD] {
      sigaddset(&standard, signal)
    }
    posix_spawnattr_setsigdefault(&attributes, &standard)
    var flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    if ownGroup {
      posix_spawnattr_setpgroup(&attributes, 0)
      flags |= POSIX_SPAWN_SETPGROUP
    }
    posix_spawnattr_setflags(&attributes, Int16(flags))

    var variables = ProcessEnvironment.current
    for (name, value) in environment { variables[name] = value }
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    var settings: [UnsafeMutablePointer<CChar>?] =
      variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for text in arguments + settings { free(text) } }
    var pid: pid_t = 0
    let status = posix_spawnp(&pid, words[0], &actions, &attributes, &arguments, &settings)
    guard status == 0 else {
      if status == ENOENT {
        throw BackupError(
          .program, "the program '\(words[0])' is not there",
          hint: "install it, or put it on PATH")
      }
      throw BackupError(
        .program, "'\(words[0])' cannot be started: \(String(cString: strerror(status)))")
    }
    return pid
  }

  /// A closed pipe has to be an error of write(2), or a child that dies would end this process.
  private static func ignoreBrokenPipes() {
    var action = sigaction()
    sigaction(SIGPIPE, nil, &action)
    let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
    if handler == unsafeBitCast(SIG_DFL, to: Int.self) { signal(SIGPIPE, SIG_IGN) }
  }

  /// Whoever started us may have ignored the end of children, and that is inherited: the system would then
  /// forget how they ended.
  private static func expectChildren() {
    var action = sigaction()
    sigaction(SIGCHLD, nil, &action)
    let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
    let isIgnored = handler == unsafeBitCast(SIG_IGN, to: Int.self)
    if isIgnored || action.sa_flags & Int32(SA_NOCLDWAIT) != 0 { signal(SIGCHLD, SIG_DFL) }
  }

  private func collectErrors(_ descriptor: Int32) {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
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

/// A lock that is taken and given back by hand, around an initialiser.
private final class SpawnLock: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  init() { pthread_mutex_init(mutex, nil) }
  func lock() { pthread_mutex_lock(mutex) }
  func unlock() { pthread_mutex_unlock(mutex) }
}

/// Our own environment.
public enum ProcessEnvironment {
  /// All of it.
  public static var current: [String: String] {
    var out: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
      let pair = String(cString: text)
      if let equals = pair.firstIndex(of: "=") {
        out[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
      }
      entry += 1
    }
    return out
  }

  /// A value that is set and not empty.
  public static subscript(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }
}

/// Cuts what other programs' messages may quote of URLs' credentials.
enum Redaction {
  static func text(_ text: String) -> String {
    var out = ""
    var rest = text[...]
    while let scheme = rest.range(of: "://") {
      out += rest[..<scheme.upperBound]
      rest = rest[scheme.upperBound...]
      let authority = rest.prefix { !$0.isWhitespace && $0 != "/" && $0 != "'" && $0 != "\"" }
      if let at = authority.lastIndex(of: "@") {
        out += "***"
        rest = rest[at...]
      }
    }
    return out + rest
  }
}

extension Substring {
  /// The first place of a literal.
  fileprivate func range(of literal: String) -> Range<Index>? {
    var at = startIndex
    while at < endIndex {
      if self[at...].hasPrefix(literal) {
        return at..<index(at, offsetBy: literal.count)
      }
      at = index(after: at)
    }
    return nil
  }
}
