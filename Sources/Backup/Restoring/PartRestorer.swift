internal import Dump
public import MongoDB

/// Gives back what a set holds besides data: files, and other services' streams.
public struct PartRestorer: Sendable {
  private let store: any Store
  private let age: Age
  private let cancellation: Cancellation

  public init(_ store: any Store, age: Age, cancellation: Cancellation = Cancellation()) {
    self.store = store
    self.age = age
    self.cancellation = cancellation
  }

  /// Unpacks the application files into a folder, which is made when it is missing. What is there with
  /// the same name is replaced, everything else stays.
  /// - Throws: ``BackupError``.
  public func files(of set: BackupSet, to folder: String) throws {
    guard let file = set.manifest?.files.first(where: { $0.role == .files }) else {
      throw BackupError(.notFound, "the backup holds no files", path: set.id)
    }
    try Disk.createFolder(folder)
    try feed(
      file, of: set,
      to: ["tar", "--extract", "--file=-", "--preserve-permissions", "--directory=" + folder])
  }

  /// Runs a stream's restore command with the stream as its input.
  /// - Throws: ``BackupError``.
  public func stream(_ stream: StreamCommand, of set: BackupSet) throws {
    guard let command = stream.restore else {
      throw BackupError(
        .usage, "'\(stream.name)' has no restore command",
        hint: "add restore: to it under backup.commands in martlet.yaml")
    }
    guard
      let file = set.manifest?.files.first(where: {
        $0.role == .command && $0.stream == stream.name
      })
    else {
      throw BackupError(.notFound, "the backup holds no stream '\(stream.name)'", path: set.id)
    }
    try feed(file, of: set, to: try CommandWords.split(command, name: stream.name))
  }

  /// The file is read twice: what is damaged, or what the key does not open, must not reach the program.
  /// One such as `sh -c 'cat > dump.rdb'` destroys what is there when it starts.
  private func feed(_ file: Manifest.File, of set: BackupSet, to words: [String]) throws {
    let path = set.id + "/" + file.name
    let stored = HashingSource(try store.get(path))
    do {
      try Transfer.all(try content(file, stored), to: NullSink()) { try cancellation.check() }
      try Transfer.all(stored, to: NullSink()) { try cancellation.check() }
    } catch let error as DumpError {
      if let cause = error.cause as? BackupError, cause.code != .damaged { throw cause }
      throw BackupError(error, path: path)
    }
    guard stored.digest == file.digest else {
      throw BackupError(
        .damaged, "the file was altered: its checksum is not the manifest's", path: path)
    }
    let source = try content(file, try store.get(path))
    let program = try RunningProgram(
      words, input: true, output: false, limits: .init(cancellation: cancellation))
    do {
      try Transfer.all(source, to: ProgramSink(program)) { try cancellation.check() }
      try program.finish()
    } catch {
      program.kill()
      try cancellation.check()
      if let cause = (error as? DumpError)?.cause as? BackupError { throw cause }
      throw error
    }
  }

  private func content(_ file: Manifest.File, _ stored: any ByteSource) throws -> any ByteSource {
    var source = stored
    if file.isEncrypted { source = try age.decrypting(source) }
    return file.isCompressed ? GzipSource(source) : source
  }
}
