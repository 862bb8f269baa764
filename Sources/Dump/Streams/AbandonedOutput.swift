import Glibc

/// What killed dumps left under temporary names.
///
/// A dump holds a lock on its temporary file or folder, which the system lets go with the process: what
/// is not locked belongs to nobody. A process id in a name proves nothing, it may be another one's by now.
enum AbandonedOutput {
  /// Marks a temporary file or folder as somebody's, until the descriptor is closed.
  static func hold(_ descriptor: Int32) { _ = flock(descriptor, LOCK_EX | LOCK_NB) }

  /// The same for a folder; gives back the descriptor, which is its owner's to close.
  static func hold(directory: String) -> Int32 {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    hold(descriptor)
    return descriptor
  }

  /// Removes what stands beside `path` and was meant to become it, as far as that works.
  static func remove(beside path: String) {
    let parent = FilePath.parent(of: path)
    let prefix = FilePath.siblingPrefix(of: path)
    guard let names = try? FilePath.list(parent) else { return }
    for name in names where isTemporary(name, prefix) {
      let abandoned = FilePath.join(parent, name)
      let descriptor = open(abandoned, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { FilePath.remove(tree: abandoned) }
    }
  }

  /// `.NAME.PID.partial`, or the copy that replaces it.
  private static func isTemporary(_ name: String, _ prefix: String) -> Bool {
    guard name.hasPrefix(prefix) else { return false }
    let rest = name.dropFirst(prefix.count)
    let suffix = rest.drop { $0.isASCII && $0.isNumber }
    return rest.count > suffix.count && [".partial", ".partial.new"].contains(suffix)
  }
}
