internal import BSON
internal import MongoDB

/// Looked at before: what pending migrations are about to do.
enum PlannedProbes {
  /// One probe for each index, which knows those before it.
  static func probes(_ plans: [Expectations.Index]) -> [Probe] {
    plans.enumerated().map { position, plan in
      let earlier = plans.prefix(position).filter { $0.collection == plan.collection }
      return probe(plan, earlier: earlier.map(\.spec))
    }
  }

  private static func probe(_ plan: Expectations.Index, earlier planned: [Document]) -> Probe {
    let key = plan.spec["key"]?.documentValue ?? [:]
    let subject = "\(plan.collection) \(Words.value(.document(key)))"
    return Probe("index-conflict", subject) { context in
      guard try context.collection(plan.collection) != nil else {
        return [.passed("index-conflict", subject, "the collection does not exist yet")]
      }
      var results = [try conflict(plan, key, subject, context)]
      results += [try limit(plan, planned, context)]
      let earlier = plan.documentsChangedBy.map {
        "not looked at: these fields are changed by an earlier step of \($0)"
      }
      if plan.spec["unique"]?.isTruthy == true {
        if let earlier {
          results.append(.skipped("duplicate-keys", subject, earlier))
        } else {
          results += try Duplicates(context: context, rule: unique(plan, key)).run()
        }
      }
      if let seconds = plan.spec["expireAfterSeconds"]?.doubleValue, let field = key.keys.first {
        let due = Due(
          collection: plan.collection, field: field, seconds: seconds,
          filter: plan.spec["partialFilterExpression"]?.documentValue,
          cause: "\(plan.source) makes a TTL index of \(Words.decimal(seconds, 0)) seconds")
        results.append(
          try earlier.map { .skipped("ttl-blast", due.subject, $0) } ?? due.result(context))
      }
      results.append(try size(plan, key, subject, context))
      return results
    }
  }

  private static func unique(_ plan: Expectations.Index, _ key: Document) -> UniqueRule {
    UniqueRule(
      header: RuleHeader(), collection: plan.collection, fields: key.keys,
      filter: plan.spec["partialFilterExpression"]?.documentValue,
      collation: plan.spec["collation"]?.documentValue,
      isSparse: plan.spec["sparse"]?.isTruthy == true)
  }

  /// The server refuses with 85 or 86 while the migration runs; here it is found before.
  private static func conflict(
    _ plan: Expectations.Index, _ key: Document, _ subject: String, _ context: CheckContext
  ) throws -> CheckResult {
    let id = "index-conflict"
    let command = Words.command(["listIndexes": .string(plan.collection)])
    let name = plan.spec["name"]?.stringValue
    let collation = try context.collation(of: plan.collection)
    for index in try context.indexes(plan.collection) {
      let isSameKey = IndexComparison.sameKey(key, index)
      if let name, name == index.name, !isSameKey {
        return .found(
          id, subject, .error, "an index called \(name) is there with another key",
          cause: "names are unique: error 86 in \(plan.source)", command: command,
          fix: "drop it first, or choose another name")
      }
      guard isSameKey else { continue }
      let differing = IndexComparison.differing(
        declared: plan.spec, actual: index.spec, collation: collation)
      if name == index.name, differing.isEmpty { continue }
      if name != index.name {
        // What differs in these is another index, and both may be there.
        guard Self.identity(context).isDisjoint(with: differing) else { continue }
        if differing.isEmpty {
          return .found(
            id, subject, .error, "\(index.name) is the same index under another name",
            cause: "the server refuses a second one: error 85 in \(plan.source)",
            command: command, fix: "leave it out, or drop \(index.name) first")
        }
      }
      let differences = IndexComparison.differences(
        declared: plan.spec, actual: index.spec, collation: collation)
      return .found(
        id, subject, .error,
        "\(index.name) has this key with other options: \(differences.joined(separator: "; "))",
        cause: "two indexes of one key cannot differ in these: error 85 or 86 in \(plan.source)",
        command: command, fix: "drop \(index.name) first, or declare the same options")
    }
    return .passed(id, subject, "no index stands in its way")
  }

  /// Options that, beside the key, make one index another than the next.
  private static func identity(_ context: CheckContext) -> Set<String> {
    context.server.version >= ServerVersion(5, 0)
      ? ["collation", "partialFilterExpression", "unique", "sparse"] : ["collation"]
  }

  /// - Parameter earlier: indexes of the collection that are planned before this one.
  private static func limit(
    _ plan: Expectations.Index, _ earlier: [Document], _ context: CheckContext
  ) throws -> CheckResult {
    let names = Set(try context.indexes(plan.collection).map(\.name))
    func name(_ spec: Document) -> String { spec["name"]?.stringValue ?? "" }
    let count = names.union(earlier.map(name)).count
    let fields = plan.spec["key"]?.documentValue?.count ?? 0
    let amount = Amount(names.count, "indexes")
    let isNew = !names.contains(name(plan.spec))
    guard !isNew || count < 64, fields <= 32 else {
      let planned = count > names.count ? " with those that are planned before" : ""
      return .found(
        "index-limit", plan.collection, .error,
        fields > 32
          ? "\(fields) fields of at most 32" : "it has \(count) indexes of at most 64\(planned)",
        lookedAt: amount, cause: "a limit of the server: \(plan.source) will fail",
        command: Words.command(["listIndexes": .string(plan.collection)]),
        fix: "drop what $indexStats shows as unused")
    }
    return .passed("index-limit", plan.collection, "within the server's limits", lookedAt: amount)
  }

  /// Bytes of the keys of a sample, times the number of documents.
  private static func size(
    _ plan: Expectations.Index, _ key: Document, _ subject: String, _ context: CheckContext
  ) throws -> CheckResult {
    let total = try context.database.estimatedCount(plan.collection)
    guard total > 0 else { return .passed("index-size", subject, "the collection is empty") }
    var projection: Document = ["_id": 0]
    for field in key.keys where !field.contains("$") && field != "_id" {
      projection.append(field, 1)
    }
    let sample = try context.database.aggregate(
      plan.collection,
      pipeline: [
        ["$sample": ["size": .integer(context.options.sampleSize)]],
        ["$project": .document(projection.count > 1 ? projection : ["_id": 1])],
      ], command: context.scan
    ).all()
    let bytes = sample.map { Double(max(4, $0.bytes.count - 5)) }
    let mean = bytes.reduce(0, +) / Double(max(1, bytes.count))
    let variance = bytes.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(1, bytes.count))
    let error = 1.96 * (variance / Double(max(1, bytes.count))).squareRoot() * Double(total)
    let estimate = mean * Double(total)
    return CheckResult(
      "index-size", subject, severity: .info, status: .passed,
      "about \(Words.bytes(estimate)) ± \(Words.bytes(error)) of keys, uncompressed",
      lookedAt: Amount(sample.count, "documents"), certainty: .estimated)
  }
}

/// Looked at after: what applied migrations declare.
enum DeclaredProbes {
  static func probe(_ declared: Expectations.Collection) -> Probe {
    Probe("declared-collection", declared.name) { context in
      guard let info = try context.collection(declared.name) else {
        return [
          .found(
            "declared-collection", declared.name, .error,
            "\(declared.source) makes it, and it is not there",
            cause: "it was dropped since, or the migration did not do what it says",
            command: Words.command(
              ["listCollections": 1, "filter": ["name": .string(declared.name)]]),
            fix: "martlet migrate status; then restore or make it again")
        ]
      }
      var results = [CheckResult.passed("declared-collection", declared.name, "it is there")]
      let differences = OptionsComparison.differences(wanted: declared.options, found: info.options)
      results.append(
        differences.isEmpty
          ? .passed("declared-options", declared.name, "every option is as declared")
          : .found(
            "declared-options", declared.name, .error, differences.joined(separator: "; "),
            findings: Int64(differences.count),
            cause: "changed since \(declared.source), and no later migration says so",
            command: Words.command(
              ["listCollections": 1, "filter": ["name": .string(declared.name)]]),
            fix: "collMod it back, or declare the change in a migration"))
      return results
    }
  }

  static func dropped(_ declared: Expectations.Collection) -> Probe {
    Probe("declared-dropped", declared.name) { context in
      guard try context.collection(declared.name) != nil else {
        return [.passed("declared-dropped", declared.name, "it is gone, as declared")]
      }
      return [
        .found(
          "declared-dropped", declared.name, .error,
          "\(declared.source) drops it, and it is there",
          cause: "an application that still runs has made it again",
          command: Words.find(declared.name, [:]), fix: "stop what writes to it, then drop it")
      ]
    }
  }

  static func probe(_ declared: Expectations.Index) -> Probe {
    let key = declared.spec["key"]?.documentValue ?? [:]
    let subject = "\(declared.collection) \(Words.value(.document(key)))"
    return Probe("declared-index", subject) { context in
      let list = try context.indexes(declared.collection)
      let amount = Amount(list.count, "indexes")
      let command = Words.command(["listIndexes": .string(declared.collection)])
      let same = list.filter { IndexComparison.sameKey(key, $0) }
      guard !same.isEmpty else {
        return [
          .found(
            "declared-index", subject, .error,
            "\(declared.source) builds it, and it is not there", lookedAt: amount,
            cause: "it was dropped since, or its build failed", command: command,
            fix: "build it again")
        ]
      }
      let collation = try context.collation(of: declared.collection)
      let differences = same.map { index in
        var list = IndexComparison.differences(
          declared: declared.spec, actual: index.spec, collation: collation)
        if let name = declared.spec["name"]?.stringValue, name != index.name {
          list.append("its name is \(index.name), declared \(name)")
        }
        return list
      }
      guard let fewest = differences.min(by: { $0.count < $1.count }), !fewest.isEmpty else {
        return [
          .passed(
            "declared-index", subject, "it is there, every option as declared",
            lookedAt: amount)
        ]
      }
      return [
        .found(
          "declared-index-options", subject, .error, fewest.joined(separator: "; "),
          lookedAt: amount, findings: Int64(fewest.count),
          cause: "changed since \(declared.source), and no later migration says so",
          command: command, fix: "drop it and build it as declared")
      ]
    }
  }

  static func probe(_ declared: Expectations.Count) -> Probe {
    Probe("declared-count", declared.collection) { context in
      let count = try context.database.count(declared.collection, command: context.scan)
      let amount = Amount(count, "documents")
      let most = declared.maximum
      guard count < declared.minimum || most.map({ count > $0 }) ?? false else {
        return [.passed("declared-count", declared.collection, "as declared", lookedAt: amount)]
      }
      let wanted =
        most == declared.minimum
        ? "exactly \(Words.grouped(declared.minimum))"
        : most.map { "\(Words.grouped(declared.minimum)) to \(Words.grouped($0))" }
          ?? "at least \(Words.grouped(declared.minimum))"
      return [
        .found(
          "declared-count", declared.collection, declared.severity,
          "\(amount), \(declared.source) declares \(wanted)", lookedAt: amount,
          cause: "documents came or went that no migration declares",
          command: "db.getCollection(\(Words.quoted(declared.collection))).countDocuments({})",
          fix: "look at what wrote to it since")
      ]
    }
  }
}
