internal import BSON
internal import MongoDB

/// What a check has at hand. Of one thread.
final class CheckContext {
  let database: Database
  let options: CheckOptions
  let phase: Phase
  private(set) var server: ServerDescription
  private let deadline: ContinuousClock.Instant?
  private var infos: [String: CollectionInfo]?
  private var names: [String] = []
  private var indexLists: [String: [IndexInfo]] = [:]
  var current: (id: String, subject: String) = ("", "")
  /// The snapshot that this run is compared with.
  var old: Snapshot?
  /// Where what is done is kept.
  var state: CheckState?
  var checksDone = 0
  var checks = 0
  /// Those that were over when a run before was cut off.
  var checksKnown = 0
  /// Where a run that was cut off went on, and what else has to be said about this one.
  private(set) var notes: [String] = []

  init(
    _ database: Database, _ phase: Phase, _ options: CheckOptions
  ) throws(MongoError) {
    self.database = database
    self.phase = phase
    self.options = options
    server = try database.client.hello()
    deadline = options.timeBudget.map { ContinuousClock.now + $0 }
  }

  /// The check that is being made, as ``CheckState`` knows it.
  var key: String { "\(checksDone) \(current.id) \(current.subject)" }

  /// Commands of a check: none takes longer than what is left of the time budget.
  var scan: CommandOptions {
    var options = drain
    options.maxTime = self.options.commandLimit
    if let deadline {
      let left = max(.milliseconds(1), deadline - ContinuousClock.now)
      if left < self.options.commandLimit {
        options.maxTime = left
        isShort = true
      }
    }
    return options
  }

  /// A scan that asks for the time after each batch. The server would count all batches together, and a
  /// large collection could never be read.
  var drain: CommandOptions {
    CommandOptions(
      readPreference: options.readPreference,
      comment: server.version >= ServerVersion(4, 4) ? options.comment : nil)
  }

  /// A command of the current check had less than its full time.
  private var isShort = false

  /// Whether a command that the server ended had all the time that the budget left.
  func isCutOff(_ error: MongoError) -> Bool {
    guard error.kind == .timedOut, isShort else { return false }
    isCut = true
    return true
  }

  private var isCut = false

  func begin(_ id: String, _ subject: String) {
    current = (id, subject)
    isShort = false
  }

  /// Stops the check when somebody cancelled or the time is up.
  func checkTime() throws {
    try options.cancellation.check()
    if isTimeUp { throw TimeIsUp() }
  }

  var isTimeUp: Bool { isCut || deadline.map { ContinuousClock.now >= $0 } ?? false }

  func report(done: Int64, total: Int64? = nil) {
    options.progress?(
      CheckProgress(
        id: current.id, subject: current.subject, checksDone: checksDone, checks: checks,
        done: done, total: total))
  }

  func note(_ text: String) {
    notes.append(text)
    options.noted?(text)
  }

  /// Says that the current check went on where a run before was cut off.
  func wentOn(after done: Int64, _ unit: String) {
    let name = [current.id, current.subject].filter { !$0.isEmpty }.joined(separator: " ")
    note("Resumed: \(name) went on after \(Words.counted(done, unit)).")
  }

  // MARK: - catalog

  /// Every collection, view and time-series, by name.
  func collections() throws(MongoError) -> [CollectionInfo] {
    _ = try load()
    return names.compactMap { infos?[$0] }
  }

  func collection(_ name: String) throws(MongoError) -> CollectionInfo? { try load()[name] }

  private func load() throws(MongoError) -> [String: CollectionInfo] {
    if let infos { return infos }
    let list = try database.listCollections()
    names = list.map(\.name).sorted()
    let all = Dictionary(list.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    infos = all
    return all
  }

  /// The indexes of a collection; none for views.
  func indexes(_ collection: String) throws(MongoError) -> [IndexInfo] {
    if let list = indexLists[collection] { return list }
    guard let info = try self.collection(collection),
      info.type == .collection || info.type == .timeseries
    else { return [] }
    let list = try database.listIndexes(
      collection, includeBuildUUIDs: server.version >= ServerVersion(4, 4))
    indexLists[collection] = list
    return list
  }

  /// The collation that a collection's indexes and queries have when they do not say another.
  func collation(of collection: String) throws(MongoError) -> Document? {
    try self.collection(collection)?.options["collation"]?.documentValue
  }

  /// The stages of the plan that a find would have, rejected plans left out.
  func plan(ofFind find: Document) throws(MongoError) -> QueryPlan {
    let explain: Document = ["explain": .document(find), "verbosity": "queryPlanner"]
    return QueryPlan(explain: try database.run(explain, options: scan))
  }

  /// Collections that people made: neither the server's nor ours.
  func userCollections() throws(MongoError) -> [CollectionInfo] {
    try collections().filter { !$0.name.hasPrefix("system.") }
  }
}

/// The time budget is used up.
struct TimeIsUp: Error {}

/// What the planner chose.
struct QueryPlan: Sendable, Hashable {
  /// Stages from the outermost to the innermost.
  var stages: [String] = []
  var indexes: [String] = []

  init(explain: Document) { walk(explain) }

  init(stages: [String], indexes: [String]) {
    self.stages = stages
    self.indexes = indexes
  }

  var isCovered: Bool {
    !stages.contains("FETCH") && !scansCollection && !sortsInMemory && stages.contains("IXSCAN")
  }
  var scansCollection: Bool { stages.contains("COLLSCAN") }
  var sortsInMemory: Bool {
    stages.contains { $0 == "SORT" || $0.hasPrefix("SORT_") && $0 != "SORT_MERGE" }
  }

  var summary: String {
    let names = indexes.isEmpty ? "" : " (\(indexes.joined(separator: ", ")))"
    return (stages.isEmpty ? "no plan" : stages.joined(separator: " < ")) + names
  }

  private mutating func walk(_ document: Document) {
    if let stage = document["stage"]?.stringValue { stages.append(stage) }
    if let index = document["indexName"]?.stringValue, !indexes.contains(index) {
      indexes.append(index)
    }
    for element in document {
      switch element.key {
      case "rejectedPlans", "executionStats", "slotBasedPlan", "serverInfo", "command": continue
      default: break
      }
      switch element.value {
      case .document(let inner): walk(inner)
      case .array(let items):
        for item in items { if let inner = item.documentValue { walk(inner) } }
      default: break
      }
    }
  }
}

extension RawBatch {
  /// Calls `body` with each document's bytes, in order.
  @inline(__always)
  func visit(_ body: (UnsafeRawBufferPointer) throws -> Void) throws { try forEach(body) }
}
