public import Dump
internal import Glibc
internal import Synchronization

/// A store in a folder of this machine, or of a network file system.
///
/// A file is written under a temporary name, synchronised, renamed, and its folder synchronised.
/// Files have mode 0600, folders 0700: backups hold everything.
public struct FolderStore: Store {
  /// The folder, as it was given.
  public let path: String
  public var location: String { path }

  public init(path: String) { self.path = path }

  /// Names that begin so are being written, or were when somebody died.
  static let partialPrefix = ".partial-"

  public func put(_ name: String, size: Int64?) throws(BackupError) -> any StoreWriter {
    try StoreName.check(name)
    let target = path + "/" + name
    try Disk.createFolder(Disk.parent(of: target))
    return try FolderWriter(target: target, name: name)
  }

  public func get(_ name: String, range: Range<Int64>?) throws(BackupError) -> any ByteSource {
    try StoreName.check(name)
    let full = path + "/" + name
    let descriptor = open(full, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT || errno == ENOTDIR {
        throw BackupError(.notFound, "the file is not there", path: name)
      }
      throw Disk.failure("open", full)
    }
    if let range, lseek(descriptor, off_t(range.lowerBound), SEEK_SET) < 0 {
      close(descriptor)
      throw Disk.failure("seek", full)
    }
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
    return FolderSource(descriptor, name: name, left: range.map { Int($0.count) } ?? .max)
  }

  func has(_ name: String) -> Bool { access(path + "/" + name, R_OK) == 0 }

  public func list(_ folder: String, recursively: Bool) throws(BackupError) -> [StoreEntry] {
    if !folder.isEmpty { try StoreName.check(folder) }
    let full = folder.isEmpty ? path : path + "/" + folder
    guard let names = try Disk.names(in: full) else {
      try refuseFile()
      return []
    }
    var out: [StoreEntry] = []
    for name in names {
      if name.hasPrefix(Self.partialPrefix) {
        removeDeserted(full + "/" + name)
        continue
      }
      let inStore = folder.isEmpty ? name : folder + "/" + name
      var status = stat()
      guard lstat(full + "/" + name, &status) == 0 else {
        // Gone since the listing: somebody else's business. Anything else would make a whole set look
        // like one that lacks files.
        if errno == ENOENT { continue }
        throw Disk.failure("stat", full + "/" + name)
      }
      if status.st_mode & S_IFMT == S_IFDIR {
        if recursively {
          out += try list(inStore, recursively: true)
        } else {
          out.append(StoreEntry(name: inStore, size: 0, isFolder: true))
        }
      } else if status.st_mode & S_IFMT == S_IFREG {
        out.append(StoreEntry(name: inStore, size: Int64(status.st_size), isFolder: false))
      }
    }
    return out.sorted { $0.name < $1.name }
  }

  /// What lies in the store's place must not look like a store that is empty.
  private func refuseFile() throws(BackupError) {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR else { return }
    throw BackupError(
      .store, "this is a file and not a folder", path: path,
      hint: "the store is the folder that holds the backups")
  }

  /// Seconds without a write after which nobody is writing a file any more.
  private static let desertion: Int64 = 86_400

  /// What somebody who died was writing.
  private func removeDeserted(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      Moment.now() - Int64(status.st_mtim.tv_sec) > Self.desertion
    else { return }
    unlink(path)
  }

  public func delete(_ name: String) throws(BackupError) {
    try StoreName.check(name)
    let full = path + "/" + name
    guard unlink(full) == 0 || errno == ENOENT || errno == ENOTDIR else {
      throw Disk.failure("remove", full)
    }
    try? Disk.synchronize(folder: Disk.parent(of: full))
  }

  public func removeEmptyFolder(_ folder: String) {
    guard !folder.isEmpty, (try? StoreName.check(folder)) != nil else { return }
    let full = path + "/" + folder
    for name in (try? Disk.names(in: full)) ?? [] {
      if name.hasPrefix(Self.partialPrefix) {
        unlink(full + "/" + name)
      } else {
        removeEmptyFolder(folder + "/" + name)
      }
    }
    rmdir(full)
  }

  public func freeSpace() -> Int64? { Disk.freeSpace(path) }

  public func lastChange(in folder: String) -> Int64? {
    let full = path + "/" + folder
    var status = stat()
    guard lstat(full, &status) == 0 else { return nil }
    // Of the inode: unlike the time of its content nobody can set it.
    let own = Int64(status.st_ctim.tv_sec)
    guard status.st_mode & S_IFMT == S_IFDIR else { return own }
    let names = (try? Disk.names(in: full)) ?? []
    return names.compactMap { lastChange(in: folder + "/" + $0) }.reduce(own, max)
  }
}

private final class FolderWriter: StoreWriter {
  private enum Fate { case open, committed, discarded }

  private let target: String
  private let temporary: String
  private let name: String
  private let descriptor: Int32
  private let fate = Mutex(Fate.open)

  init(target: String, name: String) throws(BackupError) {
    self.target = target
    self.name = name
    let token = String(UInt64.random(in: 0...UInt64.max), radix: 16)
    temporary = Disk.parent(of: target) + "/" + FolderStore.partialPrefix + token
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Disk.failure("create", target) }
  }

  deinit {
    if fate.withLock({ $0 == .open }) { discard() }
    close(descriptor)
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        let error = Disk.failure("write", target)
        throw DumpError(.file, error.message, path: name, hint: error.hint, cause: error)
      }
    }
  }

  func commit() throws(BackupError) {
    guard fsync(descriptor) == 0 else { throw Disk.failure("fsync", target) }
    guard rename(temporary, target) == 0 else { throw Disk.failure("rename", target) }
    fate.withLock { $0 = .committed }
    try Disk.synchronize(folder: Disk.parent(of: target))
  }

  func discard() {
    let isOpen = fate.withLock { fate in
      defer { if fate == .open { fate = .discarded } }
      return fate == .open
    }
    if isOpen { unlink(temporary) }
  }
}

private final class FolderSource: ByteSource {
  private let descriptor: Int32
  private let name: String
  private var left: Int

  init(_ descriptor: Int32, name: String, left: Int) {
    self.descriptor = descriptor
    self.name = name
    self.left = left
  }

  deinit { close(descriptor) }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    while left > 0 {
      let count = Glibc.read(descriptor, buffer.baseAddress, min(buffer.count, left))
      if count >= 0 {
        left -= count
        return count
      }
      guard errno == EINTR else {
        throw DumpError(
          .file, "read: \(String(cString: strerror(errno)))", path: name)
      }
    }
    return 0
  }
}

/// Files and folders of this machine.
enum Disk {
  static func failure(_ call: String, _ path: String) -> BackupError {
    let number = errno
    var error = BackupError(.store, "\(call): \(String(cString: strerror(number)))", path: path)
    error.isReadOnly = number == EROFS || number == EACCES || number == EPERM
    if number == ENOSPC || number == EDQUOT || number == EFBIG {
      error.isOutOfRoom = true
      error.hint =
        number == EFBIG
        ? "a limit on the size of files stands in the way: ulimit -f"
        : "free some space (martlet backup prune), or use another store"
    } else if number == ENOENT || number == ENOTDIR || number == EROFS || number == ESTALE {
      error.hint = "is the store's folder still there, and its file system mounted and writable?"
    }
    return error
  }

  /// Makes a folder of our own (mode 0700) whose name nobody else has.
  static func createTemporaryFolder(_ stem: String) throws(BackupError) -> String {
    // What mkdtemp replaces.
    var template = Array((stem + String(repeating: "X", count: temporarySuffix)).utf8CString)
    guard mkdtemp(&template) != nil else { throw failure("mkdir", parent(of: stem)) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Bytes that ``createTemporaryFolder(_:)`` adds.
  static let temporarySuffix = 6

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  static func absolute(_ path: String) -> String {
    if path.hasPrefix("/") { return path }
    guard let here = getcwd(nil, 0) else { return path }
    defer { free(here) }
    let rest = path.split(separator: "/").filter { $0 != "." }
    return rest.reduce(String(cString: here)) { $0 + "/" + $1 }
  }

  /// Makes a folder and those above it; those it makes have mode 0700 and survive a crash.
  static func createFolder(_ path: String) throws(BackupError) {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
    let above = parent(of: path)
    if above != path { try createFolder(above) }
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw failure("mkdir", path) }
    try synchronize(folder: above)
  }

  static func synchronize(folder: String) throws(BackupError) {
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("open", folder) }
    defer { close(descriptor) }
    // Some file systems cannot synchronise a folder; nothing can be done about it there.
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw failure("fsync", folder) }
  }

  /// The names in a folder, or nil when there is none.
  static func names(in folder: String) throws(BackupError) -> [String]? {
    guard let handle = opendir(folder) else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw failure("open", folder)
    }
    defer { closedir(handle) }
    return try names(handle, folder)
  }

  /// Reads an open folder to its end.
  /// - Throws: ``BackupError`` `.store` when the end was not reached: part of a listing is none.
  static func names(_ handle: OpaquePointer, _ folder: String) throws(BackupError) -> [String] {
    var names: [String] = []
    while true {
      // The end and a failure look the same but for this.
      errno = 0
      guard let entry = readdir(handle) else { break }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    guard errno == 0 else { throw failure("read", folder) }
    return names
  }

  /// Bytes that this user may still write below a path that is there, or will be.
  static func freeSpace(_ path: String) -> Int64? {
    var at = path
    var status = statvfs()
    while statvfs(at, &status) != 0 {
      let above = parent(of: at)
      if above == at { return nil }
      at = above
    }
    return Int64(clamping: UInt64(status.f_bavail) * UInt64(status.f_frsize))
  }

  /// Writes a small file for other programs, whole or not at all.
  static func write(_ text: String, to path: String, mode: mode_t) throws(BackupError) {
    // `/dev/null`, say, switches them off: a device is written to, and never replaced by a file.
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      let device = open(path, O_WRONLY | O_CLOEXEC)
      guard device >= 0 else { throw failure("open", path) }
      defer { close(device) }
      let bytes = Array(text.utf8)
      guard Glibc.write(device, bytes, bytes.count) == bytes.count else {
        throw failure("write", path)
      }
      return
    }
    let temporary = "\(parent(of: path))/.\(getpid()).partial"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw failure("create", path) }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0,
      rename(temporary, path) == 0
    else {
      let error = failure("write", path)
      unlink(temporary)
      throw error
    }
  }
}
