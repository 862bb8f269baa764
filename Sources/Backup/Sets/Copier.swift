internal import Dump
public import MongoDB

/// Copies a set to another store, checking every byte on the way.
public struct Copier: Sendable {
  private let source: any Store
  private let target: any Store
  private let cancellation: Cancellation

  public init(
    from source: any Store, to target: any Store, cancellation: Cancellation = Cancellation()
  ) {
    self.source = source
    self.target = target
    self.cancellation = cancellation
  }

  /// Copies a set; the manifest comes last. Blocks.
  ///
  /// - Returns: bytes copied.
  /// - Throws: ``BackupError`` `.damaged` when the source is, `.conflict` when another set of that id
  ///   is there.
  public func copy(_ id: String) throws -> Int64 {
    let lock = try StoreLock.acquire(target, purpose: "backup copy", cancellation: cancellation)
    defer { lock.release() }
    guard try !lock.isIn(source) else {
      throw BackupError(.usage, "a backup is not copied onto itself", path: target.location)
    }
    let set = try Catalog(source).find(id)
    // What is only read may be in a place that cannot be written.
    let use = try? StoreUse(source, sets: [set.id], purpose: "backup copy")
    defer { use?.end() }
    let manifest = try set.readManifest()
    guard set.isGood else {
      throw BackupError(.damaged, "the backup is damaged and is not copied", path: set.id)
    }
    if try isThere(set, manifest) { return 0 }
    do {
      try Catalog(target).begin(set.id, "backup copy")
      for file in manifest.files { try copy(file, set.id) }
      let sealed = try source.read(set.id + "/" + Manifest.name)
      try lock.check()
      try target.put(set.id + "/" + Manifest.name, bytes: sealed)
      Catalog(target).finish(set.id)
    } catch {
      try? Catalog(target).remove(set.id)
      throw error
    }
    return manifest.storedBytes
  }

  /// True when the target has the set whole. One that is damaged there is removed, to be copied again.
  private func isThere(_ set: BackupSet, _ manifest: Manifest) throws -> Bool {
    guard let there = try Catalog(target).set(set.id) else { return false }
    if let other = there.manifest, other != manifest {
      throw BackupError(
        .conflict, "another backup of that id is in \(target.location)", path: set.id)
    }
    // A manifest that is damaged may be that of anything; only files as they are here tell that it is not.
    let sizes = try Dictionary(
      target.list(set.id, recursively: true).map { ($0.name, $0.size) },
      uniquingKeysWith: { a, _ in a })
    let whole = manifest.files.filter { sizes[set.id + "/" + $0.name] == $0.digest.size }
    if there.manifest != nil, there.isGood, whole.count == manifest.files.count { return true }
    guard there.manifest != nil || !whole.isEmpty else {
      throw BackupError(
        .conflict, "a damaged backup of that id is in \(target.location)", path: set.id,
        hint: "remove it there, then copy again")
    }
    try Catalog(target).remove(set.id)
    return false
  }

  private func copy(_ file: Manifest.File, _ id: String) throws {
    let name = id + "/" + file.name
    let writer = try target.put(name, size: file.digest.size)
    do {
      let sink = HashingSink(writer)
      let cancellation = cancellation
      try Transfer.all(try source.get(name), to: sink) { try cancellation.check() }
      guard sink.digest == file.digest else {
        throw BackupError(
          .damaged, "the file was altered: its checksum is not the manifest's", path: name)
      }
      try writer.commit()
    } catch {
      writer.discard()
      throw error
    }
  }
}
