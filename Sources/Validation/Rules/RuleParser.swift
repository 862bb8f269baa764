internal import BSON

/// Makes rules of the mappings in a rules file.
struct RuleParser: Sendable {
  let file: String

  private func reader(_ node: RuleNode) throws(ValidationError) -> RuleReader {
    try RuleReader(node, file: file, what: "a rule")
  }

  /// `users`, or `{name: users, minimum: 1}`.
  func collection(_ node: RuleNode) throws(ValidationError) -> CollectionRule {
    if case .scalar(.string(let name)) = node.content {
      return CollectionRule(header: RuleHeader(), name: name)
    }
    var reader = try reader(node)
    let rule = CollectionRule(
      header: try reader.header(), name: try reader.string("name"),
      minimum: try reader.integer("minimum"), maximum: try reader.integer("maximum"),
      options: try reader.optionalDocument("options"))
    try reader.finish()
    if let minimum = rule.minimum, let maximum = rule.maximum, minimum > maximum {
      throw reader.fail("`minimum` is above `maximum`")
    }
    return rule
  }

  func index(_ node: RuleNode) throws(ValidationError) -> IndexRule {
    var reader = try reader(node)
    let header = try reader.header()
    let collection = try reader.string("collection")
    let keyNode = try reader.required("key")
    let key = try reader.document(keyNode, "key")
    guard !key.isEmpty else { throw reader.fail("`key` has no fields", at: keyNode) }
    let isKeyOnly = try reader.flag("key_only")
    // The rest are options of createIndexes: new servers have new ones.
    let options = try reader.rest()
    if let name = options.keys.first(where: { !Self.indexOptions.contains($0) }) {
      let nearest = Nearest.name(to: name, in: Self.indexOptions)
      throw reader.fail(
        "`\(name)` is no option of an index", hint: nearest.map { "did you mean `\($0)`?" })
    }
    return IndexRule(
      header: header, collection: collection, key: key, options: options, isKeyOnly: isKeyOnly)
  }

  static let indexOptions = [
    "name", "unique", "sparse", "expireAfterSeconds", "partialFilterExpression", "collation",
    "hidden", "weights", "default_language", "language_override", "textIndexVersion",
    "2dsphereIndexVersion", "bits", "min", "max", "wildcardProjection", "storageEngine",
    "clustered", "prepareUnique",
  ]

  func reference(_ node: RuleNode) throws(ValidationError) -> ReferenceRule {
    var reader = try reader(node)
    let rule = ReferenceRule(
      header: try reader.header(), from: try reader.fieldPath(try reader.required("from"), "from"),
      to: try reader.fieldPath(try reader.required("to"), "to"),
      isNullable: try reader.flag("nullable"), filter: try reader.optionalDocument("where"))
    try reader.finish()
    return rule
  }

  func unique(_ node: RuleNode) throws(ValidationError) -> UniqueRule {
    var reader = try reader(node)
    let header = try reader.header()
    let collection = try reader.string("collection")
    guard let fields = try reader.strings("fields") else {
      throw reader.fail("`fields` is missing")
    }
    let rule = UniqueRule(
      header: header, collection: collection, fields: fields,
      filter: try reader.optionalDocument("where"),
      collation: try reader.optionalDocument("collation"), isSparse: try reader.flag("sparse"))
    try reader.finish()
    return rule
  }

  func schema(_ node: RuleNode) throws(ValidationError) -> SchemaRule {
    var reader = try reader(node)
    let header = try reader.header()
    let collection = try reader.string("collection")
    let validator = try reader.optionalDocument("validator")
    let schema = try reader.optionalDocument("schema")
    try reader.finish()
    switch (validator, schema) {
    case (let validator?, nil):
      return SchemaRule(header: header, collection: collection, validator: validator)
    case (nil, let schema?):
      return SchemaRule(
        header: header, collection: collection, validator: ["$jsonSchema": .document(schema)])
    default: throw reader.fail("either `schema` (a $jsonSchema) or `validator` (a query)")
    }
  }

  func field(_ node: RuleNode) throws(ValidationError) -> FieldRule {
    var reader = try reader(node)
    var rule = FieldRule(
      header: try reader.header(), collection: try reader.string("collection"),
      field: try reader.string("field"), types: try reader.strings("type") ?? [],
      isRequired: try reader.flag("required"))
    for name in ["minimum", "maximum"] {
      guard let node = reader.take(name) else { continue }
      let bound = try reader.value(node)
      let family = FieldRule.family(bound.type.alias)
      let types = rule.types.map(FieldRule.family)
      // Values of different types are never out of each other's range.
      if !types.isEmpty, !types.contains(family), !types.contains("array") {
        throw reader.fail(
          "`\(name)` is of type \(family), the field of \(rule.types.joined(separator: " or "))",
          at: node,
          hint: types.contains("date") ? "a date is { $date: \"2026-01-31T00:00:00Z\" }" : nil)
      }
      if let minimum = rule.minimum, FieldRule.family(minimum.type.alias) != family {
        throw reader.fail("`minimum` and `maximum` are of different types", at: node)
      }
      if name == "minimum" { rule.minimum = bound } else { rule.maximum = bound }
    }
    if let node = reader.take("one_of") {
      guard case .array(let values) = try reader.value(node), !values.isEmpty else {
        throw reader.fail("`one_of` is a list of values, found \(node.kind)", at: node)
      }
      rule.oneOf = values
    }
    try reader.finish()
    let aliases = BSONType.allCases.map(\.alias) + ["number"]
    if let wrong = rule.types.first(where: { !aliases.contains($0) }) {
      throw reader.fail(
        "`\(wrong)` is no BSON type",
        hint: Nearest.name(to: wrong, in: aliases).map { "did you mean `\($0)`?" }
          ?? "such as string, objectId, date, int, long, double, decimal, number, bool")
    }
    let asks =
      !rule.types.isEmpty || rule.isRequired || rule.minimum != nil || rule.maximum != nil
      || rule.oneOf != nil
    guard asks else {
      throw reader.fail("it asks for nothing: add type, required, minimum, maximum or one_of")
    }
    return rule
  }

  func empty(_ node: RuleNode) throws(ValidationError) -> EmptyRule {
    var reader = try reader(node)
    let header = try reader.header()
    let name = try reader.string("name")
    let collection = try reader.optionalString("collection")
    let pipeline = try reader.pipeline(try reader.required("pipeline"))
    try reader.finish()
    guard !pipeline.isEmpty else { throw reader.fail("`pipeline` has no stages") }
    return EmptyRule(header: header, name: name, collection: collection, pipeline: pipeline)
  }

  func query(_ node: RuleNode) throws(ValidationError) -> QueryRule {
    var reader = try reader(node)
    let header = try reader.header()
    let name = try reader.string("name")
    let collection = try reader.string("collection")
    var find: Document?
    var pipeline: [Document] = []
    if let node = reader.take("pipeline") {
      pipeline = try reader.pipeline(node)
    } else {
      var query: Document = ["filter": .document(try reader.optionalDocument("filter") ?? [:])]
      for name in ["sort", "projection", "collation"] {
        if let part = try reader.optionalDocument(name) { query.append(name, .document(part)) }
      }
      for name in ["limit", "skip"] {
        if let part = try reader.integer(name) { query.append(name, .integer(part)) }
      }
      find = query
    }
    let rule = QueryRule(
      header: header, name: name, collection: collection, find: find, pipeline: pipeline,
      index: try reader.optionalString("index"),
      allowsCollectionScan: try reader.flag("allow_collection_scan"),
      allowsMemorySort: try reader.flag("allow_memory_sort"), p95: try reader.duration("p95"),
      slower: try reader.number("slower") ?? 2)
    try reader.finish()
    return rule
  }

  func file(_ node: RuleNode) throws(ValidationError) -> FileRule {
    if case .scalar(.string(let path)) = node.content {
      return FileRule(header: RuleHeader(), path: path, minimumBytes: 1)
    }
    var reader = try reader(node)
    let rule = FileRule(
      header: try reader.header(), path: try reader.string("path"),
      minimumBytes: try reader.integer("minimum_bytes") ?? 1,
      contains: try reader.optionalString("contains"))
    try reader.finish()
    return rule
  }

  func audit(_ node: RuleNode) throws(ValidationError) -> AuditRule {
    var reader = try reader(node)
    // An application that is stopped logs nothing.
    let rule = AuditRule(
      header: try reader.header(phases: [.started]), collection: try reader.string("collection"),
      run: try reader.string("run"), filter: try reader.optionalDocument("where") ?? [:],
      timeout: Int64(try reader.duration("timeout") ?? 10_000))
    try reader.finish()
    return rule
  }

  func command(_ node: RuleNode) throws(ValidationError) -> CommandRule {
    var reader = try reader(node)
    let header = try reader.header()
    let run = try reader.string("run")
    let rule = CommandRule(
      header: header, name: try reader.optionalString("name") ?? run, run: run,
      timeout: Int64(try reader.duration("timeout") ?? 60_000))
    try reader.finish()
    return rule
  }
}
