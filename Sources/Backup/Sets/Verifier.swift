internal import Dump
import Fingerprint
public import MongoDB

/// Reads a set back and says whether it is whole. Needs no server.
public struct Verifier: Sendable {
  /// How much is read.
  public enum Depth: String, Sendable, Hashable, CaseIterable {
    /// The manifest, and that every file is there with its size.
    case manifest
    /// Also every byte's checksum.
    case checksums
    /// Also every document: structure, counts, fingerprints.
    case documents
  }

  /// A part of the work: the `index`th of `total`, from 1.
  public struct Subset: Sendable, Hashable {
    public let index: Int
    public let total: Int

    /// Reads `n/t`.
    /// - Throws: ``BackupError`` `.usage`.
    public init(_ text: String) throws(BackupError) {
      let parts = text.split(separator: "/").map { Int($0) }
      guard parts.count == 2, let index = parts[0], let total = parts[1], index >= 1,
        index <= total
      else {
        throw BackupError(.usage, "'\(text)' is not a subset", hint: "write 1/7, 2/7, …")
      }
      self.index = index
      self.total = total
    }

    /// True when this part of the work has what is named so.
    public func takes(_ name: String) -> Bool {
      // FNV-1a: the same on every machine and in every run.
      let hash = name.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) {
        ($0 ^ UInt64($1)) &* 0x100_0000_01b3
      }
      return Int(hash % UInt64(total)) == index - 1
    }
  }

  /// What was read.
  public struct Report: Sendable {
    public var id: String
    public var depth: Depth
    public var files = 0
    public var bytes: Int64 = 0
    public var documents: Int64 = 0
  }

  private let store: any Store
  private let age: Age
  private let cancellation: Cancellation
  /// Told of bytes read.
  public var progress: (@Sendable (Int64) -> Void)?

  public init(_ store: any Store, age: Age = Age(), cancellation: Cancellation = Cancellation()) {
    self.store = store
    self.age = age
    self.cancellation = cancellation
  }

  /// Reads a set. Blocks. The outcome is kept beside it, where the store can be written.
  ///
  /// - Throws: ``BackupError`` `.damaged` with file, offset and namespace; `.encryption` when
  ///   documents were asked for without the key.
  @discardableResult
  public func verify(_ id: String, depth: Depth, subset: Subset? = nil) throws -> Report {
    let set = try Catalog(store).find(id)
    let manifest = try set.readManifest()
    do {
      let report = try read(manifest, depth, subset)
      if subset == nil { try? Catalog(store).note(manifest, depth: depth.rawValue, damage: nil) }
      return report
    } catch let error as BackupError where error.code == .damaged {
      guard try Catalog(store).set(set.id) != nil else {
        throw BackupError(.notFound, "the backup was removed while it was read", path: set.id)
      }
      try? Catalog(store).note(manifest, depth: depth.rawValue, damage: error.message)
      throw error
    }
  }

  private func read(_ manifest: Manifest, _ depth: Depth, _ subset: Subset?) throws -> Report {
    var report = Report(id: manifest.id, depth: depth)
    try checkSizes(manifest)
    guard depth != .manifest else {
      report.files = manifest.files.count
      return report
    }
    for file in manifest.files where subset?.takes(manifest.id + "/" + file.name) != false {
      try cancellation.check()
      report.files += 1
      report.bytes += file.digest.size
      if depth == .documents {
        report.documents += try content(of: file, manifest)
      } else {
        let source = HashingSource(try store.get(manifest.id + "/" + file.name))
        try drain(source, manifest, file)
        try compare(source.digest, manifest, file)
      }
    }
    return report
  }

  private func checkSizes(_ manifest: Manifest) throws(BackupError) {
    let there = try store.list(manifest.id, recursively: true)
    let sizes = Dictionary(there.map { ($0.name, $0.size) }, uniquingKeysWith: { a, _ in a })
    for file in manifest.files {
      let path = manifest.id + "/" + file.name
      guard let size = sizes[path] else {
        throw BackupError(.damaged, "a file of the backup is missing", path: path)
      }
      guard size == file.digest.size else {
        throw BackupError(
          .damaged, "the file has \(size) bytes, the manifest says \(file.digest.size)",
          offset: min(size, file.digest.size), path: path)
      }
    }
  }

  private func drain(_ source: any ByteSource, _ manifest: Manifest, _ file: Manifest.File) throws {
    let path = manifest.id + "/" + file.name
    do {
      let cancellation = cancellation
      try Transfer.all(source, to: NullSink()) { try cancellation.check() }
    } catch let error as DumpError { throw BackupError(error, path: path) }
    progress?(file.digest.size)
  }

  private func compare(_ digest: FileDigest, _ manifest: Manifest, _ file: Manifest.File)
    throws(BackupError)
  {
    guard digest == file.digest else {
      throw BackupError(
        .damaged, "the file was altered: its checksum is not the manifest's",
        path: manifest.id + "/" + file.name)
    }
  }

  // MARK: - Content

  /// Reads the inside and the checksum in one go; the inside knows better where the damage is.
  private func content(of file: Manifest.File, _ manifest: Manifest) throws -> Int64 {
    let path = manifest.id + "/" + file.name
    let stored = HashingSource(try store.get(path))
    do {
      var source: any ByteSource = stored
      if file.isEncrypted { source = try age.decrypting(source) }
      var documents: Int64 = 0
      if file.role == .data {
        documents = try archive(source, manifest, path)
      } else {
        let inner = file.isCompressed ? GzipSource(source) : source
        let cancellation = cancellation
        try Transfer.all(inner, to: NullSink()) { try cancellation.check() }
      }
      // What follows the content is read too, or its checksum would not be compared.
      try drain(stored, manifest, file)
      try compare(stored.digest, manifest, file)
      return documents
    } catch let error as DumpError {
      if let cause = error.cause as? BackupError, cause.code != .damaged {
        // A key seems wrong also where the file's header was altered: the checksum tells the two apart.
        if cause.code == .encryption {
          let whole = HashingSource(try store.get(path))
          try drain(whole, manifest, file)
          try compare(whole.digest, manifest, file)
        }
        throw cause
      }
      throw BackupError(error, path: path)
    }
  }

  private func archive(_ source: any ByteSource, _ manifest: Manifest, _ path: String) throws
    -> Int64
  {
    var inspector = Inspector()
    inspector.checksDocuments = true
    let cancellation = cancellation
    inspector.progress = { _ in try cancellation.check() }
    let report = try inspector.inspect(try Input.open(source))
    return try ManifestComparison.compare(report, manifest, path)
  }
}

/// What an archive holds against what its manifest says.
enum ManifestComparison {
  /// - Returns: documents.
  static func compare(_ report: DumpReport, _ manifest: Manifest, _ path: String)
    throws(BackupError) -> Int64
  {
    var expected: [String: Manifest.Collection] = [:]
    for collection in manifest.collections { expected[collection.namespace] = collection }
    var documents: Int64 = 0
    for found in report.collections where found.namespace != .oplog {
      let name = found.namespace.description
      guard let wanted = expected.removeValue(forKey: name) else {
        throw BackupError(
          .damaged, "the archive has a collection that the manifest does not name",
          namespace: name, path: path)
      }
      guard found.tally.count == wanted.count, found.tally.bytes == wanted.bytes else {
        throw BackupError(
          .damaged,
          "the archive has \(found.tally.count) documents, the manifest says \(wanted.count)",
          namespace: name, path: path)
      }
      guard found.tally.fingerprint.description == wanted.fingerprint else {
        throw BackupError(
          .damaged, "the documents are not those of the manifest: the fingerprint differs",
          namespace: name, path: path)
      }
      documents += found.tally.count
    }
    if let missing = expected.keys.min() {
      throw BackupError(
        .damaged, "a collection of the manifest is not in the archive", namespace: missing,
        path: path)
    }
    return documents
  }
}
