internal import BSON
internal import MongoDB

/// What documents have to look like.
enum DocumentProbes {
  static func probe(_ rule: SchemaRule) -> Probe {
    Probe("schema-violations", rule.collection) { context in
      guard try context.collection(rule.collection) != nil else {
        return [missing("schema-violations", rule.collection, rule.collection)]
      }
      let filter: Document = ["$nor": [.document(rule.validator)]]
      let found = try Search(context: context, collection: rule.collection).run(filter)
      return [
        found.result(
          "schema-violations", rule.collection, rule.header,
          whenFound: "do not conform to the rule's schema",
          whenNone: "every document conforms to the rule's schema",
          cause: "written before the rule, or past the application's own checks",
          command: Words.find(rule.collection, filter), fix: "correct these documents")
      ]
    }
  }

  /// Documents that the collection's own validator would refuse: updates of them fail from now on.
  static func ownValidator(_ info: CollectionInfo) -> Probe? {
    guard let validator = info.options["validator"]?.documentValue, !validator.isEmpty else {
      return nil
    }
    var header = RuleHeader()
    header.severity = .warning
    let isModerate = info.options["validationLevel"] == "moderate"
    return Probe("validator-violations", info.name) { [header] context in
      [
        try violations(
          info.name, validator, header, "do not conform to the collection's own validator",
          "they were written before the validator, or bypassed it",
          "correct these documents" + (isModerate ? "" : ", or use validationLevel: moderate"),
          context)
      ]
    }
  }

  static func planned(_ plan: Expectations.Validator) -> Probe {
    Probe("validator-violations", plan.collection) { context in
      let id = "validator-violations"
      guard let options = try context.collection(plan.collection)?.options else {
        return [.passed(id, plan.collection, "the collection does not exist yet")]
      }
      guard let validator = plan.validator ?? options["validator"]?.documentValue,
        !validator.isEmpty
      else { return [.passed(id, plan.collection, "the collection has no validator")] }
      let level = plan.level ?? options["validationLevel"]?.stringValue
      let action = plan.action ?? options["validationAction"]?.stringValue
      guard level != "off" else {
        return [.passed(id, plan.collection, "validation is off there")]
      }
      var header = RuleHeader()
      var cause = "updates of these documents will fail once \(plan.source) is applied"
      var fix = "correct these documents, or use validationLevel: moderate"
      if level == "moderate" || action == "warn" {
        header.severity = .warning
        cause =
          action == "warn"
          ? "each of their updates will be logged, and done"
          : "they may stay as they are: validationLevel is moderate"
        fix = "correct these documents"
      }
      return [
        try violations(
          plan.collection, validator, header,
          "would not conform to the validator as \(plan.source) leaves it", cause, fix, context)
      ]
    }
  }

  private static func violations(
    _ collection: String, _ validator: Document, _ header: RuleHeader, _ message: String,
    _ cause: String, _ fix: String, _ context: CheckContext
  ) throws -> CheckResult {
    let filter: Document = ["$nor": [.document(validator)]]
    return try Search(context: context, collection: collection).run(filter).result(
      "validator-violations", collection, header, whenFound: message,
      whenNone: "every document conforms to the validator", cause: cause,
      command: Words.find(collection, filter), fix: fix)
  }

  /// One probe for each thing that a field rule asks for.
  static func probes(_ rule: FieldRule) -> [Probe] {
    let subject = "\(rule.collection).\(rule.field)"
    var probes: [Probe] = []
    func add(_ id: String, _ filter: Document, _ found: String, _ none: String, _ cause: String) {
      probes.append(
        Probe(id, subject) { context in
          guard try context.collection(rule.collection) != nil else {
            return [missing(id, subject, rule.collection)]
          }
          let result = try Search(context: context, collection: rule.collection).run(filter)
          return [
            result.result(
              id, subject, rule.header, whenFound: found, whenNone: none, cause: cause,
              command: Words.find(rule.collection, filter), fix: "correct these documents")
          ]
        })
    }
    if rule.isRequired {
      add(
        "field-missing", [rule.field: nil], "have no \(rule.field), or null there",
        "every document has it", "written by a version that did not know the field")
    }
    if !rule.types.isEmpty {
      add(
        "field-type", rule.typeFilter,
        "have a \(rule.field) that is not \(rule.types.joined(separator: " or "))",
        "every value is \(rule.types.joined(separator: " or "))",
        "a writer that does not convert its input")
    }
    if rule.minimum != nil || rule.maximum != nil {
      add(
        "field-range", rule.rangeFilter, "have a \(rule.field) out of range",
        "every value is in range", "a writer that does not check its input")
    }
    if let values = rule.oneOf {
      add(
        "field-value", rule.listFilter(values), "have a \(rule.field) that is not in the list",
        "every value is in the list",
        "a new value that the rule does not know, or a typing error")
    }
    return probes
  }

  static func missing(_ id: String, _ subject: String, _ collection: String) -> CheckResult {
    .broken(
      id, subject, "the collection \(collection) does not exist",
      fix: "correct the rule, or restore the collection")
  }

  static func probe(_ rule: EmptyRule) -> Probe {
    Probe("unwanted-documents", rule.name) { context in
      if let name = rule.collection, try context.collection(name) == nil {
        return [missing("unwanted-documents", rule.name, name)]
      }
      let limit = context.options.findingsLimit
      let cursor = try context.database.aggregate(
        rule.collection, pipeline: rule.pipeline + [["$limit": .integer(limit)]],
        options: ["allowDiskUse": true], command: context.scan)
      var count: Int64 = 0
      var rows: [[Evidence.Cell]] = []
      while let document = try cursor.next() {
        count += 1
        if rows.count < context.options.evidenceRows, let id = document["_id"] {
          rows.append([rule.keepsIDs ? .id(id) : .value(id)])
        }
      }
      let command = Words.aggregation(rule.collection, rule.pipeline)
      guard count > 0 else {
        return [.passed("unwanted-documents", rule.name, "the pipeline returns nothing")]
      }
      let least = count >= limit ? "at least " : ""
      return [
        .found(
          "unwanted-documents", rule.name, rule.header.severity,
          "the pipeline returns \(least)\(Words.counted(count, "documents")), and should return none",
          findings: count, evidence: Evidence(columns: ["_id"], rows: rows), command: command,
          fix: rule.header.fix ?? "look at these documents")
      ]
    }
  }

  /// A field that an index holds should have one type: a sample.
  static func typeDrift(_ info: CollectionInfo) -> Probe {
    Probe("type-drift", info.name) { context in
      let fields = try context.indexes(info.name)
        .flatMap { index in index.key.filter { $0.value.integerValue != nil }.map(\.key) }
        .filter { $0 != "_id" && !$0.contains(".") && !$0.hasPrefix("_fts") && !$0.contains("$") }
        .reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
      guard !fields.isEmpty else {
        return [.skipped("type-drift", info.name, "no indexed fields", applies: false)]
      }
      let size = context.options.sampleSize
      var group: Document = ["_id": nil, "n": ["$sum": 1]]
      for (position, field) in fields.enumerated() {
        group.append("f\(position)", ["$addToSet": ["$type": .string("$" + field)]])
      }
      let sample = try context.database.aggregate(
        info.name, pipeline: [["$sample": ["size": .integer(size)]], ["$group": .document(group)]],
        command: context.scan
      ).next()
      let count = sample?["n"]?.integerValue ?? 0
      let drifting = fields.enumerated().compactMap { position, field -> [Evidence.Cell]? in
        let types = (sample?["f\(position)"]?.arrayValue ?? []).compactMap(\.stringValue)
        let families = Set(
          types.filter { !["missing", "null", "undefined"].contains($0) }.map(FieldRule.family))
        return families.count > 1
          ? [.text(field), .text(families.sorted().joined(separator: ", "))] : nil
      }
      let total = try context.database.estimatedCount(info.name)
      let sure: Certainty = count >= total ? .exact : .sample(of: count)
      guard !drifting.isEmpty else {
        return [
          .passed(
            "type-drift", info.name, "each indexed field has one type",
            lookedAt: Amount(count, "documents"), certainty: sure)
        ]
      }
      return [
        .found(
          "type-drift", info.name, .warning,
          "\(Words.counted(Int64(drifting.count), "indexed fields")) with values of several types",
          lookedAt: Amount(count, "documents"), certainty: sure, findings: Int64(drifting.count),
          evidence: Evidence(columns: ["field", "types"], rows: drifting),
          cause: "a query for one type does not find the values of another",
          fix: "convert the values to one type, then add a `fields` rule")
      ]
    }
  }
}

extension EmptyRule {
  /// Stages after which `_id` is still that of a document of the collection.
  private static let plain: Set<String> = [
    "$match", "$sort", "$limit", "$skip", "$sample", "$unwind", "$lookup", "$graphLookup",
    "$geoNear",
  ]

  /// False when the pipeline may make an `_id` of other fields, which are values.
  var keepsIDs: Bool {
    collection != nil
      && pipeline.allSatisfy { stage in
        stage.allSatisfy { element in
          if Self.plain.contains(element.key) { return true }
          guard ["$project", "$addFields", "$set"].contains(element.key),
            let fields = element.value.documentValue
          else { return false }
          return fields.allSatisfy { field in
            switch field.value {
            case .bool, .int32, .int64, .double: field.key != "_id" || element.key == "$project"
            default: !(field.key == "_id" || field.key.hasPrefix("_id."))
            }
          }
        }
      }
  }
}
