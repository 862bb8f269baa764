import BSON
import Foundation
import MongoDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A private mongod with a replica set of one, its data in a temporary folder.
///
/// It is a child of a small shell that reads from a pipe of ours: when this process ends, however it
/// ends, the pipe closes, and the shell kills the server and removes its data.
final class ThrowawayServer {
  let uri: String
  /// Folder with data and log; gone after ``stop()``.
  let folder: String
  private let shell: pid_t
  private var pipe: Int32?

  /// Starts a server and waits until it takes writes; blocks for a few seconds.
  ///
  /// - Parameter binary: path of mongod.
  /// - Throws: `CommandError` `.notReady` with the end of its log; `interrupted`.
  init(binary: String, cancellation: Cancellation) throws {
    folder = FileManager.default.temporaryDirectory.path + "/martlet-test-" + Self.token()
    let port = try Self.freePort()
    uri = "mongodb://127.0.0.1:\(port)/?replicaSet=throwaway"
    do {
      try FileManager.default.createDirectory(
        atPath: folder + "/data", withIntermediateDirectories: true,
        attributes: [.posixPermissions: 0o700])
    } catch {
      throw CommandError(.notReady, "cannot make the folder \(folder)")
    }
    (shell, pipe) = try Self.spawn(
      [
        binary, "--dbpath", folder + "/data", "--logpath", folder + "/log", "--bind_ip",
        "127.0.0.1", "--port", String(port), "--replSet", "throwaway", "--nounixsocket",
        "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "128",
        // Sample data may have expired; nothing may vanish between two looks.
        "--setParameter", "ttlMonitorEnabled=false",
        "--setParameter", "diagnosticDataCollectionEnabled=false",
      ], folder)
    do {
      try initiate(port, cancellation)
    } catch {
      stop()
      throw error
    }
  }

  deinit { stop() }

  /// Kills the server and waits until its data is gone.
  func stop() {
    guard let pipe else { return }
    self.pipe = nil
    close(pipe)
    var status: Int32 = 0
    while waitpid(shell, &status, 0) < 0, errno == EINTR {}
  }

  /// The mongod to use: MARTLET_MONGOD, one on PATH, or one that scripts/setup.sh fetched nearby.
  static func find(_ surroundings: Settings.Surroundings) -> String? {
    let manager = FileManager.default
    if let named = surroundings.sourced("MARTLET_MONGOD")?.value { return named }
    let path = surroundings.environment["PATH"] ?? ""
    for folder in path.split(separator: ":") {
      let candidate = "\(folder)/mongod"
      if manager.isExecutableFile(atPath: candidate) { return candidate }
    }
    var folder = URL(filePath: surroundings.folder)
    while folder.path != "/" {
      let versions = folder.appending(path: ".tools/mongod").path
      // The release that the project is made for comes first.
      let found = ((try? manager.contentsOfDirectory(atPath: versions)) ?? []).sorted(by: >)
      for version in ["6.0.5"] + found {
        let candidate = "\(versions)/\(version)/bin/mongod"
        if manager.isExecutableFile(atPath: candidate) { return candidate }
      }
      folder.deleteLastPathComponent()
    }
    return nil
  }

  // MARK: - Parts

  private func initiate(_ port: UInt16, _ cancellation: Cancellation) throws {
    let direct = try ConnectionSettings(
      uri: "mongodb://127.0.0.1:\(port)/?directConnection=true",
      serverSelectionTimeout: .milliseconds(500))
    let pool = try ClientPool(direct, maxSize: 1)
    let host = "127.0.0.1:\(port)"
    var isInitiated = false
    for _ in 0..<240 {
      try cancellation.check()
      if FileManager.default.fileExists(atPath: folder + "/ended") { break }
      let isReady = try? pool.withClient { client -> Bool in
        if !isInitiated {
          let member: Document = ["_id": 0, "host": .string(host)]
          _ = try client.run(
            ["replSetInitiate": ["_id": "throwaway", "members": [.document(member)]]], on: "admin")
          isInitiated = true
        }
        return try client.hello().isWritablePrimary
      }
      if isReady == true { return }
      Thread.sleep(forTimeInterval: 0.25)
    }
    throw CommandError(
      .notReady, "the throwaway mongod did not start: \(lastLine())",
      hint: "name another one with MARTLET_MONGOD, or a test server with --test-uri")
  }

  private func lastLine() -> String {
    let files = [folder + "/output", folder + "/log"]
    let lines = files.flatMap { file in
      ((try? String(contentsOfFile: file, encoding: .utf8)) ?? "").split(separator: "\n").suffix(1)
    }
    return lines.last.map { String($0.prefix(300)) } ?? "no log"
  }

  private static func token() -> String {
    var generator = SystemRandomNumberGenerator()
    return String(generator.next() as UInt64, radix: 16)
  }

  /// A port that is free at this moment.
  private static func freePort() throws(CommandError) -> UInt16 {
    #if canImport(Glibc)
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
      let descriptor = socket(AF_INET, SOCK_STREAM, 0)
    #endif
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
      }
    }
    guard bound else { throw CommandError(.notReady, "no free port on 127.0.0.1") }
    return UInt16(bigEndian: address.sin_port)
  }

  private static func makePipe(_ ends: inout [Int32]) -> Bool {
    #if canImport(Glibc)
      guard Glibc.pipe(&ends) == 0 else { return false }
    #elseif canImport(Musl)
      guard Musl.pipe(&ends) == 0 else { return false }
    #else
      guard Darwin.pipe(&ends) == 0 else { return false }
    #endif
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return true
  }

  /// Runs the server under a shell that outlives us by a moment; signals of our terminal miss both.
  private static func spawn(
    _ command: [String], _ folder: String
  ) throws(CommandError) -> (pid_t, Int32) {
    let script = """
      folder=$1; shift
      { "$@" >"$folder/output" 2>&1 </dev/null; echo $? >"$folder/ended"; } &
      "$0" -c 'while ! [ -e "$1/ended" ] && ! [ -s "$1/data/mongod.lock" ]; do sleep 0.05; done' \
        sh "$folder" &
      cat >/dev/null
      wait $! 2>/dev/null
      [ -e "$folder/ended" ] || kill -9 "$(cat "$folder/data/mongod.lock")" 2>/dev/null
      wait
      rm -rf "$folder"
      """
    var ends: [Int32] = [0, 0]
    guard Self.makePipe(&ends) else { throw CommandError(.notReady, "no pipe") }
    defer { close(ends[0]) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // We block signals for our own listener; a server has to hear them, but not our terminal's.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
    var arguments = (["/bin/sh", "-c", script, "/bin/sh", folder] + command).map { strdup($0) }
    arguments.append(nil)
    defer { for argument in arguments { free(argument) } }
    var child: pid_t = 0
    guard posix_spawn(&child, "/bin/sh", &actions, &attributes, arguments, environ) == 0 else {
      close(ends[1])
      throw CommandError(.notReady, "cannot start /bin/sh")
    }
    return (child, ends[1])
  }
}
