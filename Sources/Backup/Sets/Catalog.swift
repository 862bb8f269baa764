internal import BSON

/// A backup set in a store.
public struct BackupSet: Sendable, Hashable {
  public enum State: Sendable, Hashable {
    /// Complete by its manifest; nobody has read it yet.
    case complete
    /// Read back and found whole, at that time (seconds since 1970) and depth.
    case verified(Int64, String)
    /// Found damaged; why.
    case damaged(String)
    /// Made by a newer version of this program, which has to be asked; why.
    case newer(String)

    /// In listings.
    public var word: String {
      switch self {
      case .complete: "complete"
      case .verified: "verified"
      case .damaged: "damaged"
      case .newer: "newer"
      }
    }
  }

  public let id: String
  /// Nil when the manifest cannot be read.
  public let manifest: Manifest?
  public let state: State

  /// True unless it is known to be damaged.
  public var isGood: Bool { if case .damaged = state { false } else { manifest != nil } }
  /// True for what a clock that was wrong has dated later than now.
  public func isFuture(_ now: Int64 = Moment.now()) -> Bool { time > now + Self.tolerance }
  /// Clocks of two hosts differ a little. Seconds.
  private static let tolerance: Int64 = 300

  /// The manifest, for a caller that cannot do without.
  /// - Throws: ``BackupError`` `.damaged`, or `.unsupported` for what a newer version has made.
  func readManifest() throws(BackupError) -> Manifest {
    if let manifest { return manifest }
    let path = id + "/" + Manifest.name
    switch state {
    case .newer(let reason):
      throw BackupError(.unsupported, reason, path: path, hint: Manifest.newerHint)
    case .damaged(let reason):
      throw BackupError(
        .damaged, "the manifest is damaged: " + reason, path: path,
        hint: "the data may still be whole: martlet inspect reads the archive without it")
    case .complete, .verified:
      throw BackupError(.damaged, "the manifest is damaged", path: path)
    }
  }
  /// Seconds since 1970, of its start; from the name when there is no manifest.
  public var time: Int64 { manifest?.started ?? SetID.time(id) ?? 0 }
  /// Backups of one group count for each other in retention.
  public var group: String {
    // Safety backups come in bursts, and must not push out the ones that were meant to be kept.
    (manifest?.safetyFor == nil ? "" : "safety ") + (manifest?.kind.rawValue ?? "unknown") + " "
      + (manifest?.database ?? "")
  }
}

/// Names of sets: `20260128T020000Z-full`.
enum SetID {
  /// - Parameter isSafety: such are made beside others, whose names theirs must not meet.
  static func make(
    _ seconds: Int64, _ kind: Manifest.Kind, isSafety: Bool = false, taken: Set<String>
  ) -> String {
    let first = Moment.compact(seconds) + "-" + kind.rawValue + (isSafety ? "-safety" : "")
    guard taken.contains(first) else { return first }
    return (2...).lazy.map { "\(first)-\($0)" }.first { !taken.contains($0) } ?? first
  }

  static func time(_ id: String) -> Int64? {
    let digits = Array(id.utf8.prefix(16))
    guard digits.count == 16, id.utf8.count > 17, Array(id.utf8)[16] == UInt8(ascii: "-") else {
      return nil
    }
    let t = String(decoding: digits, as: UTF8.self)
    func part(_ from: Int, _ count: Int) -> Substring { t.dropFirst(from).prefix(count) }
    return Moment.parse(
      iso: "\(part(0, 4))-\(part(4, 2))-\(part(6, 2))T\(part(9, 2)):\(part(11, 2)):\(part(13, 2))Z")
  }

  static func isID(_ name: String) -> Bool { time(name) != nil }
}

/// Finds and reads the sets of a store. Needs no server.
public struct Catalog: Sendable {
  public let store: any Store

  public init(_ store: any Store) { self.store = store }

  /// All sets that have a manifest, newest first. Folders without one are no backups.
  ///
  /// - Throws: ``BackupError`` of the store. A damaged manifest is a damaged set.
  public func sets() throws(BackupError) -> [BackupSet] {
    var sets: [BackupSet] = []
    let ids = try store.folders().filter(SetID.isID)
    let files = try store.read(
      all: ids.flatMap { [$0 + "/" + Manifest.name, $0 + "/" + Self.record] }, limit: 256 << 20,
      mayLack: { $0.hasSuffix("/" + Self.record) })
    for id in ids {
      guard let bytes = files[id + "/" + Manifest.name] else { continue }
      sets.append(try set(id, bytes) { files[id + "/" + Self.record] })
    }
    return sets.sorted { ($0.time, $0.id) > ($1.time, $1.id) }
  }

  /// One set, or nil when there is none of that id or it is not complete.
  public func set(_ id: String) throws(BackupError) -> BackupSet? {
    let path = id + "/" + Manifest.name
    let bytes: [UInt8]
    do throws(BackupError) { bytes = try store.read(path) } catch {
      if error.code == .notFound { return nil }
      throw error
    }
    return try set(id, bytes) { () throws(BackupError) in
      do throws(BackupError) {
        return try store.read(id + "/" + Self.record, limit: 1 << 20)
      } catch {
        if error.code == .notFound { return nil }
        throw error
      }
    }
  }

  /// - Parameter record: what verifying has left; nil when nothing.
  private func set(
    _ id: String, _ bytes: [UInt8], record: () throws(BackupError) -> [UInt8]?
  ) throws(BackupError) -> BackupSet {
    let path = id + "/" + Manifest.name
    do throws(BackupError) {
      let manifest = try Manifest(try SealedText.open(bytes, path: path), path: path)
      guard manifest.id == id else {
        throw BackupError(.damaged, "the manifest is that of \(manifest.id)", path: path)
      }
      return BackupSet(id: id, manifest: manifest, state: state(manifest, try record()))
    } catch {
      switch error.code {
      case .damaged, .usage:
        return BackupSet(id: id, manifest: nil, state: .damaged(error.message))
      case .unsupported:
        // One that is newer hides none of the others.
        return BackupSet(id: id, manifest: nil, state: .newer(error.message))
      default: throw error
      }
    }
  }

  /// The set of an id, or the one whose id begins so.
  /// - Throws: ``BackupError`` `.notFound`, `.usage` when several begin so.
  public func find(_ id: String) throws(BackupError) -> BackupSet {
    if SetID.isID(id), let set = try set(id) { return set }
    // A whole id is never taken for the beginning of another: backups of one second differ at the end.
    let matches = SetID.isID(id) ? [] : try sets().filter { $0.id.hasPrefix(id) }
    guard matches.count < 2 else {
      throw BackupError(.usage, "\(matches.count) backups begin with '\(id)'")
    }
    guard let set = matches.first else {
      throw BackupError(
        .notFound, "there is no backup '\(id)' in \(store.location)", hint: "martlet backup list")
    }
    return set
  }

  /// The newest good set that holds something of a role; by that role's stream when one is named, and with
  /// all of some databases.
  ///
  /// Safety backups are passed over: they hold what somebody wanted to get rid of. So is what is dated in
  /// the future, which would be the latest for ever, unless there is nothing else.
  /// - Throws: ``BackupError`` `.notFound`; `.unsupported` when the latest is of a newer version, because
  ///   an older one is not what was asked for.
  public func latest(
    _ role: Manifest.File.Role = .data, stream: String? = nil, databases: Set<String>? = nil
  ) throws(BackupError) -> BackupSet {
    let scope = RecoveryScope(databases: databases)
    let sets = try sets()
    let now = Moment.now()
    let inOrder = sets.filter { !$0.isFuture(now) } + sets.filter { $0.isFuture(now) }
    func holds(_ set: BackupSet) -> Bool {
      guard let manifest = set.manifest, manifest.safetyFor == nil, scope.takes(set) else {
        return false
      }
      return manifest.files.contains { file in
        file.role == role && (stream == nil || file.stream == stream)
      }
    }
    let found = inOrder.first { set in
      if case .newer = set.state { return true }
      return set.isGood && holds(set)
    }
    if let found, case .newer = found.state { _ = try found.readManifest() }
    guard let found else {
      // One whose manifest is damaged may hold anything.
      let damaged = inOrder.first { !$0.isGood && ($0.manifest == nil || holds($0)) }
      if let damaged, case .damaged(let reason) = damaged.state {
        throw BackupError(
          .damaged,
          "there is no good backup left with what is asked for; the newest is damaged: \(reason)",
          path: damaged.id,
          hint: "martlet backup list; martlet inspect --salvage copies what is whole of an archive")
      }
      throw BackupError(
        .notFound,
        "there is no good backup with \(role.rawValue) in \(store.location)"
          + (databases.map { " of \($0.sorted().joined(separator: ", "))" } ?? ""),
        hint: "martlet backup run")
    }
    return found
  }

  /// Lies in a set until its manifest is there, and tells what a run that died has left.
  private static let mark = "unfinished.json"
  /// Seconds without a change after which nobody is copying a set in.
  private static let patience: Int64 = 600

  /// Marks a set that is being made. What has the mark and no maker any more goes with the next run.
  func begin(_ id: String, _ purpose: String) throws(BackupError) {
    let text = ExtendedJSON.text(LockHolder.current(purpose).document, .relaxed, indent: 2) + "\n"
    try store.put(id + "/" + Self.mark, bytes: Array(text.utf8))
  }

  /// A mark that stays means nothing once the manifest is there.
  func finish(_ id: String) { try? store.delete(id + "/" + Self.mark) }

  /// Folders that are no backups: what a run that died has left. What is being made is none.
  public func debris() throws(BackupError) -> [String] {
    var names: [String] = []
    for name in try store.folders() where SetID.isID(name) {
      let manifest = name + "/" + Manifest.name
      let files = try store.list(name, recursively: false)
      if files.contains(where: { $0.name == manifest }) { continue }
      if isBeingCopied(name, files) { continue }
      // A listing may lack what is there, and what this names is removed: the store has to say it of the
      // manifest itself.
      if try !has(manifest) { names.append(name) }
    }
    // Asked last: who makes a set has named it before its folder was there.
    let used = names.isEmpty ? [] : try StoreUse.claims(store)
    return names.filter { name in !used.contains { $0.sets.contains(name) } }
  }

  /// True for a set that somebody puts in by other means, rsync for one: it has no manifest until the end.
  /// The mark of one of ours comes before anything else.
  private func isBeingCopied(_ id: String, _ files: [StoreEntry]) -> Bool {
    guard !files.isEmpty, !files.contains(where: { $0.name == id + "/" + Self.mark }),
      let change = store.lastChange(in: id)
    else { return false }
    return Moment.now() - change < Self.patience
  }

  private func has(_ name: String) throws(BackupError) -> Bool {
    do throws(BackupError) {
      _ = try store.get(name)
      return true
    } catch {
      guard error.code == .notFound else { throw error }
      return false
    }
  }

  /// Removes a set: the manifest first, so that it is no backup from then on.
  public func remove(_ id: String) throws(BackupError) {
    guard SetID.isID(id) else { throw BackupError(.usage, "'\(id)' is not a backup's id") }
    try store.delete(id + "/" + Manifest.name)
    for entry in try store.list(id, recursively: true) { try store.delete(entry.name) }
    store.removeEmptyFolder(id)
  }

  // MARK: - What verifying has shown

  private static let record = "verified.json"

  /// Keeps the outcome of a verification beside the set.
  func note(_ manifest: Manifest, depth: String, damage: String?) throws(BackupError) {
    var document: Document = [
      "format": "martlet-verified/1", "id": .string(manifest.id), "depth": .string(depth),
      "time": .string(Moment.iso(Moment.now())), "good": .bool(damage == nil),
      "finished": .string(Moment.iso(manifest.finished)),
    ]
    if let damage { document.append("damage", .string(damage)) }
    try store.put(manifest.id + "/" + Self.record, bytes: SealedText.seal(document))
  }

  private func state(_ manifest: Manifest, _ bytes: [UInt8]?) -> BackupSet.State {
    guard let bytes else { return .complete }
    let path = manifest.id + "/" + Self.record
    // A record that cannot be read says nothing about the set.
    guard let document = try? SealedText.open(bytes, path: path),
      document["id"]?.stringValue == manifest.id,
      let time = document["time"]?.stringValue.flatMap({ Moment.parse(iso: $0) })
    else { return .complete }
    guard document["good"]?.boolValue == true else {
      return .damaged(document["damage"]?.stringValue ?? "verification failed")
    }
    return .verified(time, document["depth"]?.stringValue ?? "")
  }
}
