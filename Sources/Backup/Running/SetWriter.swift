internal import Dump
internal import MongoDB

/// Writes the files of a set into a store: compressed and encrypted on the way, hashed as stored.
struct SetWriter {
  let store: any Store
  let id: String
  let options: BackupOptions

  /// Writes one file.
  ///
  /// - Parameters:
  ///   - stem: its name without `.gz` and `.age`.
  ///   - compresses: gzip here; false when what comes is compressed already, or shall not be.
  ///   - suffix: what to add for compression that has happened before.
  func file(
    _ stem: String, _ role: Manifest.File.Role, compresses: Bool, isCompressed: Bool,
    stream: String? = nil, _ body: (any ByteSink) throws -> Void
  ) throws -> Manifest.File {
    var name = stem
    if isCompressed { name += ".gz" }
    if options.age.encrypts { name += ".age" }
    let writer = try store.put(id + "/" + name, size: nil)
    let hashing = HashingSink(writer)
    var filters: [FilterSink] = []
    do {
      var sink: any ByteSink = hashing
      if options.age.encrypts {
        let filter = try options.age.encrypting(to: sink)
        filters.insert(filter, at: 0)
        sink = filter
      }
      if compresses {
        let filter = try FilterSink(["gzip", "-c", "-\(options.compressionLevel ?? 6)"], to: sink)
        filters.insert(filter, at: 0)
        sink = filter
      }
      try body(sink)
      try options.cancellation.check()
      // The outermost first: each ends the input of the next.
      for filter in filters { try filter.finish() }
      let digest = hashing.digest
      try writer.commit()
      return Manifest.File(
        name: name, role: role, digest: digest, isEncrypted: options.age.encrypts,
        isCompressed: isCompressed, stream: stream)
    } catch {
      for filter in filters { filter.abandon() }
      writer.discard()
      throw error
    }
  }
}
