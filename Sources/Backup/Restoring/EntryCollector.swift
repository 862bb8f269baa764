internal import BSON
internal import Dump
internal import MongoDB

/// Writes the wanted entries of slices to a file, each once.
struct EntryCollector {
  private let folder: WorkFolder
  private let file: OutputFile
  /// The oplog of a day is ten times smaller so.
  private let sink: FilterSink
  private let takes: (Timestamp) -> Bool
  private var last = Timestamp(rawValue: 0)

  init(folder: String, takes: @escaping (Timestamp) -> Bool) throws {
    self.folder = try WorkFolder(in: folder)
    do {
      file = try OutputFile(path: ReplaySource(folder: self.folder).path)
      sink = try FilterSink(["gzip", "-c", "-1"], to: file)
    } catch {
      self.folder.remove()
      throw error
    }
    self.takes = takes
  }

  /// A remote store gives several slices in one go: asked for each, it would take hours for those of a day.
  mutating func add(_ slices: [Slice], _ store: any Store, _ options: RestoreOptions) throws {
    var rest = slices[...]
    let place = folder.path + "/slices"
    while !rest.isEmpty {
      var bytes: Int64 = 0
      let part = rest.prefix(Self.most).prefix { slice in
        defer { bytes += slice.digest.size }
        return bytes < Self.mostBytes
      }
      rest = rest.dropFirst(part.count)
      // Of a large one the stream is as good.
      let small = part.filter { $0.digest.size < Self.largeBytes }
      let local =
        store.fetchesMany && small.count > 2
        ? try? store.fetch(small.map(\.dataName), to: place) : nil
      for slice in part {
        try options.cancellation.check()
        let isLocal = local?.has(slice.dataName) == true
        try add(slice, isLocal ? local ?? store : store, options.age)
        try? local?.delete(slice.dataName)
      }
    }
  }

  /// Slices that are fetched in one go, and bytes of them after which no more are.
  private static let most = 256
  private static let mostBytes: Int64 = 32 << 20
  private static let largeBytes: Int64 = 4 << 20

  private mutating func add(_ slice: Slice, _ store: any Store, _ age: Age) throws {
    try SliceReader(store, age: age).forEach(slice) { time, raw in
      // The overlap comes twice.
      guard time > last else { return }
      last = time
      guard takes(time) else { return }
      try sink.write(raw)
    }
  }

  func abandon() {
    sink.abandon()
    folder.remove()
  }

  func finish() throws -> ReplaySource {
    try sink.finish()
    try file.commit()
    return ReplaySource(folder: folder)
  }
}
