internal import BSON
internal import MongoDB

/// The database as a whole, and what else goes on at the server.
enum ServerProbes {
  static let present = Probe("database-present") { context in
    let list = try context.userCollections()
    let name = context.database.name
    guard list.isEmpty else {
      return [
        .passed(
          "database-present", name, "it has collections",
          lookedAt: Amount(list.count, "collections"))
      ]
    }
    return [
      .found(
        "database-present", name, .error, "the database \(name) has no collections",
        cause: "a wrong name in --db or the URI, or data that is gone",
        command: Words.command(["listCollections": 1]),
        fix: "check --db; show dbs lists what is there")
    ]
  }

  /// Index builds, long transactions and the like, which would meet a migration.
  static let activeWork = Probe("active-work") { context in
    let seconds = context.options.longOperation.components.seconds
    let pipeline: [Document] = [
      ["$currentOp": ["allUsers": true, "idleSessions": true]],
      [
        "$match": [
          "$or": [
            ["transaction.timeOpenMicros": ["$gt": .integer(seconds * 1_000_000)]],
            ["command.createIndexes": ["$exists": true]],
            ["desc": ["$regex": "^IndexBuildsCoordinator"]],
            ["msg": ["$regex": "^Index Build"]],
            [
              // Aggregations and the like are commands; `hello` waits, and does nothing.
              "secs_running": ["$gt": .integer(seconds)],
              "op": ["$in": ["query", "getmore", "insert", "update", "remove", "command"]],
              "command.hello": ["$exists": false], "command.isMaster": ["$exists": false],
              "command.ismaster": ["$exists": false],
            ],
          ]
        ]
      ],
      ["$limit": 50],
    ]
    let cursor = try context.database.client.cursor(
      [
        "aggregate": 1, "pipeline": .array(pipeline.map { .document($0) }), "cursor": [:],
      ], on: "admin", options: CommandOptions(maxTime: .seconds(30)))
    let work = try cursor.all().filter { $0["ns"]?.stringValue?.hasPrefix("local.") != true }
    guard !work.isEmpty else {
      return [.passed("active-work", "", "no long transactions, queries or index builds")]
    }
    let rows = work.prefix(context.options.evidenceRows).map { operation -> [Evidence.Cell] in
      let seconds =
        operation["secs_running"]?.integerValue
        ?? (operation["transaction"]?.documentValue?["timeOpenMicros"]?.integerValue ?? 0)
        / 1_000_000
      return [
        .text(operation["desc"]?.stringValue ?? operation["op"]?.stringValue ?? "?"),
        .text(operation["ns"]?.stringValue ?? ""), .number(seconds),
      ]
    }
    return [
      .found(
        "active-work", "", .warning,
        "\(Words.counted(Int64(work.count), "operations")) in progress",
        findings: Int64(work.count),
        evidence: Evidence(columns: ["operation", "namespace", "seconds"], rows: Array(rows)),
        cause: "schema changes wait for them, and everybody waits for schema changes",
        command: "db.getSiblingDB(\"admin\").aggregate([{$currentOp: {allUsers: true}}])",
        fix: "wait until they are done, or stop what runs them")
    ]
  }

  /// A server at the end of its connections refuses the migration's as well.
  static let connections = Probe("connections") { context in
    let status = try context.database.client.run(
      ["serverStatus": 1, "wiredTiger": 0, "metrics": 0, "repl": 0, "locks": 0], on: "admin",
      options: CommandOptions(maxTime: .seconds(30)))
    let fields = status["connections"]?.documentValue
    guard let current = fields?["current"]?.integerValue,
      let available = fields?["available"]?.integerValue
    else { return [.skipped("connections", "", "the server does not tell")] }
    let words = "\(Words.grouped(current)) open, \(Words.grouped(available)) more are possible"
    guard available < current / 4 || available < 50 else {
      return [.passed("connections", "", words, lookedAt: Amount(current, "connections"))]
    }
    return [
      .found(
        "connections", "", .warning, words, lookedAt: Amount(current, "connections"),
        cause: "an application that opens too many, or a limit of open files",
        command: "db.serverStatus().connections",
        fix: "stop what holds them, or raise the limit")
    ]
  }

  /// Indexes that are still being built, or stand half way to being unique.
  static func indexStates(_ info: CollectionInfo) -> Probe {
    Probe("index-building", info.name) { context in
      let list = try context.indexes(info.name)
      let building = list.filter { $0.buildUUID != nil }.map(\.name)
      let preparing = list.filter { $0.spec["prepareUnique"]?.isTruthy == true }.map(\.name)
      var results: [CheckResult] = []
      if !building.isEmpty {
        results.append(
          .found(
            "index-building", info.name, .error,
            "not finished: \(building.joined(separator: ", "))", findings: Int64(building.count),
            cause: "a build is running, or waits for a member that is down",
            command: Words.command(
              ["listIndexes": .string(info.name), "includeBuildUUIDs": true]),
            fix: "wait for it, or bring the missing member back"))
      }
      if !preparing.isEmpty {
        results.append(
          .found(
            "index-prepared", info.name, .warning,
            "half way to unique: \(preparing.joined(separator: ", "))",
            findings: Int64(preparing.count),
            cause: "a conversion to a unique index was begun and not finished",
            command: Words.command(["listIndexes": .string(info.name)]),
            fix: "finish it with collMod unique: true, or turn it back with prepareUnique: false"))
      }
      return results.isEmpty
        ? [
          .passed(
            "index-building", info.name, "every index is complete",
            lookedAt: Amount(list.count, "indexes"))
        ] : results
    }
  }

  /// A view whose source or pipeline no longer fits fails at the first read.
  static func view(_ info: CollectionInfo) -> Probe {
    Probe("view-broken", info.name) { context in
      do {
        _ = try context.database.findOne(info.name, command: context.scan)
      } catch let error as MongoError where error.kind == .server {
        return [
          .found(
            "view-broken", info.name, .error, "reading the view fails: \(error.message)",
            cause: "its pipeline does not fit the server or the data",
            command: Words.find(info.name, [:]), fix: "correct the view with collMod")
        ]
      }
      guard let source = info.options["viewOn"]?.stringValue,
        try context.collection(source) == nil, !source.hasPrefix("system.")
      else { return [.passed("view-broken", info.name, "it can be read")] }
      return [
        .found(
          "view-broken", info.name, .warning, "the view is on \(source), which does not exist",
          cause: "the source was dropped or renamed: the view is silently empty",
          command: Words.command(["listCollections": 1, "filter": ["name": .string(info.name)]]),
          fix: "restore \(source), or change the view with collMod")
      ]
    }
  }

  /// Documents are not deleted when the monitor is off.
  static let ttlMonitor = Probe("ttl-monitor") { context in
    var count = 0
    for info in try context.userCollections() {
      count += try context.indexes(info.name).count { $0.spec.has("expireAfterSeconds") }
    }
    guard count > 0 else {
      return [.skipped("ttl-monitor", "", "no TTL indexes", applies: false)]
    }
    let reply = try context.database.client.run(
      ["getParameter": 1, "ttlMonitorEnabled": 1], on: "admin")
    guard reply["ttlMonitorEnabled"]?.isTruthy == false else {
      return [
        .passed("ttl-monitor", "", "it is on", lookedAt: Amount(count, "TTL indexes"))
      ]
    }
    return [
      .found(
        "ttl-monitor", "", .error, "the TTL monitor is switched off on this member",
        cause: "somebody set ttlMonitorEnabled to false, perhaps for a restore",
        command: "db.adminCommand({getParameter: 1, ttlMonitorEnabled: 1})",
        fix: "db.adminCommand({setParameter: 1, ttlMonitorEnabled: true})")
    ]
  }

  /// The monitor works once a minute: a figure that does not rise is a monitor that hangs.
  static let ttlPasses = Probe("ttl-passes") { context in
    var count = 0
    for info in try context.userCollections() {
      count += try context.indexes(info.name).count { $0.spec.has("expireAfterSeconds") }
    }
    guard count > 0 else {
      return [.skipped("ttl-passes", "", "no TTL indexes", applies: false)]
    }
    guard let now = try Members(context: context).ttlPasses() else {
      return [.skipped("ttl-passes", "", "the server does not tell")]
    }
    let amount = Amount(now.passes, "passes")
    let elapsed = context.old.map { (context.options.now() - $0.takenAt) / 1000 } ?? 0
    // A restart begins at nought.
    if let before = context.old?.ttlPasses, now.uptime > elapsed {
      if now.passes > before {
        return [
          .passed(
            "ttl-passes", "", "\(Words.grouped(now.passes - before)) since the snapshot",
            lookedAt: amount)
        ]
      }
      if elapsed > 180 { return [ttlHangs("none in \(Words.grouped(elapsed)) s", amount)] }
    }
    // One pass a minute, give or take those that take longer.
    guard now.passes == 0, now.uptime > 180 else {
      return [
        .passed(
          "ttl-passes", "",
          "\(amount) in \(Words.grouped(now.uptime)) s; the snapshot is too young to see it rise",
          lookedAt: amount, certainty: .estimated)
      ]
    }
    return [ttlHangs("none in \(Words.grouped(now.uptime)) s", amount)]
  }

  private static func ttlHangs(_ words: String, _ amount: Amount) -> CheckResult {
    .found(
      "ttl-passes", "", .warning, "the TTL monitor made no pass: \(words)", lookedAt: amount,
      cause: "it is switched off, this is no primary, or a delete takes very long",
      command: "db.serverStatus().metrics.ttl",
      fix: "look at ttlMonitorEnabled and at $currentOp of the TTL monitor")
  }

  static func integrity(_ info: CollectionInfo) -> Probe {
    Probe("integrity", info.name) { context in
      let isFull = context.options.integrity == .full
      var command: Document = ["validate": .string(info.name)]
      if isFull {
        command.append("full", true)
      } else if context.server.version >= ServerVersion(5, 0) {
        command.append("background", true)
      }
      let reply = try context.database.run(
        command, options: CommandOptions(maxTime: context.scan.maxTime))
      let problems =
        ((reply["errors"]?.arrayValue ?? []) + (reply["warnings"]?.arrayValue ?? [])).count
      guard reply["valid"]?.isTruthy == false else {
        return [.passed("integrity", info.name, "the server finds it valid")]
      }
      return [
        .found(
          "integrity", info.name, .error, "the server finds it damaged",
          findings: Int64(max(1, problems)), cause: "damaged files or an inconsistent index",
          command: Words.command(["validate": .string(info.name)]),
          fix: "resync the member, or restore from a backup")
      ]
    }
  }
}
