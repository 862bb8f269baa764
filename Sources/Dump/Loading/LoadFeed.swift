internal import BSON
import Fingerprint
internal import MongoDB

/// Reads a dump and puts its documents into the queue.
///
/// The oplog goes to a spool and users go wherever the plan sends them; what is left out is read and
/// thrown away, its checksum looked at all the same.
struct LoadFeed: Sendable {
  let items: [LoadItem]
  let queue: BatchQueue
  let pool: ChunkPool
  let options: LoadOptions
  let spool: OplogSpool?

  /// Count, bytes and fingerprint of each item.
  typealias Tallies = [CollectionTally]

  /// Feeds an archive. `reader` must have the plan's items as its streams. Blocks.
  func archive(_ reader: ArchiveReader) throws -> Tallies {
    while let event = try reader.next() {
      if queue.isStopped { break }
      try options.cancellation.check()
      switch event {
      case .documents(let run):
        try add(
          run.stream, run.bytes,
          LoadBatch(
            item: run.stream, count: run.count, chunk: run.chunk, range: run.range))
      case .ended(let stream): end(stream)
      }
    }
    return reader.streams.map(\.tally)
  }

  /// Feeds the files of a folder, several at a time. Blocks.
  func files() throws -> Tallies {
    let tallies = Monitor([CollectionTally](repeating: CollectionTally(), count: items.count))
    let next = Monitor(0)
    // The largest first, so that none is left alone at the end.
    let order = items.indices.sorted {
      FilePath.size(items[$0].file ?? "") ?? 0 > FilePath.size(items[$1].file ?? "") ?? 0
    }
    let bodies = (0..<min(options.parallel, max(items.count, 1))).map { _ in
      { @Sendable in
        while true {
          let place = next.withLock { place in
            defer { place += 1 }
            return place
          }
          guard place < order.count, !queue.isStopped else { return }
          let index = order[place]
          let tally = try file(index)
          tallies.withLock { $0[index] = tally }
        }
      }
    }
    try WorkerThreads.run(bodies) { _ in queue.stop() }
    return tallies.withLock { $0 }
  }

  private func file(_ index: Int) throws -> CollectionTally {
    let item = items[index]
    guard let path = item.file, item.role != .skipped, item.role != .view else {
      end(index)
      return CollectionTally()
    }
    let source = try Input.open(try FileSource(path: path), path: path).source
    return try documents(source, index, path: path)
  }

  /// Feeds one collection's plain documents. Blocks.
  func documents(_ source: any ByteSource, _ index: Int, path: String?) throws -> CollectionTally {
    var tally = CollectionTally()
    do {
      let reader = try DocumentFileReader(source, pool: pool)
      while let run = try reader.next(), !queue.isStopped {
        try options.cancellation.check()
        RawDocuments.forEach(in: run.bytes) { tally.add(document: $0) }
        try add(
          index, run.bytes,
          LoadBatch(
            item: index, count: run.count, chunk: run.chunk, range: run.range))
      }
    } catch var error as DumpError {
      error.path = error.path ?? path
      error.namespace = error.namespace ?? items[index].source.description
      throw error
    }
    end(index)
    return tally
  }

  private func add(_ index: Int, _ bytes: UnsafeRawBufferPointer, _ batch: LoadBatch) throws {
    switch items[index].role {
    case .collection, .users, .roles: queue.add(batch)
    case .oplog: try spool?.append(contentsOf: bytes)
    case .view, .skipped, .authVersion: break
    }
  }

  private func end(_ index: Int) {
    if items[index].role == .collection { queue.end(index) }
  }
}
