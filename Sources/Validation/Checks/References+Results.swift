internal import BSON

extension References {
  /// One result each for orphans, nulls, and types that can never match.
  func results(_ tally: Tally, _ method: Method) -> [CheckResult] {
    let amount = Amount(tally.lookedAt, tally.unit)
    let command = Words.aggregation(rule.from.collection, pipeline)
    var results: [CheckResult] = []
    if tally.orphans > 0 {
      results.append(orphans(tally, amount, command))
      if let mismatch = mismatch(tally, amount) { results.append(mismatch) }
    } else {
      let how =
        method == .lookup ? "$group and $lookup" : "two covered index scans, merged"
      results.append(
        .passed(
          "orphaned-references", subject, "every reference has its target (\(how))",
          lookedAt: amount))
    }
    guard !rule.isNullable else { return results }
    if tally.nulls > 0 {
      results.append(
        .found(
          "null-references", subject, rule.header.severity,
          "\(Words.counted(tally.nulls, "documents")) \(tally.nulls == 1 ? "has" : "have") no "
            + rule.from.path,
          lookedAt: amount, findings: tally.nulls,
          cause: "the field is null or missing, and the rule does not say nullable: true",
          command: Words.find(rule.from.collection, [rule.from.path: nil]),
          fix: rule.header.fix ?? "set the field, or add nullable: true to the rule"))
    } else {
      results.append(
        .passed("null-references", subject, "no reference is missing", lookedAt: amount))
    }
    return results
  }

  private func orphans(_ tally: Tally, _ amount: Amount, _ command: String) -> CheckResult {
    let rows = tally.samples.map { sample -> [Evidence.Cell] in
      [sample.id.map { .id($0) } ?? .text("–"), .value(sample.value), .number(sample.count)]
    }
    return .found(
      "orphaned-references", subject, rule.header.severity,
      "\(Words.counted(tally.orphans, "references")) \(tally.orphans == 1 ? "leads" : "lead") to "
        + "no document of "
        + rule.to.collection, lookedAt: amount, findings: tally.orphans,
      evidence: Evidence(columns: ["_id", rule.from.path, "documents"], rows: rows),
      cause: "the target was deleted, never existed, or has another type", command: command,
      fix: rule.header.fix
        ?? "restore the missing \(rule.to.collection), or delete or archive what refers to them")
  }

  /// A string never equals an ObjectId, however alike they look.
  private func mismatch(_ tally: Tally, _ amount: Amount) -> CheckResult? {
    let sources = Set(tally.samples.map { Self.family($0.value.type) })
    let targets = Set(tally.targetTypes.map(Self.family))
    guard !targets.isEmpty, !sources.isEmpty, sources.isDisjoint(with: targets) else { return nil }
    let from = sources.sorted().joined(separator: ", ")
    let to = targets.sorted().joined(separator: ", ")
    return .found(
      "reference-types", subject, rule.header.severity,
      "references are of type \(from), what they refer to is \(to)", lookedAt: amount,
      certainty: .sample(of: context.options.sampleSize),
      cause: "values of different types are never equal",
      command: Words.aggregation(
        rule.from.collection,
        [["$group": ["_id": ["$type": .string("$" + rule.from.path)], "n": ["$sum": 1]]]]),
      fix: "convert one side, for example with $toObjectId in an update")
  }

  /// Numbers of all types are equal when their values are.
  static func family(_ type: BSONType) -> String {
    switch type {
    case .int32, .int64, .double, .decimal128: "number"
    default: type.alias
    }
  }
}
