import BSON
import Testing

@testable import Migration

/// The planner as a table: files, ledger and server in, groups, effects and refusals out.
@Suite struct PlannerTests {
  private func migration(_ yaml: String, _ name: String = "001_x") throws -> Migration {
    try MigrationLoader.parse(yaml, file: "\(name).yaml")
  }

  private func state(
    _ collections: [String: CollectionState] = [:], release: Release = Release(major: 6),
    topology: Requirements.Topology = .replicaSet, facts: [StepKey: StepFacts] = [:],
    down: [String] = []
  ) -> ServerState {
    ServerState(
      database: "shop", release: release, topology: topology, collections: collections,
      facts: facts, unreachableMembers: down, now: DateTime(milliseconds: 1_700_000_000_000))
  }

  private func plan(_ yaml: String, _ state: ServerState) throws -> Plan {
    try Planner(
      migrations: [try migration(yaml)], ledger: [:], state: state, seed: "s"
    ).up(UpRequest())
  }

  private func groups(_ plan: Plan) -> String {
    plan.migrations[0].groups.map { group in
      let steps = group.steps.map { "\($0 + 1)" }.joined()
      return group.isTransaction ? "[\(steps)]" : steps
    }.joined(separator: " ")
  }

  static let groupings: [(String, Release, Requirements.Topology, String)] = [
    ("create: a", Release(major: 6), .replicaSet, "[1]"),
    ("create: a", Release(major: 6), .standalone, "1"),
    ("create: a", Release(major: 4, minor: 2), .replicaSet, "1"),
    ("create: a; createIndexes: a; insert: a", Release(major: 4, minor: 4), .replicaSet, "[123]"),
    ("create: a; insert: a; createIndexes: a", Release(major: 6), .replicaSet, "[12] 3"),
    ("createIndexes: old", Release(major: 6), .replicaSet, "1"),
    ("insert: old; createIndexes: old; insert: old", Release(major: 6), .replicaSet, "[1] 2 [3]"),
    ("view: v", Release(major: 6), .replicaSet, "1"),
    ("insert: capped", Release(major: 6), .replicaSet, "1"),
    ("insert: old", Release(major: 4, minor: 2), .replicaSet, "[1]"),
    ("insert: fresh", Release(major: 4, minor: 2), .replicaSet, "1"),
    ("drop: old", Release(major: 6), .replicaSet, "1"),
    ("create: a; drop: old; create: b", Release(major: 6), .replicaSet, "[1] 2 [3]"),
  ]

  @Test(arguments: groupings)
  func `steps are grouped as servers allow`(
    steps: String, release: Release, topology: Requirements.Topology, expected: String
  ) throws {
    let yaml = steps.split(separator: "; ").map { step -> String in
      let parts = step.split(separator: ": ")
      switch parts[0] {
      case "createIndexes": return "{ createIndexes: \(parts[1]), indexes: [ { key: { k: 1 } } ] }"
      case "insert": return "{ insert: \(parts[1]), documents: [ { k: 1 } ] }"
      case "view": return "{ create: \(parts[1]), viewOn: old, pipeline: [] }"
      default: return "{ \(step) }"
      }
    }.joined(separator: ", ")
    let collections = [
      "old": CollectionState(count: 5),
      "capped": CollectionState(options: ["capped": true, "size": 4096]),
    ]
    let plan = try plan("up: [ \(yaml) ]", state(collections, release: release, topology: topology))
    #expect(groups(plan) == expected)
  }

  @Test func `a long update goes alone, a short one into the transaction`() throws {
    let yaml = "up: [ { update: old, updates: [ { q: {}, u: { $set: { a: 1 } }, multi: true } ] } ]"
    for (matched, expected) in [(1000, "[1]"), (1001, "1")] {
      var facts = StepFacts()
      facts.matched = .exact(Int64(matched))
      let plan = try plan(
        yaml,
        state(
          ["old": CollectionState(count: 5000)],
          facts: [StepKey(migration: "001_x", step: 0): facts]))
      #expect(groups(plan) == expected)
    }
  }

  @Test func `transaction required is refused where the steps cannot share one`() throws {
    let plan = try plan(
      "transaction: required\nup: [ { create: a }, { drop: old } ]",
      state(["old": CollectionState(count: 1)]))
    #expect(plan.conflicts.map(\.code) == [.conflict])
  }

  @Test func `what is as asked is no step, what differs is a conflict`() throws {
    let there = CollectionState(
      options: ["capped": true, "size": 4096],
      indexes: [
        ["v": 2, "key": ["_id": 1], "name": "_id_"], ["v": 2, "key": ["a": 1], "name": "a_1"],
      ])
    let same = try plan(
      """
      up:
        - { create: old, capped: true, size: 4000 }
        - { createIndexes: old, indexes: [ { key: { a: 1.0 } } ] }
        - { drop: nothing }
      """, state(["old": there]))
    #expect(same.conflicts.isEmpty)
    #expect(
      same.migrations[0].steps.allSatisfy { if case .none = $0.effect { true } else { false } })
    let other = try plan(
      """
      up:
        - { create: old }
        - { create: old, validator: { a: 1 } }
        - { createIndexes: old, indexes: [ { key: { a: 1 }, unique: true } ] }
        - { createIndexes: old, indexes: [ { key: { b: 1 }, name: a_1 } ] }
        - { dropIndexes: old, index: none_such }
        - { renameCollection: none, to: old }
      """, state(["old": there]))
    #expect(other.conflicts.count == 7)
  }

  @Test func `an index on a filled collection is refused while a member is down`() throws {
    let collections = ["old": CollectionState(count: 10)]
    let yaml = "up: [ { createIndexes: old, indexes: [ { key: { a: 1 } } ] } ]"
    let refused = try plan(yaml, state(collections, down: ["b:27017"]))
    #expect(refused.conflicts.map(\.code) == [.notReady])
    #expect(refused.conflicts[0].message.contains("b:27017"))
    let quorum =
      "up: [ { createIndexes: old, indexes: [ { key: { a: 1 } } ], commitQuorum: majority } ]"
    #expect(try plan(quorum, state(collections, down: ["b:27017"])).conflicts.isEmpty)
    let before44 = state(collections, release: Release(major: 4, minor: 2), down: ["b:27017"])
    #expect(try plan(yaml, before44).conflicts.isEmpty)
  }

  @Test(arguments: [
    ("createUser: migrations, pwd: x, roles: []", 1), ("setParameter: 1, quiet: true", 1),
    ("validate: old", 1), ("planCacheClear: old", 1), ("currentOp: 1", 1),
    ("shardCollection: shop.old, key: { a: 1 }", 0), ("reIndex: old", 0), ("newCommand: old", 0),
  ])
  func `only a command that may change collections leaves open what the next step meets`(
    command: String, conflicts: Int
  ) throws {
    let yaml = "up: [ { \(command) }, { renameCollection: none, to: other } ]"
    #expect(try plan(yaml, state(["old": CollectionState()])).conflicts.count == conflicts)
  }

  @Test func `the same seed gives the same ids, another seed others`() throws {
    let yaml = "up: [ { insert: a, documents: [ { x: 1 }, { x: 2 } ] } ]"
    func ids(_ seed: String) throws -> [Value?] {
      let plan = try Planner(
        migrations: [try migration(yaml)], ledger: [:], state: state(), seed: seed
      ).up(UpRequest())
      return (plan.migrations[0].steps[0].command["documents"]?.arrayValue ?? []).map {
        $0.documentValue?["_id"]
      }
    }
    #expect(try ids("a") == ids("a"))
    #expect(try ids("a") != ids("b"))
    #expect(try Set(ids("a")).count == 2)
  }

  @Test func `to and count stop where they say, by stem or by number`() throws {
    let all = try ["001_a", "002_b", "003_c"].map { try migration("up: [ { create: x } ]", $0) }
    let planner = Planner(migrations: all, ledger: [:], state: state(), seed: "s")
    #expect(try planner.pending(UpRequest(to: "2")).map(\.name) == ["001_a", "002_b"])
    #expect(try planner.pending(UpRequest(to: "001_a")).map(\.name) == ["001_a"])
    #expect(try planner.pending(UpRequest(count: 1)).map(\.name) == ["001_a"])
    #expect(throws: MigrationError.self) { try planner.pending(UpRequest(to: "nine")) }
  }
}
