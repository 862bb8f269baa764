internal import BSON
internal import Dump
internal import Glibc
public import MongoDB

/// A mongod of our own, that nobody else can reach and that is gone with this process.
///
/// It listens on a unix socket in its own folder (mode 0700) and on no port: a port could already
/// belong to somebody else's server, and we would write into that one. It is the child of a small shell
/// that reads from a pipe of ours: when this process ends, however it ends, the pipe closes, and the
/// shell kills the server and removes its data.
public final class ThrowawayServer: Sendable {
  /// With data and log; gone after ``stop()``.
  public let folder: String
  /// Connects to it, and to nothing else.
  public let uri: String
  private let shell: RunningProgram
  private let cancellation: Cancellation

  private var data: String { folder + "/data" }
  private var ended: String { folder + "/ended" }

  /// Starts a server and waits until it takes writes; blocks for a few seconds.
  ///
  /// - Parameters:
  ///   - program: path of mongod, or its name on PATH.
  ///   - parent: where there is room for the data; `TMPDIR` or /tmp.
  ///   - replicaSet: its name, for a replica set of one; nil is a standalone.
  ///   - cacheGigabytes: of WiredTiger.
  /// - Throws: ``BackupError`` `.notReady` with the end of its log.
  public init(
    program: String, parent: String? = nil, replicaSet: String? = nil,
    cacheGigabytes: Double = 0.25, cancellation: Cancellation = Cancellation()
  ) throws {
    self.cancellation = cancellation
    folder = try Self.makeFolder(parent ?? ProcessEnvironment["TMPDIR"] ?? "/tmp")
    let socket = folder + Self.socketName
    uri = "mongodb://" + Self.escaped(socket) + "/?directConnection=true"
    var words = [
      program, "--dbpath", folder + "/data", "--logpath", folder + "/log", "--bind_ip", socket,
      "--port", String(Self.port), "--wiredTigerCacheSizeGB", String(cacheGigabytes),
      // What has expired must not vanish between two looks.
      "--setParameter", "ttlMonitorEnabled=false",
      "--setParameter", "diagnosticDataCollectionEnabled=false",
    ]
    if let replicaSet { words += ["--replSet", replicaSet, "--oplogSize", "128"] }
    do throws(BackupError) {
      try Disk.createFolder(folder + "/data")
      shell = try RunningProgram(
        ["/bin/sh", "-c", Self.script, "/bin/sh", folder] + words, input: true, output: false,
        ownGroup: true)
    } catch {
      _ = try? RunningProgram.output(of: ["rm", "-rf", "--", folder])
      throw error
    }
    do { try begin(replicaSet, socket) } catch {
      stop()
      throw error
    }
  }

  deinit { stop() }

  /// Clients for it.
  public func pool() throws -> ClientPool {
    try ClientPool(try ConnectionSettings(uri: uri, serverSelectionTimeout: .seconds(1)))
  }

  /// Kills the server and waits until its data is gone. A second time does nothing.
  public func stop() {
    shell.closeInput()
    _ = shell.wait()
  }

  /// Checks that a client talks to the server of this folder.
  /// - Throws: ``BackupError`` `.notReady` when it is another.
  func check(_ client: Client) throws {
    let options = try client.run(["getCmdLineOpts": 1], on: "admin")["parsed"]?.documentValue
    let path = options?["storage"]?.documentValue?["dbPath"]?.stringValue
    let pid = try client.run(["serverStatus": 1], on: "admin")["pid"]?.integerValue
    guard path == data, let pid, pid == lockedBy else {
      throw BackupError(
        .notReady, "the server that answers is not the one that was started; nothing was written",
        path: folder)
    }
  }

  // MARK: - Parts

  private static let port = 27017
  private static let socketName = "/mongodb-\(port).sock"

  /// Waits for the end of input; then kills the server, by the pid in its lock file when it has one.
  private static let script = """
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

  private static func makeFolder(_ parent: String) throws(BackupError) -> String {
    // A socket's path may have 107 bytes.
    let stem = "/martlet-server."
    let room = 107 - socketName.utf8.count - stem.utf8.count - Disk.temporarySuffix
    return try Disk.createTemporaryFolder((parent.utf8.count <= room ? parent : "/tmp") + stem)
  }

  private static func escaped(_ path: String) -> String {
    path.utf8.reduce(into: "") { out, byte in
      let isPlain =
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        || [45, 46, 95].contains(byte)
      out += isPlain ? String(UnicodeScalar(byte)) : "%" + Self.hex(byte)
    }
  }

  private static func hex(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
  }

  private func begin(_ replicaSet: String?, _ socket: String) throws {
    let settings = try ConnectionSettings(uri: uri, serverSelectionTimeout: .milliseconds(500))
    let pool = try ClientPool(settings, maxSize: 1)
    var isInitiated = false
    let end = Moment.ticks() + 120_000
    while Moment.ticks() < end, access(ended, F_OK) != 0 {
      try cancellation.check()
      do {
        let isReady = try pool.withClient { client -> Bool in
          if !isInitiated {
            try check(client)
            if let replicaSet {
              let member: Document = ["_id": 0, "host": .string(socket)]
              _ = try client.run(
                [
                  "replSetInitiate": [
                    "_id": .string(replicaSet), "members": [.document(member)],
                  ]
                ], on: "admin")
            }
            isInitiated = true
          }
          return try client.hello().isWritablePrimary
        }
        if isReady { return }
      } catch let error as BackupError {
        throw error
      } catch let error as MongoError where !error.isNetwork && error.kind != .unreachable {
        throw error
      } catch is MongoError {}
      Pause.milliseconds(150)
    }
    throw BackupError(
      .notReady, "the throwaway mongod did not start: \(lastLine())",
      hint: "put another mongod on PATH, or name it in MARTLET_MONGOD")
  }

  private var lockedBy: Int64? {
    text("data/mongod.lock").flatMap { text in Int64(text.filter(\.isNumber)) }
  }

  private func lastLine() -> String {
    let line = ["log", "output"].lazy.compactMap { file in
      self.text(file)?.split(separator: "\n").last
    }.first
    return line.map { String($0.prefix(300)) } ?? "no log"
  }

  private func text(_ name: String) -> String? {
    let bytes = try? Transfer.bytes(try FileSource(path: folder + "/" + name), limit: 4 << 20)
    return bytes.map { String(decoding: $0, as: UTF8.self) }
  }
}
