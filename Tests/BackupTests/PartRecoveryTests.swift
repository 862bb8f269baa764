import BSON
import Dump
import Fingerprint
import MongoDB
import TestSupport
import Testing

@testable import Backup

/// Parts of a database at a moment, with `--only`, where names have changed hands since the base.
@Suite struct PartRecoveryTests {
  @Test("a collection that got its name by renames comes back, and those that it came from stay")
  func renames() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { database in
        _ = try database.insert("next", (0..<300).map { ["_id": .integer($0), "is": "next"] })
        _ = try database.run([
          "createIndexes": "next", "indexes": [["key": ["is": 1], "name": "is_1"]],
        ])
      }
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        _ = try database.update("next", [["q": ["_id": 7], "u": ["$set": ["is": "changed"]]]])
        try database.rename("next", to: "step")
        _ = try database.insert("step", [["_id": 1000]])
        try database.rename("step", to: "orders", dropTarget: true)
        _ = try database.delete("orders", [["q": ["_id": 5], "limit": 1]])
        _ = try database.insert("next", [["_id": "the one after"]])
      }
      let state = try shop.state("orders", "next")
      let users = try shop.tally("users")
      try shop.spoil("orders")
      let report = try shop.recover(to: state, only: ["orders"])
      #expect(report.restored == [Namespace(shop.name, "orders")])
      #expect(try shop.tally("orders") == state.tallies["orders"])
      #expect(try shop.tally("next") == state.tallies["next"])
      #expect(try shop.tally("users") == users)
      try shop.server.withDatabase { database in
        let names = try database.listIndexes("orders").map(\.name)
        #expect(names == ["_id_", "is_1"])
      }
      #expect(!report.compared.contains { $0.namespace.collection == "next" })
      // Under another name nothing live is touched.
      try shop.spoil("orders")
      let spoilt = try shop.tally("orders")
      let copy = try shop.recover(to: state, only: ["orders"]) { options in
        options.renames = [
          try NamespaceRename(from: shop.name + ".orders", to: shop.name + ".orders_then")
        ]
      }
      #expect(copy.safetyBackup == nil)
      #expect(try shop.tally("orders_then") == state.tallies["orders"])
      #expect(try shop.tally("orders") == spoilt)
      #expect(try shop.tally("next") == state.tallies["next"])
    }
  }

  @Test("two collections that were exchanged, one of them asked for")
  func exchanged() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { database in
        _ = try database.insert("blue", [["_id": 1, "is": "blue"]])
        _ = try database.insert("green", [["_id": 1, "is": "green"], ["_id": 2]])
      }
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        for _ in 0..<3 {
          try database.rename("blue", to: "aside")
          try database.rename("green", to: "blue")
          try database.rename("aside", to: "green")
          _ = try database.insert("blue", [["in": "blue"]])
        }
      }
      let state = try shop.state("blue", "green")
      try shop.spoil("blue", "green")
      let live = try shop.tally("green")
      _ = try shop.recover(to: state, only: ["blue"])
      #expect(try shop.tally("blue") == state.tallies["blue"])
      #expect(try shop.tally("green") == live)
    }
  }

  @Test("what $out and a conversion made, what was made since, and what was renamed away")
  func made() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { _ = try $0.insert("was_there", [["_id": 1]]) }
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        try database.drop("was_there")
        for _ in 0..<2 {
          _ = try database.aggregate(
            "orders", pipeline: [["$match": ["n": ["$lt": 9]]], ["$out": "report"]]
          ).all()
        }
        _ = try database.insert("users", [["_id": 3]])
        try database.rename("users", to: "people")
        _ = try database.insert("users", [["_id": "new"]])
        _ = try database.insert("log", (0..<20).map { ["_id": .integer($0)] })
        _ = try database.run(["convertToCapped": "log", "size": 1_000_000])
      }
      let state = try shop.state("report", "users", "people", "log")
      let orders = try shop.tally("orders")
      for name in ["report", "users", "people", "log"] {
        try shop.spoil("report", "users", "people", "log")
        let spoilt = try shop.state("report", "users", "people", "log").tallies
        let report = try shop.recover(to: state, only: [name])
        #expect(report.restored.map(\.collection) == [name])
        for (other, tally) in spoilt {
          let wanted = other == name ? state.tallies[name] : tally
          #expect(try shop.tally(other) == wanted, "\(other), only \(name)")
        }
        #expect(report.safetyBackup != nil)
      }
      #expect(try shop.tally("orders") == orders)
      try shop.server.withDatabase { database in
        let info = try database.listCollections(filter: ["name": "log"]).first
        #expect(info?.options["capped"] == true)
      }
      // Of the backup, and not there at that moment: told, and nothing is done.
      let cheap = try shop.recover(to: state, only: ["was_there", "users"])
      #expect(cheap.restored.map(\.collection) == ["users"])
      #expect(cheap.notices.contains { $0.contains(shop.name + ".was_there") })
      // It never was.
      let gone = #expect(throws: BackupError.self) {
        try shop.recover(to: state, only: ["nothing"])
      }
      #expect(gone?.code == .usage)
    }
  }

  @Test("in place nothing but what is selected is replaced: what came from elsewhere is refused")
  func inPlace() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { _ = try $0.insert("next", [["_id": 1]]) }
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        try database.rename("next", to: "orders", dropTarget: true)
        try database.rename("users", to: "people")
        _ = try database.insert("users", [["_id": 9]])
      }
      let state = try shop.state("users", "orders")
      try shop.spoil("users")
      try shop.server.withDatabase { _ = try $0.insert("next", [["_id": "live"]]) }
      let error = #expect(throws: BackupError.self) {
        try shop.recover(to: state, only: ["orders"]) { $0.inPlace = true }
      }
      #expect(error?.code == .usage)
      let made = #expect(throws: BackupError.self) {
        try shop.recover(to: state, only: ["people"]) { $0.inPlace = true }
      }
      #expect(made?.code == .usage)
      _ = try shop.recover(to: state, only: ["users"]) { $0.inPlace = true }
      #expect(try shop.tally("users") == state.tallies["users"])
      #expect(try shop.tally("next").count == 1)
      #expect(try shop.tally("people").count == 2)
    }
  }

  @Test("the plan of a whole recovery names what was made since, and what is replaced")
  func wholePlan() throws {
    try Shop.run { shop in
      _ = try shop.backup()
      try shop.server.withDatabase { _ = try $0.insert("carts", [["_id": 1]]) }
      let state = try shop.state("carts")
      try shop.spoil("carts")
      try shop.capture()
      var options = shop.restoreOptions
      options.time = .entry(state.time)
      options.only = [try NamespacePattern(shop.name + ".*")]
      let runner = RestoreRunner(shop.store, pool: shop.server.pool, options: options)
      let plan = try runner.plan(nil)
      #expect(plan.made.map(\.source.collection) == ["carts"])
      #expect(plan.made.first?.liveCount == 1)
      #expect(!plan.untouched.contains { $0.collection == "carts" })
      let report = try runner.run(nil)
      #expect(try shop.tally("carts") == state.tallies["carts"])
      // What was live is in the safety backup.
      let safety = try #require(report.safetyBackup)
      _ = try shop.restore(safety) { $0.only = [try NamespacePattern(shop.name + ".carts")] }
      #expect(try shop.server.withDatabase { try $0.find("carts").all() } == [["_id": "spoilt"]])
    }
  }

  @Test("the plan names what is made, what comes besides, and what would be replaced")
  func plan() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { _ = try $0.insert("next", [["_id": 1]]) }
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        try database.rename("next", to: "orders", dropTarget: true)
        _ = try database.insert("late", [["_id": 9]])
        _ = try database.insert("later", [["_id": 9]])
        try database.drop("later")
        _ = try database.run(["create": "seen", "viewOn": "late", "pipeline": []])
      }
      let time = try shop.now()
      try shop.capture()
      var options = shop.restoreOptions
      options.time = .entry(time)
      options.only = [
        try NamespacePattern(shop.name + ".orders"), try NamespacePattern(shop.name + ".late*"),
        try NamespacePattern(shop.name + ".seen"),
      ]
      func collected() throws -> Int {
        try (Disk.names(in: shop.scratch.path) ?? []).filter { $0.hasPrefix("martlet-replay.") }
          .count
      }
      let plan: RestorePlan
      do {
        let runner = RestoreRunner(shop.store, pool: shop.server.pool, options: options)
        _ = try runner.plan(nil)
        plan = try runner.plan(nil)
        #expect(try collected() == 1)
      }
      #expect(try collected() == 0)
      #expect(plan.items.map(\.source.collection) == ["orders"])
      #expect(plan.origins.map(\.source.collection) == ["next"])
      #expect(plan.made.map(\.source.collection) == ["late", "seen"])
      #expect(plan.made.first?.liveCount == 1)
      #expect(!plan.untouched.contains(Namespace(shop.name, "late")))
      #expect(plan.warnings.contains { $0.contains(shop.name + ".next") })
    }
  }

  @Test("a new name that the oplog uses on the way, and names like those of our own")
  func names() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { _ = try $0.insert("later", [["_id": "of the backup"]]) }
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        _ = try database.insert("step", [["_id": 1], ["_id": 2]])
        try database.rename("step", to: "middle")
        try database.rename("middle", to: "result")
        _ = try database.insert("step", [["_id": "another"]])
        try database.rename("later", to: "direct")
        for name in ["probe.a", "probe.x", "origin.x"] {
          _ = try database.insert(name, [["_id": .string(name)]])
        }
      }
      let state = try shop.state("result", "direct", "probe.a", "probe.x", "origin.x")
      let probes = ["probe.a", "probe.x", "origin.x"]
      try shop.spoil("result", "step", "middle", "later", "probe.a", "probe.x", "origin.x")
      for (name, place) in [("result", "step"), ("direct", "later"), ("result", "middle")] {
        _ = try shop.recover(to: state, only: [name]) { options in
          options.renames = [
            try NamespaceRename(from: "\(shop.name).\(name)", to: "\(shop.name).\(place)")
          ]
        }
        #expect(try shop.tally(place) == state.tallies[name], "\(name) as \(place)")
      }
      let report = try shop.recover(to: state, only: ["probe.*", "origin.*"])
      #expect(report.restored.map(\.collection).sorted() == probes.sorted())
      for name in probes { #expect(try shop.tally(name) == state.tallies[name]) }
    }
  }

  @Test("patterns of any database are about parts too, and none is about what is the server's own")
  func starred() throws {
    try Shop.run { shop in
      try shop.server.withDatabase { _ = try $0.insert("next", [["_id": 1]]) }
      _ = try shop.backup()
      try shop.server.withDatabase { database in
        try database.rename("next", to: "end.of")
        _ = try database.run(["create": "last", "viewOn": "users", "pipeline": []])
      }
      let state = try shop.state("end.of")
      try shop.spoil("end.of")
      try shop.capture()
      _ = try shop.restore(nil) { options in
        options.time = .entry(state.time)
        options.databases = [shop.name]
        options.only = [try NamespacePattern("*.end*")]
      }
      #expect(try shop.tally("end.of") == state.tallies["end.of"])
      // Views make a collection of the server's own, which nobody restores.
      var options = shop.restoreOptions
      options.time = .entry(state.time)
      options.only = [try NamespacePattern(shop.name + ".*st*")]
      let plan = try RestoreRunner(shop.store, pool: shop.server.pool, options: options).plan(nil)
      #expect(plan.made.map(\.source.collection) == ["last"])
    }
  }
}
