import Glibc

/// Names and folders.
enum FilePath {
  /// Where temporary files go: `TMPDIR`, or `/tmp`.
  static var temporaryDirectory: String {
    let given = getenv("TMPDIR").map { String(cString: $0) } ?? ""
    return given.isEmpty ? "/tmp" : given
  }

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  static func name(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return path }
    return String(path[path.index(after: slash)...])
  }

  static func join(_ a: String, _ b: String) -> String {
    a.isEmpty ? b : a.hasSuffix("/") ? a + b : a + "/" + b
  }

  /// A hidden name beside `path` that no other process uses. Long names are cut: 255 bytes is all.
  static func sibling(of path: String, _ suffix: String) -> String {
    join(parent(of: path), siblingPrefix(of: path) + "\(getpid()).\(suffix)")
  }

  /// How such a name begins, before the process's number.
  static func siblingPrefix(of path: String) -> String {
    "." + String(decoding: name(of: path).utf8.prefix(200), as: UTF8.self) + "."
  }

  static func synchronize(directory: String) throws(DumpError) {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw DumpError.system("open", directory) }
    defer { close(descriptor) }
    // Some file systems cannot synchronise a folder; nothing can be done about it there.
    guard fsync(descriptor) == 0 || errno == EINVAL else {
      throw DumpError.system("fsync", directory)
    }
  }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Nothing, or an ordinary file: what a rename may take the place of.
  static func isReplaceable(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
  }

  /// Where a symbolic link leads, as far as there is something; any other path unchanged.
  static func resolved(_ path: String) -> String {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK,
      let real = realpath(path, nil)
    else { return path }
    defer { free(real) }
    return String(cString: real)
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  static func size(_ path: String) -> Int64? {
    var status = stat()
    return stat(path, &status) == 0 ? Int64(status.st_size) : nil
  }

  /// Makes a folder and those above it.
  static func create(directory: String) throws(DumpError) {
    guard !directory.isEmpty, !isDirectory(directory) else { return }
    let parent = parent(of: directory)
    if parent != directory { try create(directory: parent) }
    guard mkdir(directory, 0o777) == 0 || errno == EEXIST else {
      throw DumpError.system("mkdir", directory)
    }
  }

  /// The names in a folder, sorted, without `.` and `..`.
  static func list(_ directory: String) throws(DumpError) -> [String] {
    guard let handle = opendir(directory) else { throw DumpError.system("open", directory) }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// A whole small file. At most `limit` bytes, or it is an error.
  static func read(_ path: String, limit: Int = 64 << 20) throws(DumpError) -> [UInt8] {
    try readAll(try FileSource(path: path), path: path, limit: limit)
  }

  static func readAll(_ source: any ByteSource, path: String, limit: Int) throws(DumpError)
    -> [UInt8]
  {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    var bytes: [UInt8] = []
    while true {
      let count = try source.read(into: buffer)
      if count == 0 { return bytes }
      bytes.append(contentsOf: buffer[..<count])
      guard bytes.count <= limit else {
        throw DumpError(.damaged, "the file is larger than anything that belongs there", path: path)
      }
    }
  }

  /// Removes a folder of ours and all in it, as far as that works.
  static func remove(tree: String) {
    if isDirectory(tree), let names = try? list(tree) {
      for name in names { remove(tree: join(tree, name)) }
      rmdir(tree)
    } else {
      unlink(tree)
    }
  }
}
