internal import Foundation
public import MongoDB

/// A shell command that is run and waited for.
public struct ShellCommand: Sendable {
  /// How it ended.
  public enum Outcome: Sendable, Hashable {
    case exit(Int32)
    case signal(Int32)
    case timedOut
    case notStarted(String)
  }

  private let text: String
  private let folder: String
  private let timeout: Duration
  private let grace: Duration
  private let isShown: Bool

  /// - Parameters:
  ///   - grace: how long it has to end after it was asked to, before it is killed.
  ///   - isShown: what it prints goes to our standard error, else nowhere.
  public init(
    _ text: String, in folder: String, timeout: Duration, grace: Duration = .seconds(2),
    isShown: Bool = false
  ) {
    self.text = text
    self.folder = folder
    self.timeout = timeout
    self.grace = grace
    self.isShown = isShown
  }

  /// Blocks until it ends; what is over time, or cancelled, is killed with everything that it started.
  /// - Parameter started: told the process group, before it is waited for.
  /// - Throws: ``MongoError`` of kind `cancelled` or `leaseLost`.
  public func run(
    _ cancellation: Cancellation, started: (Int32) -> Void = { _ in }
  ) throws(MongoError) -> Outcome {
    var pid: pid_t = 0
    let error = start(&pid)
    guard error == 0 else { return .notStarted(String(cString: strerror(error))) }
    started(pid)
    let deadline = ContinuousClock.now + timeout
    var status: Int32 = 0
    while true {
      let done = waitpid(pid, &status, WNOHANG)
      if done == pid { break }
      if done < 0, errno != EINTR { return .notStarted("it was lost") }
      let isLate = ContinuousClock.now >= deadline
      if isLate || cancellation.reason != nil {
        stop(pid)
        try cancellation.check()
        return .timedOut
      }
      usleep(20_000)
    }
    let signal = status & 0x7f
    return signal == 0 ? .exit((status >> 8) & 0xff) : .signal(signal)
  }

  /// A group of its own, so that all of it can be stopped; no signal blocked or ignored.
  private func start(_ pid: inout pid_t) -> Int32 {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes,
      Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    if isShown {
      posix_spawn_file_actions_adddup2(&actions, 2, 1)
    } else {
      posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
      posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    }

    let words = ["/bin/sh", "-c", "cd \"$0\" || exit 1\n\(text)\n", folder]
    var arguments = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    return posix_spawn(&pid, "/bin/sh", &actions, &attributes, &arguments, environ)
  }

  private func stop(_ pid: pid_t) {
    kill(-pid, SIGTERM)
    var status: Int32 = 0
    let deadline = ContinuousClock.now + grace
    while ContinuousClock.now < deadline {
      if waitpid(pid, &status, WNOHANG) != 0 { break }
      usleep(20_000)
    }
    // What ignores the first request, and what the shell left behind.
    kill(-pid, SIGKILL)
    waitpid(pid, &status, 0)
  }
}

/// The application around the database.
enum ApplicationProbes {
  static func probe(_ rule: FileRule) -> Probe {
    Probe("application-file", rule.path) { context in
      let path = rule.path.hasPrefix("/") ? rule.path : "\(context.options.folder)/\(rule.path)"
      func found(_ message: String) -> [CheckResult] {
        [
          .found(
            "application-file", rule.path, rule.header.severity, message,
            cause: "it was not deployed, or this is the wrong folder", command: "ls -l \(path)",
            fix: rule.header.fix ?? "restore it from the backup's files")
        ]
      }
      var status = stat()
      guard stat(path, &status) == 0, access(path, R_OK) == 0,
        status.st_mode & S_IFMT != S_IFDIR
      else { return found("the file cannot be read") }
      let size = Int64(status.st_size)
      if size < rule.minimumBytes {
        return found("the file has \(size) bytes, at least \(rule.minimumBytes) are expected")
      }
      if let text = rule.contains {
        // An application's data may be large: only the beginning is looked through.
        guard let bytes = WholeFile.read(path, limit: 64 << 20),
          String(decoding: bytes, as: UTF8.self).contains(text)
        else { return found("the file does not contain what the rule asks for") }
      }
      return [
        .passed(
          "application-file", rule.path, "it is there", lookedAt: Amount(size, "bytes"))
      ]
    }
  }

  /// The action is made, and its document has to come.
  static func probe(_ rule: AuditRule) -> Probe {
    Probe("audit-log", rule.collection) { context in
      guard try context.collection(rule.collection) != nil else {
        return [DocumentProbes.missing("audit-log", rule.collection, rule.collection)]
      }
      func count() throws -> Int64 {
        try context.database.count(rule.collection, filter: rule.filter, command: context.scan)
      }
      let before = try count()
      let command = ShellCommand(
        rule.run, in: context.options.folder, timeout: .milliseconds(rule.timeout))
      guard try command.run(context.options.cancellation) == .exit(0) else {
        return [
          .broken(
            "audit-log", rule.collection, "the action that should be logged failed: \(rule.run)",
            fix: "run it by hand; are the services up?")
        ]
      }
      let deadline = ContinuousClock.now + .milliseconds(rule.timeout)
      repeat {
        if try count() > before {
          return [.passed("audit-log", rule.collection, "the action was logged")]
        }
        try context.checkTime()
        usleep(100_000)
      } while ContinuousClock.now < deadline
      return [
        .found(
          "audit-log", rule.collection, rule.header.severity,
          "the action left no document within \(Words.time(Double(rule.timeout)))",
          cause: "audit logging is off, or writes somewhere else",
          command: Words.find(rule.collection, rule.filter),
          fix: rule.header.fix ?? "look at the application's log")
      ]
    }
  }

  static func probe(_ rule: CommandRule) -> Probe {
    Probe("application-command", rule.name) { context in
      let command = ShellCommand(
        rule.run, in: context.options.folder, timeout: .milliseconds(rule.timeout))
      let message: String
      switch try command.run(context.options.cancellation) {
      case .exit(0): return [.passed("application-command", rule.name, "it succeeded")]
      case .exit(let code): message = "it ended with exit code \(code)"
      case .signal(let signal): message = "it was ended by signal \(signal)"
      case .timedOut: message = "it took longer than \(Words.time(Double(rule.timeout)))"
      case .notStarted(let reason): message = "it could not be started: \(reason)"
      }
      return [
        .found(
          "application-command", rule.name, rule.header.severity, message,
          cause: "what it looks at is not as it should be", command: rule.run,
          fix: rule.header.fix ?? "run it by hand")
      ]
    }
  }
}
