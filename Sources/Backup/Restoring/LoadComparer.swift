internal import BSON
public import Dump
import Fingerprint
internal import MongoDB
internal import Synchronization

/// How far one restored collection was compared with the manifest of its backup.
public struct Compared: Sendable, Hashable {
  public enum Extent: String, Sendable, Hashable {
    /// Documents and indexes are those of the manifest.
    case exact
    /// The documents were, before the oplog was replayed over them. No manifest knows them afterwards.
    case beforeReplay
    /// The number of documents was.
    case counted
    /// Nothing was.
    case none
  }

  public var namespace: Namespace
  public var extent: Extent
  /// As the manifest has them.
  public var documents: Int64 = 0
  /// Found after everything, by name and key.
  public var indexes = 0
  /// Why it is not exact.
  public var reason: String?

  static func lateMade(_ namespace: Namespace) -> Compared {
    Compared(namespace: namespace, extent: .none, reason: "made or renamed after the backup")
  }
}

/// Compares what a load has put into the server with the manifest: documents before an oplog is
/// replayed over them, existence and indexes afterwards.
final class LoadComparer: Sendable {
  private struct Place {
    let target: Namespace
    let isView: Bool
    let expires: Bool
    /// Under the name that others know.
    let isInPlace: Bool
  }

  private let manifest: Manifest
  /// By where they are loaded.
  private let places: [Namespace: Place]
  private let pool: ClientPool
  private let options: RestoreOptions
  private let failures: FailureCount
  private let results = Mutex<[Namespace: Compared]>([:])

  init(
    _ manifest: Manifest, _ items: [(item: RestorePlan.Item, place: Namespace)],
    pool: ClientPool, options: RestoreOptions, failures: FailureCount
  ) {
    self.manifest = manifest
    self.pool = pool
    self.options = options
    self.failures = failures
    places = Dictionary(
      items.map { item, place in
        // Beside, the expiry is withheld until the swap.
        let expires = item.way != .swap && !item.expiries.isEmpty
        return (
          place,
          Place(
            target: item.target, isView: item.way == .view, expires: expires,
            isInPlace: item.way != .swap && !options.comparesExpiring)
        )
      }, uniquingKeysWith: { a, _ in a })
  }

  /// The documents, while they are those of the archive.
  /// - Parameter hasIndexes: without its index nothing expires.
  /// - Throws: ``BackupError`` `.mismatch`.
  func documents(_ summary: LoadSummary, hasIndexes: Bool) throws {
    options.notice?("comparing what was loaded with the manifest")
    let wanted = Dictionary(
      manifest.collections.map { ($0.namespace, $0) }, uniquingKeysWith: { a, _ in a })
    try pool.withClient { client in
      let reader = ReadBack(client: client, cancellation: options.cancellation)
      for loaded in summary.collections {
        guard let place = places[loaded.target], !place.isView,
          let wanted = wanted[loaded.source.description]
        else { continue }
        try archived(loaded, wanted)
        let expires = place.expires && hasIndexes && !options.comparesExpiring
        let result = try compare(loaded, place, wanted, expires, reader)
        results.withLock { $0[loaded.target] = result }
      }
    }
  }

  /// What came out of the archive is what went into it.
  private func archived(_ loaded: LoadSummary.Collection, _ wanted: Manifest.Collection)
    throws(BackupError)
  {
    guard loaded.tally.count == wanted.count,
      loaded.tally.fingerprint.description == wanted.fingerprint
    else {
      throw BackupError(
        .mismatch,
        "the archive holds \(loaded.tally.count) documents, the manifest \(wanted.count)"
          + (loaded.tally.count == wanted.count ? " with another fingerprint" : ""),
        namespace: wanted.namespace)
    }
  }

  private func compare(
    _ loaded: LoadSummary.Collection, _ place: Place, _ wanted: Manifest.Collection,
    _ expires: Bool, _ reader: ReadBack
  ) throws -> Compared {
    var result = Compared(namespace: place.target, extent: .exact, documents: wanted.count)
    guard !expires else {
      result.extent = .none
      result.reason = "documents expire in it"
      return result
    }
    let isSeries = wanted.type == "timeseries"
    let found = try reader.tally(isSeries ? loaded.target.buckets : loaded.target)
    if found.count == wanted.count, found.fingerprint.description == wanted.fingerprint {
      return result
    }
    result.extent = .counted
    let twice = Int64(failures.duplicates(in: loaded.target))
    if twice > 0, found.count == wanted.count - twice {
      result.reason = "\(twice) documents were read twice, while they were replaced"
      return result
    }
    if place.isInPlace, found.count > wanted.count {
      result.extent = .none
      result.reason = "somebody writes to it meanwhile"
      return result
    }
    if found.count < wanted.count, let reason = try shrinks(loaded.target, reader.client) {
      result.reason = reason
      return result
    }
    throw BackupError(
      .mismatch,
      "what was loaded is not what was backed up: \(found.count) documents instead of "
        + "\(wanted.count)" + (found.count == wanted.count ? " with another fingerprint" : ""),
      namespace: place.target.description)
  }

  /// Why a collection may have fewer documents than were put into it.
  private func shrinks(_ namespace: Namespace, _ client: Client) throws -> String? {
    let options = try client.database(namespace.database).listCollections(
      filter: ["name": .string(namespace.collection)]
    ).first?.options
    // Those that it lost while it was read are in the archive too.
    if options?["capped"]?.isTruthy == true { return "it is capped, and has evicted documents" }
    if options?.has("expireAfterSeconds") == true { return "documents expire in it" }
    return nil
  }

  /// All that is to be there is, with its indexes; after a replay as the archive and the oplog say.
  /// - Throws: ``BackupError`` `.mismatch`.
  func finish(_ summary: LoadSummary, replayed: Bool) throws -> [Compared] {
    if !replayed { try documents(summary, hasIndexes: true) }
    return try pool.withClient { client in
      let there = try there(Set(summary.collections.map(\.target.database)), client)
      let reader = ReadBack(client: client, cancellation: options.cancellation)
      var out: [Compared] = []
      for loaded in summary.collections {
        var result =
          results.withLock { $0[loaded.target] }
          ?? Compared(
            namespace: places[loaded.target]?.target ?? loaded.target, extent: .none,
            reason: loaded.isView ? "a view: only that it is there" : nil)
        if loaded.isGone {
          result.reason = "the oplog has dropped or renamed it"
        } else {
          guard there.contains(loaded.target) else {
            throw BackupError(
              .mismatch, "it is not there, and should be by the backup and its oplog",
              namespace: result.namespace.description)
          }
          if !loaded.isView { result.indexes = try indexes(loaded, reader) }
        }
        if loaded.isReplayed, result.extent == .exact { result.extent = .beforeReplay }
        if places[loaded.target] != nil {
          out.append(result)
        } else if self.options.inPlace, !loaded.isGone {
          out.append(.lateMade(loaded.target))
        }
      }
      return out.sorted { $0.namespace < $1.namespace }
    }
  }

  private func there(_ databases: Set<String>, _ client: Client) throws -> Set<Namespace> {
    var names: Set<Namespace> = []
    for database in databases {
      for info in try client.database(database).listCollections() {
        names.insert(Namespace(database, info.name))
      }
    }
    return names
  }

  private func indexes(_ loaded: LoadSummary.Collection, _ reader: ReadBack) throws -> Int {
    try reader.compareIndexes(loaded.target, loaded.indexSpecs)
    return loaded.indexSpecs.count
  }
}
