internal import BSON
internal import MongoDB

/// Changes of collections, as ordinary commands: through `applyOps` a rename leaves the old target
/// behind, index builds are refused, and views are not found. - Source: experiments.md 4.
extension OplogReplayer {
  private static let ignored: Set<String> = [
    "setMultikeyMetadata", "dropIdent", "dbCheck",
  ]

  mutating func command(_ object: Document, in database: String) throws {
    guard let first = object.first(where: { _ in true }), !Self.ignored.contains(first.key) else {
      return
    }
    if first.key == "renameCollection" { return try rename(object) }
    if first.key == "dropDatabase" { return try dropDatabase(database) }
    guard let name = first.value.stringValue else {
      throw unreplayable(first.key, database)
    }
    if name == "system.views" { return try changeViews(first.key, of: database) }
    let source = Namespace(database, name)
    guard options.selection.takes(source) else { return }
    let target = try options.selection.target(of: source)
    try flush()
    withCatalog { $0.note(target.logical, from: source.logical) }
    switch first.key {
    case "create": try create(object, target)
    case "drop": try drop(target)
    case "collMod": try modify(object, target)
    case "createIndexes", "commitIndexBuild": try addIndexes(object, target)
    case "startIndexBuild", "abortIndexBuild": removeUnbuilt(object, target)
    case "dropIndexes", "dropIndex", "deleteIndex", "deleteIndexes":
      if let which = object["index"] {
        withCatalog { $0.remove(which, from: target.logical) }
      }
    case "convertToCapped", "emptycapped":
      cappedUpTo[target] = nil
      try run(object.replacingFirst(with: .string(target.collection)), target)
    default: throw unreplayable(first.key, source.description)
    }
    ran()
  }

  private func unreplayable(_ command: String, _ namespace: String) -> DumpError {
    DumpError(
      .inconsistent, "the oplog holds '\(command)', which cannot be replayed",
      namespace: namespace, hint: "replay up to the entry before it with --oplogLimit")
  }

  func run(_ command: Document, _ target: Namespace, fine: Set<Int> = []) throws {
    do throws(MongoError) {
      _ = try client.run(
        command, on: target.database,
        options: CommandOptions(writeConcern: options.writeConcern))
    } catch  where fine.contains(error.code) {}
  }

  // MARK: - Collections

  private mutating func create(_ object: Document, _ target: Namespace) throws {
    forgetCollections()
    // A time-series is written as its buckets; its view comes as an insert into system.views.
    if target.isBuckets {
      guard let series = object["timeseries"] else { return }
      var command: Document = ["create": .string(target.logical.collection), "timeseries": series]
      for field in ["storageEngine", "collation"] {
        if let value = object[field] { command.append(field, value) }
      }
      withCatalog { catalog in
        catalog.set(target.logical, [])
        catalog.expire(target.logical, after: object["expireAfterSeconds"])
      }
      return try make(command, target.logical)
    }
    var command: Document = ["create": .string(target.collection)]
    let dropped: Set<String> = [
      "create", "recordIdsReplicated", "autoIndexId", "temp", "idIndex", "expireAfterSeconds",
    ]
    command.append(contentsOf: object.filteringElements { !dropped.contains($0.key) })
    if var index = object["idIndex"]?.documentValue, !object.has("clusteredIndex") {
      index.remove("ns")
      command.append("idIndex", .document(index))
    }
    withCatalog { catalog in
      if catalog.indexes(of: target).isEmpty { catalog.set(target, []) }
      catalog.expire(target, after: object["expireAfterSeconds"])
    }
    try make(command, target)
  }

  /// In the overlap it may have been there already when the dump came by. Later, what has this name is
  /// none of the dump's: with `drop` it goes, as everything that is loaded replaces what was there.
  private func make(_ command: Document, _ target: Namespace) throws {
    do throws(MongoError) {
      try runNow(command, target)
    } catch {
      guard error.code == 48 else { throw error }
      guard options.drop, !overlaps else { return }
      if try options.freesName?(target) == true { return try make(command, target) }
      try run(["drop": .string(target.collection)], target, fine: [26])
      try runNow(command, target)
    }
  }

  private func runNow(_ command: Document, _ target: Namespace) throws(MongoError) {
    _ = try client.run(
      command, on: target.database, options: CommandOptions(writeConcern: options.writeConcern))
  }

  private mutating func drop(_ target: Namespace) throws {
    forgetCollections()
    cappedUpTo[target] = nil
    withCatalog { $0.drop(target.logical) }
    try run(["drop": .string(target.logical.collection)], target, fine: [26])
  }

  private mutating func dropDatabase(_ database: String) throws {
    let selection = options.selection
    guard selection.takes(Namespace(database, "x")) else { return }
    guard selection.renames.isEmpty, selection.includes.isEmpty, selection.excludes.isEmpty else {
      // The drops of its collections stand before it in the oplog.
      return
    }
    try flush()
    cappedUpTo = cappedUpTo.filter { $0.key.database != database }
    withCatalog { $0.drop(database: database) }
    try run(["dropDatabase": 1], Namespace(database, ""))
    ran()
  }

  private mutating func rename(_ object: Document) throws {
    guard let from = object["renameCollection"]?.stringValue.flatMap({ Namespace($0) }),
      let to = object["to"]?.stringValue.flatMap({ Namespace($0) })
    else { throw DumpError(.damaged, "a rename in the oplog lacks a name") }
    let takesBoth = (options.selection.takes(from), options.selection.takes(to))
    guard takesBoth.0 || takesBoth.1 else { return }
    guard takesBoth == (true, true) else {
      if takesBoth.0, options.dropsRenamedOut {
        let gone = try options.selection.target(of: from)
        try flush()
        withCatalog { $0.note(gone.logical, from: from.logical) }
        try drop(gone)
        return ran()
      }
      throw DumpError(
        .inconsistent, "a collection is renamed into or out of what is selected",
        namespace: from.description, hint: "select both names")
    }
    try flush()
    forgetCollections()
    let source = try options.selection.target(of: from)
    let target = try options.selection.target(of: to)
    var drops = object["dropTarget"].map { $0 != false } ?? false
    // Onto a name that was free then: what has it now is none of the dump's.
    if !drops, options.drop, !overlaps { drops = try options.freesName?(target) != true }
    let command: Document = [
      "renameCollection": .string(source.description), "to": .string(target.description),
      "dropTarget": .bool(drops),
    ]
    // 26: in the overlap it may have been renamed already when the dump came by.
    // After the overlap it would leave the target as it was without a word.
    try run(command, Namespace("admin", ""), fine: overlaps ? [26] : [])
    cappedUpTo[source] = nil
    cappedUpTo[target] = nil
    withCatalog { catalog in
      catalog.rename(source, to: target)
      catalog.note(source, from: from)
      catalog.note(target, from: to)
    }
    ran()
  }

  // MARK: - Options and indexes

  private mutating func modify(_ object: Document, _ target: Namespace) throws {
    if var index = object["index"]?.documentValue {
      if target.isBuckets, let key = index["keyPattern"]?.documentValue,
        let keys = try bucketKeys(of: target.logical)
      {
        index["keyPattern"] = .document(keys.logical(key: key))
      }
      withCatalog { $0.change(index, in: target.logical) }
    }
    // Set at the end: what a later entry changes must not expire before it.
    if let expiry = object["expireAfterSeconds"] {
      withCatalog { $0.expire(target.logical, after: expiry == "off" ? Value?.none : expiry) }
    }
    let handled: Set<String> = [
      "collMod", "index", "noPadding", "usePowerOf2Sizes", "expireAfterSeconds",
    ]
    let rest = object.filteringElements { !handled.contains($0.key) }
    guard !rest.isEmpty else {
      // The oplog of 6.0 does not say what else changed; a new feature version allows mixed schemas.
      if target.isBuckets, !object.has("index"), !object.has("expireAfterSeconds") {
        try allowMixedSchema([target], fine: [26, 40415])
      }
      return
    }
    var command: Document = ["collMod": .string(target.logical.collection)]
    command.append(contentsOf: rest)
    try run(command, target, fine: overlapIsFine)
  }

  private var overlapIsFine: Set<Int> { [26] }

  private mutating func addIndexes(_ object: Document, _ target: Namespace) throws {
    var specs = (object["indexes"]?.arrayValue ?? []).compactMap(\.documentValue)
    if specs.isEmpty {
      specs = [object.filteringElements { $0.key != "createIndexes" }]
    }
    if target.isBuckets, let keys = try bucketKeys(of: target.logical) {
      specs = specs.map { keys.logical($0) }
    }
    withCatalog { catalog in
      for spec in specs { catalog.add(spec, to: target.logical) }
    }
  }

  /// A dump may list an index that was being built. It comes with the commit, if that comes.
  private mutating func removeUnbuilt(_ object: Document, _ target: Namespace) {
    let names = (object["indexes"]?.arrayValue ?? []).compactMap { $0.documentValue?["name"] }
    withCatalog { $0.remove(.array(names), from: target.logical) }
  }

  // MARK: - Views

  /// The server makes `system.views` with the first view; where names have changed it has another name or
  /// none. Its end, before that of the database, is the end of all views.
  private mutating func changeViews(_ command: String, of database: String) throws {
    guard command == "drop" else { return }
    try flush()
    for view in catalog.views(of: database) {
      withCatalog { catalog in
        catalog.dropView(view)
        catalog.note(view, from: catalog.source(of: view) ?? view)
      }
      try run(["drop": .string(view.collection)], view, fine: [26])
    }
    ran()
  }

  /// Views are documents of `system.views`, and must be made by `create`.
  mutating func view(
    _ operation: String, _ object: Document, _ key: Document?, _ database: String
  ) throws {
    let id = object["_id"]?.stringValue ?? key?["_id"]?.stringValue
    guard let name = id.flatMap({ Namespace($0) }), options.selection.takes(name) else { return }
    let target = try options.selection.target(of: name)
    try flush()
    let shows = object["viewOn"]?.stringValue
    if shows?.hasPrefix(Namespace.bucketPrefix) == true { return }
    withCatalog { $0.note(target, from: name) }
    if operation == "d" {
      withCatalog { $0.dropView(target) }
      try run(["drop": .string(target.collection)], target, fine: [26])
      return ran()
    }
    guard let shows, let pipeline = object["pipeline"] else {
      throw unreplayable("update of a view", name.description)
    }
    if operation == "i" {
      var command: Document = [
        "create": .string(target.collection), "viewOn": .string(shows), "pipeline": pipeline,
      ]
      if let collation = object["collation"] { command.append("collation", collation) }
      withCatalog { $0.addView(target, of: name.database) }
      try make(command, target)
    } else {
      try run(
        ["collMod": .string(target.collection), "viewOn": .string(shows), "pipeline": pipeline],
        target)
    }
    ran()
  }
}

extension Document {
  /// The same with another value of the first element.
  func replacingFirst(with value: Value) -> Document {
    var result = Document()
    for (index, element) in enumerated() {
      result.append(element.key, index == 0 ? value : element.value)
    }
    return result
  }
}
