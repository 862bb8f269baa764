internal import BSON
internal import Dump
internal import MongoDB

/// What a restore drops, makes and loads in place: what cannot be renamed, and everything with
/// `--in-place`.
///
/// It is in the journal before the first drop, so that the next run can load it if this one cannot.
struct Reload {
  var items: [RestorePlan.Item]
  var late: [LateMade]
  /// What a replay in place makes besides.
  var made: [Namespace]
  /// Patterns of the backup's names.
  var includes: [String]
  /// Everything, without patterns.
  var isWhole: Bool
  /// SHA-256 of the backup's data: in another store another backup may have the same id.
  var archive: String?
  var renames: [(from: String, to: String)]
  /// What it is about, to find the slices that have it.
  var databases: Set<String>?
  var end: (time: Timestamp, isInclusive: Bool)?
  /// UUIDs of what is dropped, buckets for a time-series: what was there before the safety backup. What comes
  /// later is put aside. Nil until that is known.
  var replaced: [Binary]?
  /// The backup that gets what was written to them late.
  var safety: String?

  var isEmpty: Bool { items.isEmpty && late.isEmpty }
  /// There is something for the backup's documents: not for views that a replay has made.
  var loadsDocuments: Bool { isWhole || !includes.isEmpty }

  init(
    _ items: [RestorePlan.Item], _ late: [LateMade], _ manifest: Manifest,
    _ options: RestoreOptions, made: [Namespace] = []
  ) {
    self.made = made
    self.items = items
    self.late = late
    if options.inPlace {
      includes = options.only.map(\.text)
    } else {
      let series = late.filter { $0.view == nil }.map(\.source)
      includes = (items.map(\.source) + series).map { NamespacePattern.escape($0.description) }
    }
    isWhole = options.inPlace && includes.isEmpty
    archive = manifest.data?.digest.sha256
    renames = options.renames.map { ($0.from, $0.to) }
    databases = options.databases
    end = options.end
  }

  /// The options that it was made with, as far as they matter.
  func options(_ base: RestoreOptions) throws -> RestoreOptions {
    var out = base
    out.only = try includes.map { try NamespacePattern($0) }
    out.renames = try renames.map { try NamespaceRename(from: $0.from, to: $0.to) }
    out.time = end.flatMap { $0.isInclusive ? .entry($0.time) : nil }
    out.before = end.flatMap { $0.isInclusive ? nil : $0.time }
    out.databases = databases
    return out
  }

  /// What is dropped.
  var targets: [Namespace] { items.map(\.target) + late.map(\.target) }
  /// All that is made.
  var own: [Namespace] { targets + made }
}

extension Reload {
  var document: Document {
    var out: Document = [
      "items": .array(
        items.map { item in
          [
            "source": .string(item.source.description), "target": .string(item.target.description),
            "way": .string(item.way.rawValue),
            "expiries": .array(item.expiries.map { .integer($0) }),
          ]
        }),
      "late": .array(
        late.map { item in
          var entry: Document = [
            "source": .string(item.source.description), "target": .string(item.target.description),
          ]
          // As bytes: servers before 5.0 refuse an update that stores a name with `$` (52).
          if let view = item.view { entry.append("view", .binary(Binary(bytes: view.bytes))) }
          return .document(entry)
        }),
      "isWhole": .bool(isWhole), "includes": .array(includes.map { .string($0) }),
      "renames": .array(renames.map { .array([.string($0.from), .string($0.to)]) }),
    ]
    if let replaced { out.append("replaced", .array(replaced.map { .binary($0) })) }
    if let archive { out.append("archive", .string(archive)) }
    if !made.isEmpty {
      out.append("made", .array(made.map { .string($0.description) }))
    }
    if let databases {
      out.append("databases", .array(databases.sorted().map { .string($0) }))
    }
    if let safety { out.append("safety", .string(safety)) }
    if let end {
      out.append("end", .timestamp(end.time))
      out.append("isInclusive", .bool(end.isInclusive))
    }
    return out
  }

  init?(_ document: Document) {
    func each(_ key: String) -> [Document] {
      (document[key]?.arrayValue ?? []).compactMap(\.documentValue)
    }
    items = each("items").compactMap { entry in
      guard let source = entry["source"]?.stringValue.flatMap({ Namespace($0) }),
        let target = entry["target"]?.stringValue.flatMap({ Namespace($0) }),
        let way = entry["way"]?.stringValue.flatMap({ RestorePlan.Item.Way(rawValue: $0) })
      else { return nil }
      return RestorePlan.Item(
        source: source, target: target, way: way, count: 0, bytes: 0, liveCount: nil,
        expiries: (entry["expiries"]?.arrayValue ?? []).compactMap(\.integerValue))
    }
    late = each("late").compactMap { entry in
      guard let source = entry["source"]?.stringValue.flatMap({ Namespace($0) }),
        let target = entry["target"]?.stringValue.flatMap({ Namespace($0) })
      else { return nil }
      guard let stored = entry["view"] else {
        return LateMade(source: source, target: target, view: nil)
      }
      guard let bytes = stored.binaryValue?.stored, let view = try? Document(bytes: bytes) else {
        return nil
      }
      return LateMade(source: source, target: target, view: view)
    }
    includes = (document["includes"]?.arrayValue ?? []).compactMap(\.stringValue)
    // An entry of before this field, with items and no patterns, is of a whole restore in place.
    isWhole = document["isWhole"]?.isTruthy ?? (includes.isEmpty && !items.isEmpty)
    renames = (document["renames"]?.arrayValue ?? []).compactMap { pair in
      guard let pair = pair.arrayValue, pair.count == 2, let from = pair[0].stringValue,
        let to = pair[1].stringValue
      else { return nil }
      return (from, to)
    }
    end = document["end"]?.timestampValue.map { ($0, document["isInclusive"]?.isTruthy == true) }
    replaced = document["replaced"]?.arrayValue?.compactMap(\.binaryValue)
    archive = document["archive"]?.stringValue
    made = (document["made"]?.arrayValue ?? []).compactMap {
      $0.stringValue.flatMap { Namespace($0) }
    }
    databases = document["databases"]?.arrayValue.map { Set($0.compactMap(\.stringValue)) }
    safety = document["safety"]?.stringValue
  }
}
