import BSON

extension Linter {
  /// Rules for any command.
  mutating func command(_ step: Step) {
    let name = step.name
    if !Self.known.contains(name) {
      let near = Suggestion.nearest(to: name, in: Self.known)
      report(
        .unknownCommand,
        "unknown command `\(name)`" + (near.map { ", did you mean `\($0)`?" } ?? ""),
        safer: near.map { "- \($0): \(step.target.map(FlowYAML.scalar) ?? "1")" },
        as: near == nil ? .warning : .error)
    }
    for key in step.command.keys.dropFirst() where Self.changing.contains(key) {
      if key == "update", name.lowercased() == "findandmodify" { continue }
      report(
        .twoCommands, "`\(key)` is a second command beside `\(name)`",
        safer: "- \(name): \(step.target.map(FlowYAML.scalar) ?? "…")\n- \(key): …")
    }
    if Self.reading.contains(name) {
      report(.noChange, "`\(name)` only reads", safer: "remove the step")
    }
    if let target = step.target, Self.changing.contains(name) { system(target) }
    feature(step)
  }

  private mutating func system(_ target: String) {
    let own =
      target.hasPrefix("system.") || target.hasPrefix("admin.") || target.hasPrefix("config.")
      || target.hasPrefix("local.")
    guard own else { return }
    report(
      .system, "a change in \(target)", safer: "use the command for it: createUser, createRole, …")
  }

  mutating func create(_ step: Step) {
    guard let collection = step.target else { return }
    if !inDown, existing.contains(collection), step.options.unless == nil {
      report(
        .createdTwice, "\(collection) has been created by an earlier step",
        safer: "remove this `create`")
    }
    existing.insert(collection)
    created.insert(collection)
  }

  mutating func drop(_ step: Step) {
    if step.name == "dropDatabase" {
      report(.dropDatabase, "dropDatabase", safer: "- drop: one_collection")
      indexes = [:]
      existing = []
      return
    }
    guard let collection = step.target else { return }
    let own = created.contains(collection)
    report(
      .drop,
      "\(collection) is dropped" + (own && inDown ? ", with documents that it has gained" : ""),
      safer: inDown
        ? "leave `down:` out: the derived one keeps a collection that has gained documents"
        : "- renameCollection: \(FlowYAML.scalar(collection))\n  to: \(FlowYAML.scalar(collection + "_retired"))",
      as: own ? .notice : nil)
    indexes[collection] = nil
    existing.remove(collection)
    if !inDown { created.remove(collection) }
  }

  mutating func rename(_ step: Step) {
    guard let from = step.target, let to = step.command["to"]?.stringValue else { return }
    system(to)
    if let database, from.hasPrefix(database + "."), to.contains("."),
      !to.hasPrefix(database + ".")
    {
      let full = FlowYAML.scalar("\(database).\(to)")
      report(
        .otherDatabase,
        "`to` is written with another database than \(from), and renames stay in \(database)",
        safer: "- renameCollection: \(FlowYAML.scalar(from))\n  to: \(full)"
          + "   # if that is the name")
    }
    if step.command["dropTarget"]?.isTruthy == true {
      report(
        .dropTarget, "\(to) is dropped when \(from) takes its name",
        safer:
          "- renameCollection: \(FlowYAML.scalar(to))\n  to: \(FlowYAML.scalar(to + "_retired"))\n"
          + "- renameCollection: \(FlowYAML.scalar(from))\n  to: \(FlowYAML.scalar(to))")
    }
    indexes[to] = indexes.removeValue(forKey: from)
    if existing.remove(from) != nil { existing.insert(to) }
    if created.remove(from) != nil { created.insert(to) }
  }

  mutating func collMod(_ step: Step) {
    guard let collection = step.target else { return }
    if let index = step.command["index"]?.documentValue, let seconds = index["expireAfterSeconds"],
      !(0...2_147_483_647).contains(seconds.doubleValue ?? -1)
    {
      report(
        .lifetimeRange, "index.expireAfterSeconds: expected 0 to 2147483647",
        safer: "expireAfterSeconds: 7776000   # 90 days")
    }
    guard let validator = step.command["validator"]?.documentValue, !validator.isEmpty,
      !created.contains(collection)
    else { return }
    let action = step.command["validationAction"]?.stringValue ?? "error"
    let level = step.command["validationLevel"]?.stringValue ?? "strict"
    guard action == "error", level == "strict" else { return }
    report(
      .strictValidator, "a strict validator for \(collection), which has documents already",
      safer: "- collMod: \(FlowYAML.scalar(collection))\n  validator: …\n  validationAction: warn\n"
        + "# and error in a later migration, once the plan counts no document that fails")
  }

  mutating func aggregate(_ step: Step) {
    let stages = step.command["pipeline"]?.documents ?? []
    guard let last = stages.last, let stage = ["$merge", "$out"].first(where: last.has) else {
      return report(
        .noChange, "`aggregate` without $merge or $out only reads", safer: "remove the step")
    }
    report(
      .atLeastOnce, "\(stage) may run more than once",
      safer: "$merge: { into: …, on: _id, whenMatched: replace, whenNotMatched: insert }")
    for target in [last[stage]?.documentValue?["into"], last[stage]].compactMap(\.self) {
      if let database = target.documentValue?["db"]?.stringValue {
        system(database + ".")
      }
      if let name = target.stringValue { system(name) }
    }
  }

  /// What needs a release: command, key in it, and the release.
  private static let features: [(command: String, key: String, since: Release)] = [
    ("create", "timeseries", Release(major: 5)),
    ("create", "clusteredIndex", Release(major: 5, minor: 3)),
    ("create", "changeStreamPreAndPostImages", Release(major: 6)),
    ("create", "encryptedFields", Release(major: 6)),
    ("collMod", "changeStreamPreAndPostImages", Release(major: 6)),
    ("createIndexes", "commitQuorum", Release(major: 4, minor: 4)),
  ]
  private static let indexFeatures: [(key: String, since: Release)] = [
    ("hidden", Release(major: 4, minor: 4)), ("prepareUnique", Release(major: 6)),
  ]

  private mutating func feature(_ step: Step) {
    guard let release else { return }
    func tell(_ what: String, _ since: Release) {
      report(
        .tooNew, "\(what) needs \(since), the server is \(release)",
        safer: "requires: { server: \">=\(since)\" }")
    }
    for feature in Self.features
    where feature.command == step.name && step.command.has(feature.key) && release < feature.since {
      tell(feature.key, feature.since)
    }
    guard step.name == "createIndexes" || step.name == "collMod" else { return }
    let specs =
      step.command["indexes"]?.documents
      ?? [step.command["index"]?.documentValue]
      .compactMap(\.self)
    for feature in Self.indexFeatures
    where release < feature.since && specs.contains(where: { $0.has(feature.key) }) {
      tell(feature.key, feature.since)
    }
  }
}
