internal import BSON
internal import MongoDB

/// Finds the last insert into each capped collection that a dump has.
///
/// In the overlap all inserts up to it are to be left out: what they had put there was evicted before the
/// dump came by, or is there. Made once more they would evict what is newer. Those behind it follow in
/// their order. Looked for before the replay, while the documents are those of the dump.
struct CappedScan {
  private let client: Client
  private let options: LoadOptions
  private let collections: Set<Namespace>
  private(set) var upTo: [Namespace: Timestamp] = [:]
  private var waiting: [Namespace: [(id: Value, time: Timestamp)]] = [:]
  private static let most = 500

  /// - Parameter collections: the capped ones, under their new names.
  init(client: Client, options: LoadOptions, collections: Set<Namespace>) {
    self.client = client
    self.options = options
    self.collections = collections
  }

  /// Takes the next entry. False when it is behind the overlap.
  mutating func add(_ raw: UnsafeRawBufferPointer) throws -> Bool {
    let entry = try RawOperation(raw)
    guard let time = entry.timestamp else { return true }
    if let end = options.overlapEnd, time > end { return false }
    guard entry.kind == RawOperation.insert,
      let name = Namespace(String(decoding: entry.namespace, as: UTF8.self)),
      options.selection.takes(name)
    else { return true }
    let target = try options.selection.target(of: name)
    guard collections.contains(target),
      let id = try entry.object?.nested()?.first("_id")?.value()
    else { return true }
    waiting[target, default: []].append((id, time))
    if waiting[target, default: []].count >= Self.most { try ask(target) }
    return true
  }

  mutating func finish() throws {
    for target in Array(waiting.keys) { try ask(target) }
  }

  private mutating func ask(_ target: Namespace) throws {
    guard let inserts = waiting.removeValue(forKey: target), !inserts.isEmpty else { return }
    let cursor = try client.database(target.database).find(
      target.collection, filter: ["_id": ["$in": .array(inserts.map(\.id))]],
      options: ["projection": ["_id": 1]])
    var found: [Value] = []
    while let document = try cursor.next() {
      if let id = document["_id"] { found.append(id) }
    }
    guard !found.isEmpty, let last = inserts.last(where: { found.contains($0.id) }) else { return }
    upTo[target] = max(upTo[target] ?? last.time, last.time)
  }
}
