internal import BSON
public import MongoDB

/// What has been captured, for people and scripts.
public struct OplogStatus: Sendable {
  public var chains: [SliceChain]
  public var windows: [RestorableWindow]
  private let sets: [BackupSet]
  /// Behind the server's majority point, in seconds; nil without a server or a chain of it.
  public var lag: Int64?

  /// Reads a store; the server only when there is one.
  public static func read(_ store: any Store, pool: ClientPool? = nil) throws -> OplogStatus {
    let chains = try SliceCatalog(store).chains()
    let sets = try Catalog(store).sets()
    var status = OplogStatus(
      chains: chains, windows: RestorableWindows.all(sets, chains), sets: sets, lag: nil)
    guard let pool else { return status }
    let live = try pool.withClient { client in
      (try ReplicaSet.id(client), try client.hello().majorityTime)
    }
    let chain = chains.first { $0.replicaSetID == live.0 }
    if let end = chain?.runs.last?.end, let now = live.1 {
      status.lag = max(0, Int64(now.seconds) - Int64(end.seconds))
    }
    return status
  }

  /// True when what happens now cannot be recovered to: since the last gap or restore no base was made.
  public func needsBase(_ chain: SliceChain) -> Bool {
    RestorableWindows.needsBase(chain, sets)
  }

  /// Stored bytes of a chain for each day that it covers.
  public static func bytesPerDay(_ chain: SliceChain) -> Int64? {
    guard let first = chain.slices.first, let last = chain.slices.last else { return nil }
    let seconds = Int64(last.end.seconds) - Int64(first.start.seconds)
    guard seconds > 0 else { return nil }
    return chain.slices.reduce(0) { $0 + $1.digest.size } * 86_400 / seconds
  }
}
