internal import BSON
internal import MongoDB

/// The named queries of the application: plan and response time.
enum QueryProbes {
  static func probe(_ rule: QueryRule, keep: @escaping @Sendable (QuerySnapshot) -> Void) -> Probe {
    // The measurements go into the snapshot.
    Probe("query-plan", rule.name, isKept: false) { context in
      guard try context.collection(rule.collection) != nil else {
        return [DocumentProbes.missing("query-plan", rule.name, rule.collection)]
      }
      let plan = try self.plan(rule, context)
      let measured = try measure(rule, plan, context)
      keep(measured)
      return planResults(rule, plan) + [latency(rule, measured)]
    }
  }

  private static func command(_ rule: QueryRule) -> Document {
    if let find = rule.find {
      var command: Document = ["find": .string(rule.collection)]
      command.append(contentsOf: find)
      return command
    }
    return [
      "aggregate": .string(rule.collection),
      "pipeline": .array(rule.pipeline.map { .document($0) }), "cursor": [:],
      "allowDiskUse": true,
    ]
  }

  private static func plan(_ rule: QueryRule, _ context: CheckContext) throws -> QueryPlan {
    try context.plan(ofFind: command(rule))
  }

  /// Warmed by three runs; each run drains the cursor.
  private static func measure(
    _ rule: QueryRule, _ plan: QueryPlan, _ context: CheckContext
  ) throws -> QuerySnapshot {
    let command = command(rule)
    var times: [Double] = []
    var documents: Int64 = 0
    for round in 0..<(3 + max(1, context.options.queryRuns)) {
      try context.checkTime()
      let start = ContinuousClock.now
      let cursor = try context.database.client.cursor(
        command, on: context.database.name, options: context.scan)
      documents = 0
      while let count = try cursor.nextBatch({ Int64($0.count) }) { documents += count }
      if round >= 3 { times.append((ContinuousClock.now - start).milliseconds) }
    }
    times.sort()
    return QuerySnapshot(
      name: rule.name, plan: plan, documents: documents, runs: Int64(times.count),
      p50: percentile(times, 0.5), p95: percentile(times, 0.95))
  }

  static func percentile(_ sorted: [Double], _ share: Double) -> Double {
    guard let last = sorted.last else { return 0 }
    let index = Int((Double(sorted.count) * share).rounded(.up)) - 1
    return sorted.indices.contains(index) ? sorted[index] : last
  }

  private static func planResults(_ rule: QueryRule, _ plan: QueryPlan) -> [CheckResult] {
    var problems: [String] = []
    if plan.scansCollection, !rule.allowsCollectionScan {
      problems.append("it reads the whole collection")
    }
    if plan.sortsInMemory, !rule.allowsMemorySort { problems.append("it sorts in memory") }
    if let index = rule.index, !plan.indexes.contains(index) {
      let used = plan.indexes.isEmpty ? "none" : plan.indexes.joined(separator: ", ")
      problems.append("it uses the index \(used), not \(index)")
    }
    guard !problems.isEmpty else { return [.passed("query-plan", rule.name, plan.summary)] }
    return [
      .found(
        "query-plan", rule.name, rule.header.severity,
        "\(problems.joined(separator: ", ")): \(plan.summary)", findings: Int64(problems.count),
        cause: "an index is missing, hidden, or does not fit the query",
        command: Words.command([
          "explain": .document(command(rule)), "verbosity": "executionStats",
        ]), fix: rule.header.fix ?? "build the index that serves filter and sort")
    ]
  }

  private static func latency(_ rule: QueryRule, _ measured: QuerySnapshot) -> CheckResult {
    let words = "p50 \(Words.time(measured.p50)), p95 \(Words.time(measured.p95))"
    let amount = Amount(measured.runs, "runs")
    guard let limit = rule.p95, measured.p95 > limit else {
      return .passed("query-latency", rule.name, words, lookedAt: amount)
    }
    return .found(
      "query-latency", rule.name, rule.header.severity,
      "\(words), above the limit of \(Words.time(limit))", lookedAt: amount,
      cause: "a slower plan, more documents, or a busy server",
      command: Words.command(["explain": .document(command(rule)), "verbosity": "executionStats"]),
      fix: rule.header.fix ?? "look at the plan")
  }
}
