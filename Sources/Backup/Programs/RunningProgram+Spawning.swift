internal import Glibc

extension RunningProgram {
  /// How the message ends that says so.
  static let isMissing = "is not there"
  static let spawning = SpawnLock()

  struct Pipe {
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

  static func spawn(
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
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE, SIGCHLD, SIGXFSZ] {
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
          .program, "the program '\(words[0])' \(isMissing)",
          hint: "install it, or put it on PATH")
      }
      throw BackupError(
        .program, "'\(words[0])' cannot be started: \(String(cString: strerror(status)))")
    }
    return pid
  }

  /// A closed pipe has to be an error of write(2), or a child that dies would end this process.
  static func ignoreBrokenPipes() {
    var action = sigaction()
    sigaction(SIGPIPE, nil, &action)
    let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
    if handler == unsafeBitCast(SIG_DFL, to: Int.self) { signal(SIGPIPE, SIG_IGN) }
  }

  /// Whoever started us may have ignored the end of children, and that is inherited: the system would then
  /// forget how they ended.
  static func expectChildren() {
    var action = sigaction()
    sigaction(SIGCHLD, nil, &action)
    let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
    let isIgnored = handler == unsafeBitCast(SIG_IGN, to: Int.self)
    if isIgnored || action.sa_flags & Int32(SA_NOCLDWAIT) != 0 { signal(SIGCHLD, SIG_DFL) }
  }
}

/// A lock that is taken and given back by hand, around an initialiser.
final class SpawnLock: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  init() { pthread_mutex_init(mutex, nil) }
  func lock() { pthread_mutex_lock(mutex) }
  func unlock() { pthread_mutex_unlock(mutex) }
}
