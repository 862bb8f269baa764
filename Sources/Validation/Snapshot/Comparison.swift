internal import BSON

/// Two snapshots side by side. Needs no server.
public struct Comparison: Sendable {
  private var before: Snapshot
  private var after: Snapshot
  private let declared: [DeclaredChange]
  private let slower: [String: Double]

  /// - Parameters:
  ///   - declared: what migrations say they change; everything else is a finding.
  ///   - slower: how many times slower each named query may be; 2 where not said.
  ///   - own: collections of the tool itself, which are not compared; with `name.` in front too.
  public init(
    _ before: Snapshot, _ after: Snapshot, declared: [DeclaredChange] = [],
    slower: [String: Double] = [:], own: [String] = []
  ) {
    var expectations = Expectations()
    expectations.ownCollections = own
    self.before = before
    self.before.collections.removeAll { expectations.isOwn($0.name) }
    self.after = after
    self.after.collections.removeAll { expectations.isOwn($0.name) }
    self.declared = declared
    self.slower = slower
  }

  /// What differs, collection by collection, then the queries.
  public var checks: [CheckResult] {
    let names = Set((before.collections + after.collections).map(\.name)).sorted()
    return names.flatMap { compare($0) } + queries + [indexUse].compactMap(\.self)
  }

  /// Which indexes were used in between, on each member: for people, never a failure.
  private var indexUse: CheckResult? {
    guard !before.indexUses.isEmpty, !after.indexUses.isEmpty else { return nil }
    var rows: [[Evidence.Cell]] = []
    var used = 0
    for new in after.indexUses {
      let old = before.indexUses.first {
        $0.member == new.member && $0.collection == new.collection && $0.index == new.index
      }
      // Counted from nought when the member was restarted or the index built anew.
      let base = old?.since == new.since ? old?.operations ?? 0 : 0
      let difference = max(0, new.operations - base)
      if difference > 0 { used += 1 }
      rows.append([
        .text("\(new.collection) \(new.index)"), .text(new.member), .number(difference),
        .number(new.operations),
      ])
    }
    var result = CheckResult.passed(
      "index-use", after.database,
      "\(used) of \(after.indexUses.count) were used between the two snapshots",
      lookedAt: Amount(after.indexUses.count, "indexes"))
    result.evidence = Evidence(columns: ["index", "member", "since", "in all"], rows: rows)
    result.command = "db.collection.aggregate([{$indexStats: {}}])"
    return result
  }

  /// Figures of both sides.
  public var metrics: [Metric] {
    let names = Set((before.collections + after.collections).map(\.name)).sorted()
    var metrics: [Metric] = []
    func add(
      _ group: Metric.Group, _ name: String, _ unit: Metric.Unit,
      _ value: (CollectionSnapshot) -> Int64?
    ) {
      let x = before.collection(name).flatMap(value).map(Double.init)
      let y = after.collection(name).flatMap(value).map(Double.init)
      if x != nil || y != nil { metrics.append(Metric(group, name, unit, before: x, after: y)) }
    }
    for name in names { add(.documents, name, .count) { $0.count } }
    for name in names { add(.sizes, name, .bytes) { $0.bytes } }
    for name in names {
      let x = before.collection(name)?.indexSize.map(Double.init)
      let y = after.collection(name)?.indexSize.map(Double.init)
      if x != nil || y != nil {
        metrics.append(Metric(.sizes, "\(name), indexes on disk", .bytes, before: x, after: y))
      }
    }
    for query in before.queries {
      let other = after.queries.first { $0.name == query.name }
      for (label, x, y) in [("p50", query.p50, other?.p50), ("p95", query.p95, other?.p95)] {
        metrics.append(
          Metric(.latencies, "\(query.name), \(label)", .milliseconds, before: x, after: y))
      }
    }
    return metrics
  }

  // MARK: - collections

  private func compare(_ name: String) -> [CheckResult] {
    let changes = declared.filter { $0.collection == name }
    let sources = changes.map(\.source).joined(separator: ", ")
    switch (before.collection(name), after.collection(name)) {
    case (nil, nil): return []
    case (let old?, nil):
      guard !changes.contains(where: \.drops) else {
        return [.passed("collection-removed", name, "removed, as \(sources) declares")]
      }
      let count = old.count.map { " with \(Words.counted($0, "documents"))" } ?? ""
      return [
        .found(
          "collection-removed", name, .error, "it was there\(count), and is gone",
          cause: "dropped or renamed, and no migration declares it",
          command: Words.command(["listCollections": 1, "filter": ["name": .string(name)]]),
          fix: "restore it from the backup: martlet restore --only \(name)")
      ]
    case (nil, let new?):
      guard !changes.contains(where: { $0.creates || $0.mayCreate }) else {
        var empty = CollectionSnapshot(name: name, count: 0)
        empty.kind = new.kind
        return [.passed("collection-added", name, "new, as \(sources) declares")]
          + documents(empty, new, changes).filter { $0.id == "count-changed" }
      }
      return [
        .found(
          "collection-added", name, .error, "it is new, and no migration declares it",
          cause: "something wrote to it; MongoDB makes collections at the first insert",
          command: Words.find(name, [:]), fix: "find out what writes to it, then drop it")
      ]
    case (let old?, let new?):
      return [kind(old, new, changes)].compactMap(\.self) + documents(old, new, changes)
        + indexes(old, new, changes) + options(old, new, changes)
    }
  }

  private func kind(
    _ old: CollectionSnapshot, _ new: CollectionSnapshot, _ changes: [DeclaredChange]
  ) -> CheckResult? {
    guard old.kind != new.kind, before.origin == .snapshot, after.origin == .snapshot else {
      return nil
    }
    if changes.contains(where: \.drops), changes.contains(where: \.creates) {
      return .passed(
        "collection-kind", old.name,
        "it was a \(old.kind), and is a \(new.kind), as "
          + "\(changes.map(\.source).joined(separator: ", ")) declares")
    }
    return .found(
      "collection-kind", old.name, .error, "it was a \(old.kind), and is a \(new.kind)",
      fix: "restore it from the backup")
  }

  private func documents(
    _ old: CollectionSnapshot, _ new: CollectionSnapshot, _ changes: [DeclaredChange]
  ) -> [CheckResult] {
    guard old.kind != "view", new.kind != "view" else { return [] }
    guard let x = old.count, let y = new.count else {
      guard old.count != nil || new.count != nil else { return [] }
      return [.skipped("count-changed", old.name, "one of the snapshots has no count")]
    }
    let name = old.name
    let isFree = changes.contains { $0.documents == nil }
    let least = changes.reduce(Int64(0)) { Self.sum($0, $1.documents?.lowerBound ?? 0) }
    let most = changes.reduce(Int64(0)) { Self.sum($0, $1.documents?.upperBound ?? 0) }
    // A manifest counts the buckets of a time-series, a snapshot its documents.
    let isCounted = old.kind != "timeseries" || before.origin == after.origin
    let delta = isCounted ? y - x : 0
    var results: [CheckResult] = []
    let amount = Amount(y, "documents")
    let words = "\(Words.grouped(x)) before, \(Words.grouped(y)) after"
    if !isCounted {
      results.append(
        .skipped("count-changed", name, "a manifest counts the buckets, not the documents"))
    } else if isFree || (least...max(least, most)).contains(delta) {
      results.append(.passed("count-changed", name, words, lookedAt: amount))
    } else {
      let wanted =
        least == most
        ? (least == 0 ? "no change" : "a change of \(least)") : "a change of \(least) to \(most)"
      results.append(
        .found(
          "count-changed", name, .error, "\(words): \(wanted) is declared", lookedAt: amount,
          findings: abs(delta),
          cause: delta < 0 ? "documents were lost" : "something inserted while the window was open",
          command: "db.getCollection(\(Words.quoted(name))).countDocuments({})",
          fix: delta < 0
            ? "restore them: martlet restore --only \(name)" : "find out what still writes to it"))
    }
    let mayChange =
      isFree || changes.contains { $0.changesDocuments || $0.creates || $0.documents != 0...0 }
    guard let a = old.fingerprint, let b = new.fingerprint else {
      let skipped = CheckResult.skipped(
        "data-changed", name, "one of the snapshots has no fingerprint")
      return results + [skipped]
    }
    if a == b {
      results.append(
        .passed("data-changed", name, "every document is as it was", lookedAt: amount))
    } else if mayChange {
      results.append(.passed("data-changed", name, "changed, as declared", lookedAt: amount))
    } else if delta == 0 {
      results.append(
        .found(
          "data-changed", name, .error,
          "documents were changed, and no migration declares it", lookedAt: amount,
          cause: "something still writes, or a migration does more than it says",
          command: "db.getCollection(\(Words.quoted(name))).find().sort({_id: -1}).limit(20)",
          fix: "compare with the backup; declare the change if it is meant"))
    }
    return results
  }

  /// What somebody writes into a file may be any number.
  private static func sum(_ a: Int64, _ b: Int64) -> Int64 {
    let (sum, overflows) = a.addingReportingOverflow(b)
    return overflows ? (b < 0 ? .min : .max) : sum
  }

  private func indexes(
    _ old: CollectionSnapshot, _ new: CollectionSnapshot, _ changes: [DeclaredChange]
  ) -> [CheckResult] {
    guard let x = old.indexes, let y = new.indexes else { return [] }
    func name(_ spec: Document) -> String { spec["name"]?.stringValue ?? "" }
    func comes(_ spec: Document) -> Bool {
      changes.contains { isNamed(spec, $0.addsIndexes, $0.addsIndexKeys) || $0.creates }
    }
    func goes(_ spec: Document) -> Bool {
      changes.contains { isNamed(spec, $0.dropsIndexes, $0.dropsIndexKeys) || $0.creates }
    }
    let command = Words.command(["listIndexes": .string(old.name)])
    var results: [CheckResult] = []
    for spec in x where !y.contains(where: { name($0) == name(spec) }) {
      guard !goes(spec) else { continue }
      results.append(
        .found(
          "index-removed", "\(old.name) \(name(spec))", .error,
          "the index is gone, and no migration declares it",
          cause: "it was dropped, or its build failed", command: command,
          fix: "db.getCollection(\(Words.quoted(old.name))).createIndex("
            + "\(Words.value(spec["key"] ?? [:])), …)"))
    }
    for spec in y {
      let previous = x.first { name($0) == name(spec) }
      guard let previous else {
        guard !comes(spec) else { continue }
        results.append(
          .found(
            "index-added", "\(old.name) \(name(spec))", .error,
            "the index is new, and no migration declares it",
            cause: "somebody built it by hand", command: command,
            fix: "drop it, or declare it in a migration"))
        continue
      }
      let changed = differences(previous, spec)
      guard !changed.isEmpty, !comes(spec), !goes(spec) else { continue }
      results.append(
        .found(
          "index-changed", "\(old.name) \(name(spec))", .error, changed.joined(separator: "; "),
          findings: Int64(changed.count), cause: "changed by collMod, or dropped and built anew",
          command: command, fix: "build it as it was, or declare the change in a migration"))
    }
    return results.isEmpty
      ? [
        .passed(
          "index-changed", old.name, "no change that is not declared",
          lookedAt: Amount(y.count, "indexes"))
      ] : results
  }

  private func isNamed(_ spec: Document, _ names: [String], _ keys: [Document]) -> Bool {
    names.contains(spec["name"]?.stringValue ?? "") || names.contains("*")
      || keys.contains { key in spec["key"].map { Loose.equal(.document(key), $0) } ?? false }
  }

  private func differences(_ a: Document, _ b: Document) -> [String] {
    let names = (a.keys + b.keys).reduce(into: [String]()) { list, name in
      if !list.contains(name), !["v", "ns", "background"].contains(name) { list.append(name) }
    }
    return names.compactMap { name in
      switch (a[name], b[name]) {
      case (let x?, let y?) where Loose.equal(x, y): return nil
      case (let x, let y):
        if x?.isTruthy ?? false == y?.isTruthy ?? false,
          ["unique", "sparse", "hidden", "prepareUnique"].contains(name)
        {
          return nil
        }
        let (old, new) = (x.map(Words.value) ?? "not set", y.map(Words.value) ?? "not set")
        return "\(name) was \(old), is \(new)"
      }
    }
  }

  private func options(
    _ old: CollectionSnapshot, _ new: CollectionSnapshot, _ changes: [DeclaredChange]
  ) -> [CheckResult] {
    guard let x = old.options, let y = new.options else { return [] }
    let changed = OptionsComparison.differences(wanted: x, found: y, words: ("was", "is"))
    guard !changed.isEmpty, !changes.contains(where: { $0.changesOptions || $0.creates }) else {
      return [
        .passed("options-changed", old.name, "no change that is not declared")
      ]
    }
    return [
      .found(
        "options-changed", old.name, .error, changed.joined(separator: "; "),
        findings: Int64(changed.count),
        cause: "changed by collMod, or the collection was made anew",
        command: Words.command(["listCollections": 1, "filter": ["name": .string(old.name)]]),
        fix: "collMod it back, or declare the change in a migration")
    ]
  }

  // MARK: - queries

  private var queries: [CheckResult] {
    before.queries.flatMap { old -> [CheckResult] in
      guard let new = after.queries.first(where: { $0.name == old.name }) else {
        return [
          .skipped("plan-changed", old.name, "the query is only in the first snapshot")
        ]
      }
      return [plan(old, new), speed(old, new)]
    }
  }

  private func plan(_ old: QuerySnapshot, _ new: QuerySnapshot) -> CheckResult {
    let (x, y) = (old.plan, new.plan)
    var worse: [String] = []
    if y.scansCollection, !x.scansCollection { worse.append("it now reads the whole collection") }
    if y.sortsInMemory, !x.sortsInMemory { worse.append("it now sorts in memory") }
    guard !worse.isEmpty else {
      let same = x == y ? "the plan is as it was" : "the plan changed, and is no worse"
      return .passed("plan-changed", old.name, "\(same): \(y.summary)")
    }
    return .found(
      "plan-changed", old.name, .error,
      "\(worse.joined(separator: ", ")): was \(x.summary), is \(y.summary)",
      findings: Int64(worse.count), cause: "an index that it used is gone, hidden or changed",
      fix: "build the index again")
  }

  private func speed(_ old: QuerySnapshot, _ new: QuerySnapshot) -> CheckResult {
    let factor = slower[old.name] ?? 2
    let words = "p95 was \(Words.time(old.p95)), is \(Words.time(new.p95))"
    // A few milliseconds are the machine's mood.
    guard new.p95 > old.p95 * factor, new.p95 - old.p95 > 5, new.p50 > old.p50 * factor else {
      return .passed("query-slower", old.name, words, lookedAt: Amount(new.runs, "runs"))
    }
    return .found(
      "query-slower", old.name, .error,
      "\(words): more than \(Words.decimal(factor, 1)) times as long",
      lookedAt: Amount(new.runs, "runs"), cause: "a worse plan, more documents, or a cold cache",
      fix: "look at the plan; measure again when the cache is warm")
  }
}
