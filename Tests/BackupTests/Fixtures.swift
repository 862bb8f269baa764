import BSON
import Dump
import Fingerprint
import Glibc
import Synchronization

@testable import Backup

/// A folder that is gone with the test.
final class ScratchFolder: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/martlet-backup-test.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw BackupError(.store, "no scratch folder") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = try? RunningProgram.output(of: ["rm", "-rf", path]) }

  func write(_ bytes: [UInt8], _ name: String) throws {
    let sink = try OutputFile(path: path + "/" + name)
    try sink.write(all: bytes)
    try sink.commit()
  }

  func read(_ name: String) throws -> [UInt8] {
    try Transfer.bytes(try FileSource(path: path + "/" + name), limit: .max)
  }
}

/// A store that fails when it is told to.
final class FaultyStore: Store {
  struct Faults {
    /// Bytes that can still be written before the disk is full.
    var room = Int64.max
    /// Bytes that each file which is deleted gives back.
    var roomByDeleting: Int64 = 0
    /// Nothing works any more.
    var isGone = false
    /// Reads of names with this suffix give bytes with one bit flipped at this offset.
    var flip: (suffix: String, offset: Int)?
    /// What is there is lost when something with this suffix is put.
    var forgetsAt: String?
  }

  let inner: any Store
  let faults = Mutex(Faults())
  var location: String { inner.location }

  init(_ inner: any Store) { self.inner = inner }

  private func check() throws(BackupError) {
    if faults.withLock({ $0.isGone }) { throw BackupError(.store, "the store is gone") }
  }

  func put(_ name: String, size: Int64?) throws(BackupError) -> any StoreWriter {
    try check()
    if let suffix = faults.withLock({ $0.forgetsAt }), name.hasSuffix(suffix) {
      for entry in try inner.list("", recursively: true) { try inner.delete(entry.name) }
    }
    return FaultyWriter(try inner.put(name, size: size), self)
  }

  func get(_ name: String, range: Range<Int64>?) throws(BackupError) -> any ByteSource {
    try check()
    let source = try inner.get(name, range: range)
    guard let flip = faults.withLock({ $0.flip }), name.hasSuffix(flip.suffix) else {
      return source
    }
    return FlippingSource(source, flip.offset)
  }

  func list(_ folder: String, recursively: Bool) throws(BackupError) -> [StoreEntry] {
    try check()
    return try inner.list(folder, recursively: recursively)
  }

  func delete(_ name: String) throws(BackupError) {
    try check()
    faults.withLock { if $0.room < .max { $0.room += $0.roomByDeleting } }
    try inner.delete(name)
  }

  func removeEmptyFolder(_ folder: String) { inner.removeEmptyFolder(folder) }
  func freeSpace() -> Int64? { inner.freeSpace() }
}

private final class FaultyWriter: StoreWriter {
  private let inner: any StoreWriter
  private let store: FaultyStore

  init(_ inner: any StoreWriter, _ store: FaultyStore) {
    self.inner = inner
    self.store = store
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(DumpError) {
    let isFine = store.faults.withLock { faults in
      let isFine = faults.room >= Int64(bytes.count) && !faults.isGone
      if isFine { faults.room -= Int64(bytes.count) }
      return isFine
    }
    guard isFine else {
      var cause = BackupError(.store, "write: no space left on device", hint: "free some space")
      cause.isOutOfRoom = true
      throw DumpError(.file, cause.message, cause: cause)
    }
    try inner.write(bytes)
  }

  func commit() throws(BackupError) {
    guard !store.faults.withLock({ $0.isGone }) else {
      throw BackupError(.store, "the store is gone")
    }
    try inner.commit()
  }

  func discard() { inner.discard() }
}

private final class FlippingSource: ByteSource {
  private let inner: any ByteSource
  private var left: Int

  init(_ inner: any ByteSource, _ offset: Int) {
    self.inner = inner
    left = offset
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(DumpError) -> Int {
    let count = try inner.read(into: buffer)
    if left >= 0, left < count { buffer[left] ^= 1 }
    left -= count
    return count
  }
}

/// Makes sets without a server, from the golden archive.
enum SmallSet {
  /// Documents of two collections as an uncompressed archive of a few hundred bytes.
  static let archive: [UInt8] = {
    let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    let path = "/\(folder)/Fixtures/golden/mini.archive"
    return (try? Transfer.bytes(try FileSource(path: path), limit: 1 << 20)) ?? []
  }()

  static func make(
    in store: any Store, id: String = "20260128T100000Z-full", archive: [UInt8], tags: [String] = []
  ) throws -> Manifest {
    let report = try Inspector().inspect(try Input.open(MemorySource(archive)))
    var manifest = Manifest(
      id: id, kind: .full, started: SetID.time(id) ?? 0, finished: (SetID.time(id) ?? 0) + 5)
    manifest.tags = tags
    manifest.collections = report.collections.map {
      Manifest.Collection(
        namespace: $0.namespace.description, type: $0.metadata.type ?? "", count: $0.tally.count,
        bytes: $0.tally.bytes, fingerprint: $0.tally.fingerprint.description,
        indexes: $0.metadata.indexes)
    }
    manifest.files = [
      Manifest.File(
        name: "data.archive", role: .data, digest: FileDigest(of: archive), isEncrypted: false,
        isCompressed: false)
    ]
    try store.put(id + "/data.archive", bytes: archive)
    try store.put(id + "/manifest.json", bytes: SealedText.seal(manifest.document))
    return manifest
  }
}
