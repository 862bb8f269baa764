internal import Foundation
internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#endif

/// A mongod, or several, of one test alone: for failpoints, access control, TLS, elections.
///
/// `scripts/mongod.sh` makes it; it is stopped when the object goes. Its name holds our process id,
/// so that `scripts/test.sh` finds what a killed run has left.
public final class PrivateServer: Sendable {
  /// The connection string; with access control the user is `root`, the password `secret`.
  public let uri: String
  private let name: String
  private static let numbers = Mutex(0)

  /// Starts a server; takes a few seconds.
  /// - Parameters:
  ///   - oplog: its size in MB.
  ///   - inMemory: its data is in ``memoryFolder``, for what makes thousands of files.
  ///   - arguments: more arguments for mongod.
  public init(
    standalone: Bool = false, members: Int = 1, auth: Bool = false, tls: Bool = false,
    version: String? = nil, oplog: Int? = nil, inMemory: Bool = false, arguments: [String] = []
  ) throws {
    let number = Self.numbers.withLock { number in
      number += 1
      return number
    }
    name = "test-\(getpid())-private\(number)"
    var options = ["start", "--name", name]
    if standalone { options.append("--standalone") }
    if members != 1 { options += ["--members", String(members)] }
    if auth { options.append("--auth") }
    if tls { options.append("--tls") }
    if let oplog { options += ["--oplog", String(oplog)] }
    if let version { options += ["--version", version] }
    options += ["--", "--setParameter", "enableTestCommands=1"] + arguments
    uri = try Self.script(options, inMemory: inMemory).trimmingCharacters(
      in: .whitespacesAndNewlines)
  }

  deinit { _ = try? Self.script(["stop", "--name", name]) }

  /// `host:port` of each member.
  public var hosts: [String] {
    let rest = uri.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" }
    return (rest.split(separator: "@").last ?? "").split(separator: ",").map(String.init)
  }

  /// The members' process ids, in the order of ``hosts``.
  public func pids() throws -> [Int32] {
    let status = try Self.script(["status", "--name", name], mayFail: true)
    let line = status.split(separator: "\n").first { $0.hasPrefix("pids:") } ?? ""
    return line.split(separator: " ").compactMap { Int32($0) }
  }

  /// Sends a signal to one member: SIGKILL for a crash, SIGSTOP and SIGCONT for a hang.
  public func signal(_ signal: Int32, member: Int) throws {
    let pids = try pids()
    guard pids.indices.contains(member) else {
      throw TestServer.Missing(description: "\(name) has no member \(member)")
    }
    _ = kill(pids[member], signal)
  }

  /// A folder of the machine's memory with room for a server; elsewhere the usual one.
  public static var memoryFolder: String {
    let folder = "/dev/shm"
    let attributes = try? FileManager.default.attributesOfFileSystem(forPath: folder)
    let free = (attributes?[.systemFreeSize] as? NSNumber)?.int64Value ?? 0
    return free > 2 << 30 ? folder : NSTemporaryDirectory()
  }

  private static func script(
    _ arguments: [String], inMemory: Bool = false, mayFail: Bool = false
  ) throws -> String {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let path = root.appending(path: "scripts/mongod.sh").path
    let environment: [String: String?] = inMemory ? ["TMPDIR": memoryFolder] : [:]
    let result = try ChildProcess("/bin/bash", [path] + arguments, environment: environment).wait()
    guard mayFail || result.exitCode == 0 else {
      throw TestServer.Missing(description: "scripts/mongod.sh failed: \(result.stderr)")
    }
    return result.stdout
  }
}
