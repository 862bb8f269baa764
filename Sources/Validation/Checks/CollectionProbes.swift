internal import BSON
internal import MongoDB

/// Collections and indexes that rules ask for.
enum CollectionProbes {
  static func probe(_ rule: CollectionRule) -> Probe {
    Probe("collection-missing", rule.name) { context in
      guard let info = try context.collection(rule.name) else {
        return [
          .found(
            "collection-missing", rule.name, rule.header.severity,
            "the collection \(rule.name) does not exist",
            cause: "it was dropped or renamed, or this is the wrong database",
            command: Words.command(["listCollections": 1, "filter": ["name": .string(rule.name)]]),
            fix: rule.header.fix ?? "restore it, or apply the migration that makes it")
        ]
      }
      var results = [CheckResult.passed("collection-missing", rule.name, "it exists")]
      results += try count(rule, info, context)
      if let options = rule.options { results.append(self.options(rule, options, info)) }
      return results
    }
  }

  private static func count(
    _ rule: CollectionRule, _ info: CollectionInfo, _ context: CheckContext
  ) throws -> [CheckResult] {
    guard rule.minimum != nil || rule.maximum != nil else { return [] }
    var options: Document = [:]
    if info.type == .collection { options = ["hint": ["_id": 1]] }
    let count = try context.database.count(rule.name, options: options, command: context.scan)
    let amount = Amount(count, "documents")
    let command =
      "db.getCollection(\(Words.quoted(rule.name))).countDocuments({}, {hint: {_id: 1}})"
    if let minimum = rule.minimum, count < minimum {
      return [
        .found(
          "collection-count", rule.name, rule.header.severity,
          "\(amount), at least \(Words.grouped(minimum)) are expected", lookedAt: amount,
          findings: minimum - count, cause: "documents were lost, or this is the wrong database",
          command: command, fix: rule.header.fix ?? "look at the newest backup")
      ]
    }
    if let maximum = rule.maximum, count > maximum {
      return [
        .found(
          "collection-count", rule.name, rule.header.severity,
          "\(amount), at most \(Words.grouped(maximum)) are expected", lookedAt: amount,
          findings: count - maximum, cause: "something inserts more than it should",
          command: command, fix: rule.header.fix)
      ]
    }
    return [.passed("collection-count", rule.name, "as many as expected", lookedAt: amount)]
  }

  private static func options(
    _ rule: CollectionRule, _ options: Document, _ info: CollectionInfo
  ) -> CheckResult {
    let different = options.filter { element in
      !(info.options[element.key].map { Loose.equal($0, element.value) } ?? false)
    }
    guard let first = different.first else {
      return .passed("collection-options", rule.name, "the options are as they should be")
    }
    let found = info.options[first.key].map(Words.value) ?? "not set"
    return .found(
      "collection-options", rule.name, rule.header.severity,
      "\(first.key) is \(found), expected \(Words.value(first.value))",
      findings: Int64(different.count),
      command: Words.command(["listCollections": 1, "filter": ["name": .string(rule.name)]]),
      fix: rule.header.fix ?? "change it with collMod, or correct the rule")
  }

  static func probe(_ rule: IndexRule) -> Probe {
    let subject = "\(rule.collection) \(Words.value(.document(rule.key)))"
    return Probe("index-missing", subject) { context in
      guard try context.collection(rule.collection) != nil else {
        return [
          .found(
            "index-missing", subject, rule.header.severity,
            "the collection \(rule.collection) does not exist",
            fix: rule.header.fix ?? "restore it, or apply the migration that makes it")
        ]
      }
      let list = try context.indexes(rule.collection)
      let same = list.filter { matches(rule, $0) }
      let command = Words.command(["listIndexes": .string(rule.collection)])
      var spec: Document = ["key": .document(rule.key)]
      spec.append(contentsOf: rule.options)
      guard !same.isEmpty else {
        return [
          .found(
            "index-missing", subject, rule.header.severity, "no index has this key",
            lookedAt: Amount(list.count, "indexes"),
            cause: "it was dropped, or never built", command: command,
            fix: rule.header.fix
              ?? "db.getCollection(\(Words.quoted(rule.collection))).createIndex("
              + "\(Words.value(.document(rule.key))), …)")
        ]
      }
      if rule.isKeyOnly { return [.passed("index-missing", subject, "it exists")] }
      // Indexes of one key may differ in collation or partial filter: one of them has to fit.
      let collation = try context.collation(of: rule.collection)
      let differences = same.map {
        IndexComparison.differences(
          declared: rule.options, actual: $0.spec, collation: collation)
          + nameDifference(rule, $0)
      }
      guard let fewest = differences.min(by: { $0.count < $1.count }), !fewest.isEmpty else {
        return [.passed("index-missing", subject, "it exists, with all its options")]
      }
      return [
        .found(
          "index-options", subject, rule.header.severity, fewest.joined(separator: "; "),
          lookedAt: Amount(list.count, "indexes"), findings: Int64(fewest.count),
          cause: "it was built with other options", command: command,
          fix: rule.header.fix ?? "drop it and build it again, or correct the rule")
      ]
    }
  }

  private static func matches(_ rule: IndexRule, _ index: IndexInfo) -> Bool {
    if IndexComparison.sameKey(rule.key, index) { return true }
    // One field serves in both directions.
    guard rule.isKeyOnly, rule.key.count == 1, index.key.count == 1,
      rule.key.keys == index.key.keys, let first = rule.key.first(where: { _ in true })
    else { return false }
    return first.value.integerValue.map { -$0 } == index.key[first.key]?.integerValue
  }

  private static func nameDifference(_ rule: IndexRule, _ index: IndexInfo) -> [String] {
    guard let name = rule.options["name"]?.stringValue, name != index.name else { return [] }
    return ["its name is \(index.name), declared \(name)"]
  }
}
