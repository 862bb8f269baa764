internal import Dump
internal import Glibc

/// A folder of our own (mode 0700) for what is needed on this machine for a while: it may hold what
/// documents hold.
struct WorkFolder {
  let path: String

  /// Makes one, and removes what those that were killed have left. Blocks.
  /// - Throws: ``BackupError`` `.store`.
  init(in folder: String) throws(BackupError) {
    Self.removeDead(in: folder)
    path = try Disk.createTemporaryFolder(folder + "/" + Self.prefix)
    // Held until this process ends, however it ends: that is what tells a folder of the living. It has its
    // name when it is held.
    descriptor = open(path + "/lock.new", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    if descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
      rename(path + "/lock.new", path + "/lock")
    }
  }

  static var standard: String { ProcessEnvironment["TMPDIR"] ?? "/tmp" }

  private let descriptor: Int32
  private static let prefix = "martlet-replay."

  func remove() {
    _ = try? RunningProgram.output(of: ["rm", "-rf", "--", path])
    if descriptor >= 0 { close(descriptor) }
  }

  private static func removeDead(in folder: String) {
    for name in (try? Disk.names(in: folder)) ?? [] where name.hasPrefix(prefix) {
      let path = folder + "/" + name
      var status = stat()
      guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
        status.st_uid == geteuid()
      else { continue }
      let lock = open(path + "/lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
      guard lock >= 0 else { continue }
      if flock(lock, LOCK_EX | LOCK_NB) == 0 {
        _ = try? RunningProgram.output(of: ["rm", "-rf", "--", path])
      }
      close(lock)
    }
  }
}
