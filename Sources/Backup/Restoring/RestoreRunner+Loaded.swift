internal import BSON
internal import Dump
internal import MongoDB

/// What a load and its replay have made under a temporary name, for a live one.
struct Loaded {
  /// As it is now: a replay may have made something else of what the backup has.
  enum Kind: String {
    case collection, view, series
  }

  /// In the oplog.
  var source: Namespace
  var target: Namespace
  var kind: Kind
  /// A time-series of the backup, which is loaded once more in its place.
  var isOfBackup: Bool
  /// Of a collection.
  var swap: Journal.Swap?
  /// The definition of a view.
  var view: Document?
}

/// A view or a time-series that a replay has made and the base lacks: neither can be renamed.
struct LateMade {
  /// In the oplog.
  var source: Namespace
  var target: Namespace
  /// Of a view; nil for a time-series.
  var view: Document?
}

extension LateMade {
  /// Nil for what is swapped, or loaded with the backup.
  init?(_ loaded: Loaded) {
    guard loaded.kind == .view || loaded.kind == .series && !loaded.isOfBackup else { return nil }
    self.init(source: loaded.source, target: loaded.target, view: loaded.view)
  }
}

extension RestoreRunner {
  /// What is there under temporary names now, and was selected: a replay may have made, renamed and dropped
  /// some, also in databases that came into being after the base.
  func loaded(_ plan: RestorePlan, _ summary: LoadSummary, _ temporary: Temporary) throws
    -> [Loaded]
  {
    let items = Dictionary(
      plan.items.map { (temporary.loading($0.target), $0) }, uniquingKeysWith: { a, _ in a })
    let summaries = Dictionary(
      summary.collections.map { ($0.target, $0) }, uniquingKeysWith: { a, _ in a })
    return try pool.withClient { client in
      var out: [Loaded] = []
      for database in try RestoreRecovery.databases(client) {
        for info in try client.database(database).listCollections()
        where Self.isResult(info.name, temporary) {
          let place = Namespace(database, info.name)
          let item = items[place]
          let target =
            item?.target
            ?? Namespace(database, String(info.name.dropFirst(temporary.stem.count)))
          let source = item?.source ?? summaries[place]?.source ?? target
          var loaded = Loaded(
            source: source, target: target, kind: .collection, isOfBackup: item?.way == .reload)
          switch info.type {
          case .view:
            loaded.kind = .view
            loaded.view = info.options
          case .timeseries: loaded.kind = .series
          default:
            loaded.swap = Journal.Swap(
              target: target, temporary: place, kept: nil, uuid: info.uuid,
              expiries: Self.expiries(summaries[place], target))
          }
          out.append(loaded)
        }
      }
      var seen: Set<Namespace> = []
      for loaded in out where !seen.insert(loaded.target).inserted {
        throw BackupError(
          .conflict, "two collections would become it: one of them was made after the backup",
          namespace: loaded.target.description, hint: "give each a name of its own with --rename")
      }
      return out
    }
  }

  private static func isResult(_ name: String, _ temporary: Temporary) -> Bool {
    name.hasPrefix(temporary.stem)
      // What another restore had loaded at that moment.
      && !name.hasPrefix(temporary.stem + Temporary.prefix)
      && !name.hasPrefix(temporary.stem + Swapper.probe)
      // What only had to be there for a rename.
      && !name.hasPrefix(temporary.stem + Temporary.originMark)
  }

  /// A collection takes the place of a collection only, and so on: nobody expects a view to delete data.
  /// - Throws: ``BackupError`` `.conflict`.
  func refuseOtherKinds(_ loaded: [Loaded]) throws {
    try pool.withClient { client in
      let swapper = Swapper(client: client, options: options)
      for loaded in loaded {
        guard let live = try swapper.info(loaded.target) else { continue }
        let kind: Loaded.Kind =
          switch live.type {
          case .view: .view
          case .timeseries: .series
          default: .collection
          }
        guard kind != loaded.kind else { continue }
        throw BackupError(
          .conflict, "what has this name now is of another kind than what would take its place",
          namespace: loaded.target.description,
          hint: "drop it, or give the restored one another name with --rename")
      }
    }
  }
}
