internal import BSON
public import Dump
internal import Synchronization

/// A store that the rclone program reaches: S3, GCS, Azure, SFTP, WebDAV and others.
///
/// Everything is streamed; nothing needs local room. rclone retries single requests; what can be asked
/// again as a whole is asked again here. A stream that breaks is an error of the whole run, because
/// what has gone into it cannot be had twice.
public struct RcloneStore: Store {
  /// `REMOTE:PATH`.
  public let remote: String
  private let program: String
  private let attempts: Int
  private let limits: RunningProgram.Limits
  public var location: String { "rclone:" + Self.shown(remote) }

  /// - Parameters:
  ///   - remote: as rclone takes it.
  ///   - program: the rclone to use; `MARTLET_RCLONE` by default, else the one on PATH.
  ///   - attempts: tries of what can be repeated.
  ///   - patience: after this long without a byte it hangs; its own limits are shorter.
  public init(
    remote: String, program: String = ProcessEnvironment["MARTLET_RCLONE"] ?? "rclone",
    attempts: Int = 3, patience: Duration = .seconds(300)
  ) {
    self.remote = remote
    self.program = program
    self.attempts = attempts
    limits = RunningProgram.Limits(
      silence: patience.components.seconds * 1000, secrets: Self.secrets(remote))
  }

  /// `:s3,access_key_id=A,secret_access_key=B:bucket` without the values.
  private static func shown(_ remote: String) -> String {
    secrets(remote).reduce(remote) { $0.replacing($1, with: "***") }
  }

  /// The values of a connection string. - Source: rclone's manual, "Connection strings".
  private static func secrets(_ remote: String) -> [String] {
    var values: [String] = []
    var rest = remote[...].drop { $0 != "," }
    while rest.first == "," {
      rest = rest.dropFirst().drop { $0 != "=" && $0 != "," && $0 != ":" }
      guard rest.first == "=" else { continue }
      rest = rest.dropFirst()
      let value: Substring
      if let quote = rest.first, quote == "'" || quote == "\"" {
        value = rest.dropFirst().prefix { $0 != quote }
        rest = rest[value.endIndex...].dropFirst()
      } else {
        value = rest.prefix { $0 != "," && $0 != ":" }
        rest = rest[value.endIndex...]
      }
      // What is shorter (`true`, a region) would be cut out of everything else that is said.
      if value.utf8.count >= 6 { values.append(String(value)) }
    }
    return values
  }

  public func put(_ name: String, size: Int64?) throws(BackupError) -> any StoreWriter {
    try StoreName.check(name)
    let words = ["rcat"] + (size.map { ["--size", String($0)] } ?? []) + [path(name)]
    return RcloneWriter(
      try RunningProgram(command(words), input: true, output: false, limits: limits), store: self,
      name: name)
  }

  public func get(_ name: String, range: Range<Int64>?) throws(BackupError) -> any ByteSource {
    try StoreName.check(name)
    // `cat` of what is missing may say nothing and succeed.
    guard try stat(name) != nil else {
      throw BackupError(.notFound, "the file is not there", path: name)
    }
    var words = ["cat"]
    if let range {
      words += ["--offset", String(range.lowerBound), "--count", String(range.count)]
    }
    let program = try RunningProgram(
      command(words + [path(name)]), input: false, output: true, limits: limits)
    return RcloneSource(program, name: name)
  }

  public var fetchesMany: Bool { true }

  public func fetch(_ names: [String], to folder: String) throws(BackupError) -> FolderStore? {
    try Disk.createFolder(folder)
    // It says how far it is, so that it is not taken for hanging.
    try all(["copy", "--progress", "--stats", "10s", path(""), folder], names)
    return FolderStore(path: folder)
  }

  /// Files that are named, and nothing else is looked at. - Source: rclone's manual, "Filtering".
  private static let several = [
    "--files-from-raw", "-", "--no-traverse", "--transfers", "16", "--checkers", "16",
  ]

  /// - Throws: ``BackupError`` `.store` when only some of them could be had: 3 and 4 are said then too.
  private func all(_ words: [String], _ names: [String]) throws(BackupError) {
    let reply = try repeated(words + Self.several, input: try Self.lines(names))
    guard reply.ending == .exited(0) else {
      throw BackupError(
        .store, "rclone \(words[0]) failed, \(reply.ending)", path: location, hint: hint)
    }
  }

  private static func lines(_ names: [String]) throws(BackupError) -> [UInt8] {
    for name in names {
      try StoreName.check(name)
      guard !name.utf8.contains(UInt8(ascii: "\n")) else {
        throw BackupError(.usage, "'\(name)' is not a name in a store")
      }
    }
    return Array((names.joined(separator: "\n") + "\n").utf8)
  }

  public func list(_ folder: String, recursively: Bool) throws(BackupError) -> [StoreEntry] {
    if !folder.isEmpty { try StoreName.check(folder) }
    var words = ["lsjson", "--no-modtime", "--no-mimetype"]
    if recursively { words += ["--recursive", "--files-only"] }
    let reply = try repeated(words + [path(folder)])
    if reply.ending == .exited(3) || reply.ending == .exited(4) { return [] }
    return try entries(reply.bytes).map { entry in
      StoreEntry(
        name: folder.isEmpty ? entry.name : folder + "/" + entry.name, size: entry.size,
        isFolder: entry.isFolder)
    }.sorted { $0.name < $1.name }
  }

  public func delete(_ name: String) throws(BackupError) {
    try StoreName.check(name)
    // rclone calls it an error when it is gone already.
    guard try stat(name) != nil else { return }
    _ = try repeated(["deletefile", path(name)])
  }

  public func delete(all names: [String]) throws(BackupError) {
    guard names.count > 2 else {
      for name in names { try delete(name) }
      return
    }
    try all(["delete", path("")], names)
  }

  public func removeEmptyFolder(_ folder: String) {
    guard (try? StoreName.check(folder)) != nil else { return }
    _ = try? RunningProgram.output(of: command(["rmdirs", path(folder)]), limits: limits)
  }

  public func freeSpace() -> Int64? {
    guard
      let reply = try? RunningProgram.output(
        of: command(["about", "--json", path("")]), limits: limits),
      reply.ending == .exited(0)
    else { return nil }
    return (try? ExtendedJSON.parseDocument(utf8: reply.bytes))?["free"]?.integerValue
  }

  /// The size of a file, nil when it is not there.
  fileprivate func stat(_ name: String) throws(BackupError) -> Int64? {
    let reply = try repeated(["lsjson", "--stat", "--no-modtime", "--no-mimetype", path(name)])
    guard reply.ending == .exited(0) else { return nil }
    if reply.bytes.starts(with: Array("null".utf8)) { return nil }
    guard let document = try? ExtendedJSON.parseDocument(utf8: reply.bytes) else {
      throw BackupError(.store, "rclone's answer cannot be read", path: name)
    }
    if document["IsDir"]?.boolValue == true { return nil }
    guard let size = document["Size"]?.integerValue else {
      throw BackupError(.store, "rclone does not tell the file's size", path: name)
    }
    return size
  }

  private func path(_ name: String) -> String {
    name.isEmpty
      ? remote
      : remote.hasSuffix(":") || remote.hasSuffix("/")
        ? remote + name : remote + "/" + name
  }

  fileprivate var hint: String { "try the same by hand: rclone lsf \(Self.shown(remote))" }

  private func command(_ words: [String]) -> [String] {
    [program, "--log-level", "ERROR", "--contimeout", "15s", "--timeout", "60s"] + words
  }

  /// Runs something that may be run again. Missing files and folders are an answer.
  private func repeated(_ words: [String], input: [UInt8]? = nil) throws(BackupError) -> (
    ending: RunningProgram.Ending, bytes: [UInt8]
  ) {
    var wait: UInt32 = 250
    for attempt in 1... {
      // It is repeated here. With rclone's own repetitions a remote that is not there takes ten minutes.
      let reply = try RunningProgram.output(
        of: command(["--retries", "1", "--low-level-retries", "5"] + words), input: input,
        limits: limits)
      switch reply.ending {
      // 3: no such folder, 4: no such file. - Source: rclone's list of exit codes.
      case .exited(0), .exited(3), .exited(4): return (reply.ending, reply.bytes)
      default: break
      }
      guard attempt < attempts else {
        let said = reply.errors.isEmpty ? "" : ": \(reply.errors)"
        throw BackupError(
          .store, "rclone \(words[0]) failed, \(reply.ending)\(said)", path: location,
          hint: hint)
      }
      Pause.milliseconds(wait)
      wait *= 4
    }
    throw BackupError(.store, "rclone was not tried", path: location)
  }

  private func entries(_ json: [UInt8]) throws(BackupError) -> [StoreEntry] {
    let text = String(decoding: json, as: UTF8.self)
    guard let list = (try? ExtendedJSON.parse(text))?.arrayValue else {
      throw BackupError(.store, "rclone's listing cannot be read", path: location)
    }
    return list.compactMap { value in
      guard let entry = value.documentValue, let name = entry["Path"]?.stringValue else {
        return nil
      }
      let isFolder = entry["IsDir"]?.boolValue == true
      return StoreEntry(
        name: name, size: isFolder ? 0 : entry["Size"]?.integerValue ?? 0, isFolder: isFolder)
    }
  }
}

private final class RcloneWriter: StoreWriter {
  private let program: RunningProgram
  private let store: RcloneStore
  private let name: String
  private let state = Mutex<(written: Int64, isOver: Bool)>((0, false))

  init(_ program: RunningProgram, store: RcloneStore, name: String) {
    self.program = program
    self.store = store
    self.name = name
  }

  deinit { discard() }

  func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    do throws(DumpError) { try program.write(bytes) } catch {
      let said = (error.cause as? BackupError)?.message ?? error.message
      let cause = BackupError(
        .store, "the store does not take the file: \(said)", path: name, hint: store.hint)
      throw DumpError(.file, cause.message, path: name, hint: cause.hint, cause: cause)
    }
    state.withLock { $0.written += Int64(bytes.count) }
  }

  func commit() throws(BackupError) {
    let written = state.withLock { state in
      state.isOver = true
      return state.written
    }
    do throws(BackupError) { try program.finish() } catch {
      throw BackupError(
        .store, "the store does not take the file: \(error.message)", path: name, hint: store.hint)
    }
    // An upload that was believed is a backup that was not there.
    guard try store.stat(name) == written else {
      throw BackupError(
        .store, "the file in the store is not of the size that was written", path: name)
    }
  }

  func discard() {
    let isOpen = state.withLock { state in
      defer { state.isOver = true }
      return !state.isOver
    }
    guard isOpen else { return }
    // Killed before its input ends: it would store what has come so far.
    program.kill()
    try? store.delete(name)
  }
}

private final class RcloneSource: ByteSource {
  private let program: RunningProgram
  private let name: String
  private var isOver = false

  init(_ program: RunningProgram, name: String) {
    self.program = program
    self.name = name
  }

  deinit { if !isOver { program.kill() } }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    if isOver { return 0 }
    let count = try program.read(into: buffer)
    if count > 0 { return count }
    isOver = true
    do throws(BackupError) { try program.finish() } catch {
      throw DumpError(.file, "the store does not give the file", path: name, cause: error)
    }
    return 0
  }
}
