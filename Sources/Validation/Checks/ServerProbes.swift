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
    let pipeline: [Document] = [
      ["$currentOp": ["allUsers": true, "idleSessions": true]],
      [
        "$match": [
          "$or": [
            ["transaction.timeOpenMicros": ["$gt": 60_000_000]],
            ["command.createIndexes": ["$exists": true]],
            ["desc": ["$regex": "^IndexBuildsCoordinator"]],
            ["msg": ["$regex": "^Index Build"]],
            [
              "secs_running": ["$gt": 60], "op": ["$in": ["query", "getmore", "update", "remove"]],
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

  static func integrity(_ info: CollectionInfo) -> Probe {
    Probe("integrity", info.name) { context in
      let reply = try context.database.run(
        [
          "validate": .string(info.name),
          "background": context.server.version >= ServerVersion(5, 0)
            ? true : false,
        ],
        options: CommandOptions(maxTime: context.options.commandLimit))
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
