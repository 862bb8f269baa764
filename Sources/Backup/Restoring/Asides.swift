internal import BSON
internal import Dump
internal import MongoDB
internal import Synchronization

/// Collections that an application has made between a drop and a creation, or that a replay finds in its
/// way: renamed, never dropped unseen. Views and time-series, which no insert makes, end the restore.
///
/// Where a time-series is dropped, a plain insert makes a plain collection of its name; with the buckets
/// below it the server would then write into the one and read from the other.
final class Asides: Sendable {
  private let pool: ClientPool
  private let options: RestoreOptions
  private let temporary: Temporary
  /// What this restore makes.
  private let own: Set<Namespace>
  private let places = Mutex<[(target: Namespace, place: Namespace)]>([])

  init(pool: ClientPool, options: RestoreOptions, temporary: Temporary, own: [Namespace]) {
    self.own = Set(own)
    self.pool = pool
    self.options = options
    self.temporary = temporary
  }

  /// As the journal knows what was exchanged.
  var swaps: [Journal.Swap] {
    places.withLock { $0 }.map { target, place in
      Journal.Swap(
        target: target, temporary: temporary.loading(target), kept: place, uuid: nil, expiries: [])
    }
  }

  /// Frees a name.
  /// - Returns: false for what cannot be renamed, a view or a time-series, where this restore may have made it.
  /// - Throws: ``BackupError`` `.conflict` for one of somebody else.
  func free(_ target: Namespace) throws -> Bool {
    try pool.withClient { client in
      let database = client.database(target.database)
      let found = try database.listCollections(filter: ["name": .string(target.collection)])
      // Gone again is free too.
      guard let found = found.first else { return true }
      guard found.type == .collection else {
        guard !own.contains(target) else { return false }
        throw Swapper.otherKind(
          target, "drop it, or give the restored one another name with --rename")
      }
      // A run that died may have put something aside under the same token.
      for number in 0... {
        let place = temporary.aside(target, number)
        do throws(MongoError) {
          _ = try client.run(
            [
              "renameCollection": .string(target.description), "to": .string(place.description),
              "dropTarget": false,
            ], on: "admin", options: .majority)
        } catch {
          if error.code == 48 { continue }
          guard error.code == 26 else { throw error }
          return true
        }
        places.withLock { $0.append((target, place)) }
        options.notice?("\(target) was in the way: it is \(place) now")
        break
      }
      return true
    }
  }
}
