import BSON
public import MongoDB

/// Looks at a server for the planner; only reads.
public struct StateReader {
  let client: Client
  let database: Database
  let names: LedgerNames
  /// How long counting may take for one step.
  let timeLimit: Duration

  /// - Parameter timeLimit: for each count; a step that takes longer is planned without it.
  public init(
    client: Client, database: String, names: LedgerNames, timeLimit: Duration = .seconds(20)
  ) {
    self.client = client
    self.database = client.database(database)
    self.names = names
    self.timeLimit = timeLimit
  }

  /// Collections, indexes and, for the steps of pending migrations, what they would meet. Blocks.
  public func read(for migrations: [Migration], counting: Bool = true) throws -> ServerState {
    let server = try client.hello()
    var state = ServerState(
      database: database.name, release: Release(server.version), topology: .init(server.topology),
      now: server.localTime ?? DateTime(milliseconds: 0))
    state.names = names
    let mentioned = Set(migrations.flatMap(mentionedCollections))
    for info in try database.listCollections() where !names.isOurs(info.name) {
      state.collections[info.name] = CollectionState(
        type: info.raw["type"]?.stringValue ?? "collection", options: info.options)
    }
    for name in mentioned {
      guard var collection = state.collections[name], collection.type != "view" else { continue }
      let indexes = try database.listIndexes(name, includeBuildUUIDs: true)
      collection.indexes = indexes.map(\.spec)
      collection.unfinished = Set(indexes.filter(\.isUnfinished).map(\.name))
      collection.count = try database.estimatedCount(name)
      state.collections[name] = collection
    }
    if migrations.contains(where: { $0.up.contains { $0.name == "createIndexes" } }) {
      state.unreachableMembers = unreachableMembers()
    }
    guard counting else { return state }
    for migration in migrations {
      for step in migration.up {
        let key = StepKey(migration: migration.name, step: step.index)
        state.facts[key] = try facts(step, state)
      }
    }
    return state
  }

  private func mentionedCollections(_ migration: Migration) -> [String] {
    var steps = migration.up
    if case .steps(let down) = migration.down { steps += down }
    return steps.flatMap { step -> [String] in
      let names = [
        step.target, step.name == "renameCollection" ? step.command["to"]?.stringValue : nil,
      ]
      return names.compactMap(\.self).map { Names.collection($0, in: database.name) }
    }
  }

  /// Data-bearing members that are neither primary nor secondary; empty when this may not be asked.
  private func unreachableMembers() -> [String] {
    guard let status = try? client.run(["replSetGetStatus": 1], on: "admin") else { return [] }
    let healthy: Set<Int64> = [1, 2, 7]
    return (status["members"]?.arrayValue ?? []).compactMap { member in
      guard let member = member.documentValue, let state = member["state"]?.integerValue,
        !healthy.contains(state)
      else { return nil }
      return member["name"]?.stringValue
    }
  }

  // MARK: - Single steps

  private func facts(_ step: Step, _ state: ServerState) throws -> StepFacts? {
    guard let target = step.target, let collection = state.collections[target],
      collection.type == "collection"
    else { return nil }
    var facts = StepFacts()
    switch StepKind(command: step.name) {
    case .update:
      facts.matched = try matched(step, "updates", single: { !$0.isTruthyFlag("multi") })
    case .delete:
      facts.matched = try matched(step, "deletes", single: { $0["limit"]?.integerValue == 1 })
    case .createIndexes where collection.count > 0:
      try indexFacts(step, target, collection, &facts, now: state.now, release: state.release)
    case .collMod:
      if let validator = step.command["validator"]?.documentValue, !validator.isEmpty {
        facts.failingValidator = try count(
          target, ["$nor": [.document(validator)]], limit: 1001)
      }
    default: return nil
    }
    return facts
  }

  private func matched(
    _ step: Step, _ list: String, single: (Document) -> Bool
  ) throws -> DocumentCount {
    var total: Int64 = 0
    var isExact = true
    let statements = step.command[list]?.arrayValue ?? []
    for case .document(let statement) in statements {
      let filter = statement["q"]?.documentValue ?? [:]
      var options: Document = [:]
      if let collation = statement["collation"] { options.append("collation", collation) }
      if let variables = step.command["let"] { options.append("let", variables) }
      let limit: Int64? = single(statement) ? 1 : nil
      switch try count(step.target ?? "", filter, options: options, limit: limit) {
      case .exact(let n):
        total += n == 0 && statement.isTruthyFlag("upsert") ? 1 : n
      case .atLeast(let n):
        total += n
        isExact = false
      case .unknown(let why): return .unknown(why)
      }
    }
    return isExact ? .exact(total) : .atLeast(total)
  }

  private func count(
    _ collection: String, _ filter: Document, options: Document = [:], limit: Int64? = nil
  ) throws -> DocumentCount {
    var pipeline: [Document] = [["$match": .document(filter)]]
    if let limit { pipeline.append(["$limit": .int64(limit)]) }
    pipeline.append(["$count": "n"])
    do {
      let cursor = try database.aggregate(
        collection, pipeline: pipeline, options: options, command: .init(maxTime: timeLimit))
      let n = try cursor.next()?["n"]?.integerValue ?? 0
      return limit.map { $0 > 1 && n >= $0 } ?? false ? .atLeast(n - 1) : .exact(n)
    } catch {
      if error.code == 50 { return .unknown("counting took longer than \(timeLimit)") }
      guard error.kind == .server else { throw error }
      // What the server makes of the filter shows when the step runs, or in `migrate plan`.
      return .unknown("the server refused to count: code \(error.code)")
    }
  }

  private func indexFacts(
    _ step: Step, _ target: String, _ collection: CollectionState, _ facts: inout StepFacts,
    now: DateTime, release: Release
  ) throws {
    for case .document(let spec) in step.command["indexes"]?.arrayValue ?? []
    where IndexComparison.compare(
      spec, with: collection.indexes, collation: collection.collation, release: release) == .missing
    {
      let name = IndexComparison.indexName(spec)
      if spec.isTruthyFlag("unique") {
        facts.duplicates[name] = try DuplicateSearch(
          database: database, collection: target, spec: spec, timeLimit: timeLimit
        ).run()
      }
      if let seconds = spec["expireAfterSeconds"]?.doubleValue, seconds.isFinite,
        let field = spec["key"]?.documentValue?.keys.first
      {
        let limit = DateTime(milliseconds: now.milliseconds - Int64(min(seconds, 1e12) * 1000))
        facts.expiring[name] = try count(target, [field: ["$lt": .date(limit)]])
      }
    }
  }
}

extension Document {
  func isTruthyFlag(_ key: String) -> Bool { self[key]?.isTruthy ?? false }
}

extension Release {
  init(_ version: ServerVersion) {
    self.init(major: version.major, minor: version.minor, patch: version.patch)
  }
}

extension Requirements.Topology {
  init(_ topology: ServerDescription.Topology) {
    switch topology {
    case .standalone: self = .standalone
    case .replicaSet: self = .replicaSet
    case .sharded: self = .sharded
    }
  }
}
