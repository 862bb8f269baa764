import BSON
import Dump
import Fingerprint
import MongoDB
import TestSupport
import Testing

@testable import Backup

/// What was nothing, or another kind of thing, when the base was made or at the moment that comes back.
@Suite struct KindRecoveryTests {
  @Test("a database that had nothing when it was backed up")
  func empty() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { try $0.dropDatabase() }
      let made = try shop.backup { $0.requiresDatabase = false }
      #expect(made.collections.allSatisfy { $0.type.isEmpty })
      try shop.server.withDatabase { _ = try $0.insert("users", [["_id": 1]]) }
      let state = try shop.state("users")
      try shop.spoil("users")
      try shop.capture()
      let report = try shop.restore(nil) { $0.time = .entry(state.time) }
      #expect(try shop.tally("users") == state.tallies["users"])
      #expect(report.safetyBackup != nil && report.endsTimeline)
    }
  }

  @Test("a view that was made since is no reason to load anything twice")
  func lateView() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { database in
        for name in ["cheap", "metrics"] { try database.drop(name) }
      }
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        _ = try database.run(["create": "seen", "viewOn": "users", "pipeline": []])
      }
      let state = try shop.state("users")
      try shop.spoil("users", "orders")
      try shop.server.withDatabase { try $0.drop("seen") }
      try shop.capture()
      let report = try shop.restore(nil) { $0.time = .entry(state.time) }
      #expect(
        report.restored.map(\.collection).sorted() == ["migrations", "orders", "seen", "users"])
      #expect(report.documents == 503)
      #expect(try shop.tally("users") == state.tallies["users"])
      #expect(report.kept.isEmpty)
    }
  }

  @Test(
    "what was another kind of thing then comes back as it was",
    .enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"))
  func kinds() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { database in
        _ = try database.insert("wasPlain", [["_id": 1]])
        _ = try database.insert("wasPlain2", [["_id": 1]])
        _ = try database.run(["create": "wasSeries", "timeseries": ["timeField": "t"]])
        _ = try database.insert("wasSeries", [["t": .date(DateTime(milliseconds: 1))]])
        _ = try database.run(["create": "wasSeries2", "timeseries": ["timeField": "t"]])
        _ = try database.run(["create": "wasView", "viewOn": "users", "pipeline": []])
        _ = try database.run(["create": "wasView2", "viewOn": "users", "pipeline": []])
        _ = try database.run(["create": "wasView3", "viewOn": "users", "pipeline": []])
      }
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        let names = ["wasPlain", "wasSeries", "wasSeries2", "wasView", "wasView2", "wasPlain2"]
        for name in names { try database.drop(name) }
        _ = try database.run(["create": "wasPlain", "viewOn": "users", "pipeline": []])
        _ = try database.insert("wasSeries", [["_id": "plain"]])
        _ = try database.run([
          "create": "wasSeries2", "viewOn": "orders", "pipeline": [["$limit": 3]],
        ])
        _ = try database.insert("wasView", [["_id": "plain now"]])
        for name in ["wasView2", "wasPlain2"] {
          _ = try database.run(["create": .string(name), "timeseries": ["timeField": "t"]])
          _ = try database.insert(name, [["t": .date(DateTime(milliseconds: 5)), "v": 2]])
        }
        _ = try database.run([
          "collMod": "wasView3", "viewOn": "users", "pipeline": [["$match": ["_id": 2]]],
        ])
      }
      let state = try shop.state(
        "wasSeries", "wasView", "system.buckets.wasView2", "system.buckets.wasPlain2")
      // The same kinds, with other things in them.
      try shop.server.withDatabase { database in
        _ = try database.insert("wasSeries", [["_id": "late"]])
        _ = try database.insert("wasView", [["_id": "late"]])
        for name in ["wasView2", "wasPlain2"] {
          _ = try database.insert(name, [["t": .date(DateTime(milliseconds: 6)), "v": 3]])
        }
        for name in ["wasPlain", "wasSeries2", "wasView3"] {
          _ = try database.run([
            "collMod": .string(name), "viewOn": "orders", "pipeline": [["$match": ["n": -1]]],
          ])
        }
      }
      try shop.capture()
      _ = try shop.restore(nil) { $0.time = .entry(state.time) }
      for (name, tally) in state.tallies { #expect(try shop.tally(name) == tally, "\(name)") }
      try shop.server.withDatabase { database in
        let counts = try ["wasPlain", "wasSeries2", "wasView3"]
          .map { try database.find($0).all().count }
        #expect(counts == [2, 3, 1])
      }
      // Each by itself, where it is something else now.
      try shop.server.withDatabase { database in
        try database.drop("wasPlain")
        _ = try database.insert("wasPlain", [["_id": "not a view"]])
      }
      let error = #expect(throws: BackupError.self) {
        try shop.recover(to: state, only: ["wasPlain"])
      }
      #expect(error?.code == .conflict)
      #expect(try shop.tally("wasPlain").count == 1)
      try shop.server.withDatabase { try $0.drop("wasPlain") }
      let series = try shop.recover(to: state, only: ["wasPlain", "wasPlain2"])
      #expect(series.restored.map(\.collection).sorted() == ["wasPlain", "wasPlain2"])
      #expect(
        try shop.tally("system.buckets.wasPlain2") == state.tallies["system.buckets.wasPlain2"])
    }
  }

  @Test(
    "in place, what a replay makes takes no view's or time-series' place, and what it finds is saved",
    .enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"))
  func inPlace() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        _ = try database.insert("plain", [["_id": 1]])
        _ = try database.run(["create": "late", "timeseries": ["timeField": "t"]])
        _ = try database.insert("late", [["t": .date(DateTime(milliseconds: 1))]])
      }
      let state = try shop.state("plain", "system.buckets.late")
      try shop.spoil("plain", "users")
      try shop.server.withDatabase { database in
        _ = try database.insert("late", [["t": .date(DateTime(milliseconds: 2)), "n": "live"]])
      }
      try shop.capture()
      func restore() throws -> RestoreReport {
        try shop.restore(nil) { options in
          options.time = .entry(state.time)
          options.inPlace = true
        }
      }
      let error = #expect(throws: BackupError.self) { try restore() }
      #expect(error?.code == .conflict)
      #expect(error?.namespace == shop.name + ".late")
      #expect(try shop.server.withDatabase { try $0.count("late") } == 2)
      #expect(try shop.server.withDatabase { try $0.find("users").all() } == [["_id": "spoilt"]])
      try shop.server.withDatabase { try $0.drop("late") }
      let report = try restore()
      for name in ["plain", "system.buckets.late"] {
        #expect(try shop.tally(name) == state.tallies[name], "\(name)")
      }
      // What it found was saved, and is not kept a second time.
      #expect(report.kept.isEmpty)
      _ = try shop.restore(try #require(report.safetyBackup)) {
        $0.only = [try NamespacePattern(shop.name + ".plain")]
      }
      #expect(try shop.server.withDatabase { try $0.find("plain").all() } == [["_id": "spoilt"]])
    }
  }

  @Test(
    "in place, a run that died after its replay had made a view and a time-series is completed",
    .enabled(if: TestServer.hasTimeseries, "time-series need MongoDB 5.0"))
  func madeByTheDead() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        _ = try database.run(["create": "seen", "viewOn": "users", "pipeline": []])
        _ = try database.run(["create": "late", "timeseries": ["timeField": "t"]])
        _ = try database.insert("late", [["t": .date(DateTime(milliseconds: 1))]])
      }
      let state = try shop.state("users", "system.buckets.late")
      try shop.spoil("users")
      try shop.server.withDatabase { database in
        for name in ["seen", "late"] { try database.drop(name) }
      }
      try shop.capture()
      var options = shop.restoreOptions
      options.time = .entry(state.time)
      options.inPlace = true
      let runner = RestoreRunner(shop.store, pool: shop.server.pool, options: options)
      let plan = try runner.plan(nil)
      #expect(plan.made.map(\.target.collection) == ["late", "seen"])
      let id = try runner.run(nil).backup
      #expect(try shop.collections().isSuperset(of: ["seen", "late"]))
      // As it stands in the journal of one that died then.
      try shop.server.pool.withClient { client in
        let manifest = try Catalog(shop.store).find(id).readManifest()
        var reload = Reload(
          plan.items, [], manifest, options, made: plan.made.map(\.target))
        reload.safety = "20260101T000000Z-database-safety"
        let journal = Journal(client: client)
        let token = Temporary().token
        try journal.begin(token, backup: manifest.id, databases: [shop.name])
        try journal.reloading(token, reload)
        try journal.abandon(token)
      }
      #expect(try runner.run(nil).backup == id)
      #expect(try shop.tally("users") == state.tallies["users"])
      #expect(try shop.tally("system.buckets.late") == state.tallies["system.buckets.late"])
      #expect(try shop.collections().isSuperset(of: ["seen", "late"]))
    }
  }

  @Test("what is of another kind now is told by the plan")
  func tellsKind() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        try database.drop("users")
        _ = try database.run(["create": "users", "viewOn": "orders", "pipeline": []])
      }
      let time = try shop.now()
      try shop.capture()
      var options = shop.restoreOptions
      options.time = .entry(time)
      let plan = try RestoreRunner(shop.store, pool: shop.server.pool, options: options).plan(nil)
      #expect(
        plan.warnings.contains { $0.contains("another kind") && $0.contains(shop.name + ".users") })
    }
  }
}
