internal import BSON
public import MongoDB
internal import Synchronization

/// Makes all checks of a phase, one after the other, on one client.
public struct Validator: Sendable {
  private let pool: ClientPool
  private let database: String
  private let phase: Phase
  private let rules: Rules
  private let expectations: Expectations
  private let options: CheckOptions

  /// What a run gives.
  public struct Outcome: Sendable {
    public var checks: [CheckResult] = []
    /// Nil when it was not asked for.
    public var snapshot: Snapshot?
    /// Figures of both sides, after a comparison.
    public var metrics: [Metric] = []
    public var timeline: [TimelineEntry] = []
    public var environment: [Fact] = []
    /// Where a run that was cut off went on.
    public var notes: [String] = []
  }

  /// Prepares a run; nothing is sent.
  public init(
    _ pool: ClientPool, database: String, phase: Phase, rules: Rules = Rules(),
    expectations: Expectations = Expectations(), options: CheckOptions = CheckOptions()
  ) {
    self.pool = pool
    self.database = database
    self.phase = phase
    self.rules = rules
    self.expectations = expectations
    self.options = options
  }

  /// Makes every check; what cannot be carried out is among the results. Blocks.
  /// - Parameters:
  ///   - takesSnapshot: reads every document, for fingerprints.
  ///   - old: an earlier snapshot, to compare with.
  /// - Throws: ``MongoError`` when the server cannot be reached or the run was cancelled.
  public func run(takesSnapshot: Bool, against old: Snapshot? = nil) throws -> Outcome {
    try pool.withClient { client in
      let context = try CheckContext(client.database(database), phase, options)
      var outcome = Outcome(environment: environment(context))
      let queries = Mutex<[QuerySnapshot]>([])
      let keep: @Sendable (QuerySnapshot) -> Void = { query in
        queries.withLock { $0.append(query) }
      }
      let probes = try self.probes(context, keep: keep)
      context.checks = probes.count
      context.old = old
      context.state = try options.stateFile.map { path throws(ValidationError) in
        try CheckState(path, key: key(context))
      }
      try stage("checks", &outcome) { outcome in
        for probe in probes {
          outcome.checks += try probe.results(context)
          context.checksDone += 1
        }
        if context.checksKnown > 0 {
          context.note(
            "Resumed: \(Words.counted(Int64(context.checksKnown), "checks")) of \(probes.count) "
              + "had been made.")
        }
      }
      guard takesSnapshot || old != nil else { return finished(outcome, context) }
      try stage("snapshot", &outcome) { outcome in
        var snapshotter = Snapshotter(context: context)
        let (snapshot, results) = try snapshotter.snapshot(
          own: expectations.isOwn, queries: queries.withLock { $0 })
        outcome.snapshot = snapshot
        outcome.snapshot?.migrations = expectations.appliedMigrations
        outcome.checks += results
      }
      if let old, let new = outcome.snapshot {
        let comparison = Comparison(
          old, new, declared: expectations.changes, slower: slower,
          own: expectations.ownCollections)
        outcome.checks += comparison.checks
        outcome.metrics = comparison.metrics
      }
      return finished(outcome, context)
    }
  }

  /// What did not fit into the time budget is left for a run with the same state.
  private func finished(_ outcome: Outcome, _ context: CheckContext) -> Outcome {
    if !context.isTimeUp { context.state?.finish() }
    var outcome = outcome
    outcome.notes = context.notes
    return outcome
  }

  /// Only the checks of what pending migrations are about to do, for a plan. Blocks.
  /// - Throws: ``MongoError`` when the server cannot be reached or the run was cancelled.
  public func checkPlan() throws -> [CheckResult] {
    try pool.withClient { client in
      let context = try CheckContext(client.database(database), .before, options)
      context.checks = planned.count
      return try planned.flatMap { probe in
        defer { context.checksDone += 1 }
        return try probe.results(context)
      }
    }
  }

  /// Reads every document, and makes no check. Blocks.
  /// - Throws: ``MongoError`` when the server cannot be reached or the run was cancelled.
  public func snapshot() throws -> Snapshot {
    try pool.withClient { client in
      let context = try CheckContext(client.database(database), phase, options)
      var snapshotter = Snapshotter(context: context)
      var (snapshot, _) = try snapshotter.snapshot(
        own: expectations.isOwn, queries: [])
      snapshot.migrations = expectations.appliedMigrations
      return snapshot
    }
  }

  /// What two runs have in common of which the second goes on with the first.
  private func key(_ context: CheckContext) -> String {
    let parts = [
      context.server.me ?? pool.settings.hosts.joined(separator: ","), database, phase.rawValue,
      rules.digest, expectations.appliedMigrations.joined(separator: ","),
      "\(expectations.plannedIndexes.count)", "\(context.checks)",
    ]
    return parts.joined(separator: "|")
  }

  private var slower: [String: Double] {
    Dictionary(rules.queries.map { ($0.name, $0.slower) }, uniquingKeysWith: { first, _ in first })
  }

  private func stage(
    _ name: String, _ outcome: inout Outcome, _ body: (inout Outcome) throws -> Void
  ) throws {
    let start = options.now()
    try body(&outcome)
    let failed = outcome.checks.contains { $0.status == .failed || $0.status == .error }
    outcome.timeline.append(
      TimelineEntry(
        name, startedAt: start, duration: max(0, options.now() - start), state: .done,
        detail: failed && name == "checks" ? "with failures" : nil))
  }

  private func environment(_ context: CheckContext) -> [Fact] {
    let server = context.server
    var facts = [
      Fact("database", database), Fact("server", pool.settings.hosts.joined(separator: ", ")),
      Fact("server version", server.version.description),
    ]
    switch server.topology {
    case .replicaSet(let name):
      facts.append(Fact("topology", "replica set \(name) of \(server.hosts.count)"))
    case .standalone: facts.append(Fact("topology", "standalone"))
    case .sharded: facts.append(Fact("topology", "sharded cluster"))
    }
    if !rules.file.isEmpty {
      facts.append(Fact("rules", "\(rules.file), \(Words.counted(Int64(rules.count), "rules"))"))
    }
    return facts
  }

  // MARK: - what is checked

  private func probes(
    _ context: CheckContext, keep: @escaping @Sendable (QuerySnapshot) -> Void
  ) throws -> [Probe] {
    func now<Rule>(_ list: [Rule], _ header: (Rule) -> RuleHeader) -> [Rule] {
      list.filter { rule in
        let phases = header(rule).phases
        return phases.contains(phase)
          || phase == .after && options.servicesRun && phases.contains(.started)
      }
    }
    var probes: [Probe] = []
    if phase != .started { probes += [ServerProbes.present, ServerProbes.activeWork] }
    if phase == .before { probes.append(ServerProbes.connections) }
    probes += now(rules.collections, \.header).map { CollectionProbes.probe($0) }
    probes += now(rules.indexes, \.header).map { CollectionProbes.probe($0) }
    if phase != .started { probes += try catalog(context) }
    for rule in now(rules.references, \.header) {
      probes.append(
        Probe("orphaned-references", "\(rule.from) -> \(rule.to)") { context in
          try References(context: context, rule: rule).run()
        })
    }
    for rule in now(rules.unique, \.header) {
      probes.append(
        Probe("duplicate-keys", rule.collection) { context in
          try Duplicates(context: context, rule: rule).run()
        })
    }
    probes += now(rules.schemas, \.header).map { DocumentProbes.probe($0) }
    probes += now(rules.fields, \.header).flatMap { DocumentProbes.probes($0) }
    probes += now(rules.empty, \.header).map { DocumentProbes.probe($0) }
    switch phase {
    case .before: probes += planned
    case .after:
      probes += expectations.collections.map { DeclaredProbes.probe($0) }
      probes += expectations.dropped.map { DeclaredProbes.dropped($0) }
      probes += expectations.indexes.map { DeclaredProbes.probe($0) }
      probes += expectations.counts.map { DeclaredProbes.probe($0) }
      probes += expectations.unseen.map { Self.unseen($0) }
      probes += [ServerProbes.ttlMonitor, ServerProbes.ttlPasses]
    case .started: break
    }
    probes += now(rules.queries, \.header).map { QueryProbes.probe($0, keep: keep) }
    probes += now(rules.files, \.header).map { ApplicationProbes.probe($0) }
    probes += now(rules.commands, \.header).map { ApplicationProbes.probe($0) }
    probes += now(rules.audits, \.header).map { ApplicationProbes.probe($0) }
    return probes
  }

  private var planned: [Probe] {
    PlannedProbes.probes(expectations.plannedIndexes)
      + expectations.plannedValidators.map { DocumentProbes.planned($0) }
      + expectations.plannedExpiries.map { Due.probe($0) }
      + expectations.unseenBefore.map { Self.unseen($0) }
  }

  private static func unseen(_ unseen: Expectations.Unseen) -> Probe {
    Probe(unseen.id, unseen.subject) { _ in
      [.skipped(unseen.id, unseen.subject, unseen.reason)]
    }
  }

  /// What every collection and view has to answer for, without any rule.
  private func catalog(_ context: CheckContext) throws -> [Probe] {
    var probes: [Probe] = []
    for info in try context.userCollections() where !expectations.isOwn(info.name) {
      switch info.type {
      case .collection:
        probes.append(ServerProbes.indexStates(info))
        probes.append(DocumentProbes.typeDrift(info))
        if let probe = DocumentProbes.ownValidator(info) { probes.append(probe) }
        if options.integrity != .none { probes.append(ServerProbes.integrity(info)) }
      case .view: probes.append(ServerProbes.view(info))
      case .timeseries, .other: break
      }
    }
    return probes
  }
}
