import BSON
import MongoDB
import Synchronization
import TestSupport
import Testing

@testable import Migration

/// What is said of steps that were refused, left out or taken back in part.
@Suite struct HalfDoneTests {
  private static let update =
    "{ update: things, updates: [ { q: {}, u: { $set: { a: 1 } }, multi: true } ] }"
  private static let down =
    "down: [ { update: things, updates: [ { q: {}, u: { $unset: { a: 1 } }, multi: true } ] } ]"

  @Test func `a step that the server refused needs no inverse`() throws {
    let files = [
      "001_t.yaml": """
      up: [ \(Self.update), { convertToCapped: nosuch, size: 4096 } ]
      \(Self.down)
      """
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("things", [["_id": 1, "a": 7], ["_id": 2]])
      let before = try fixture.picture()
      #expect(throws: MigrationError.self) { _ = try fixture.migrator().up() }
      #expect(try fixture.entry("001_t")?.steps.map(\.state) == [.done, .pending])
      _ = try fixture.migrator().down(.count(1))
      #expect(try fixture.picture() == before)
      #expect(try fixture.entry("001_t") == nil)
    }
  }

  @Test func `a done step without an inverse is not told to have no down steps`() throws {
    let files = [
      "001_t.yaml": """
      up:
        - { aggregate: things, pipeline: [ { $merge: { into: copies } } ], cursor: {} }
        - { convertToCapped: nosuch, size: 4096 }
      \(Self.down)
      """
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("things", [["_id": 1]])
      #expect(throws: MigrationError.self) { _ = try fixture.migrator().up() }
      do {
        _ = try fixture.migrator().down(.count(1))
        Issue.record("not refused")
      } catch let error as MigrationError {
        #expect(error.code == .irreversible)
        #expect(error.hint?.contains("whole `up`") == true, "\(error.hint ?? "")")
      }
    }
  }

  @Test func `a step that was left out is not called done`() throws {
    let files = [
      "001_t.yaml": "up: [ { create: fresh, martlet: { unless: { collection: there } } } ]"
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("there", [["_id": 1]])
      let plan = try fixture.migrator().planUp()
      let impact = plan.migrations.first?.steps.first?.impact ?? []
      #expect(impact.contains { $0.contains("`unless` may leave it out") }, "\(impact)")
      let notes = Mutex<[String?]>([])
      _ = try fixture.migrator().up(observer: { event in
        if case .stepFinished(_, _, let note) = event { notes.withLock { $0.append(note) } }
      })
      #expect(notes.withLock { $0 } == ["left out: its `unless` holds"])
      #expect(try fixture.entry("001_t")?.steps.first?.isLeftOut == true)
    }
  }

  @Test func `documents that down leaves are all listed`() throws {
    try EngineFixture.run(["001_t.yaml": "up: [ \(Self.update) ]"]) { fixture in
      try fixture.insert("things", (0..<30).map { ["_id": .int32($0)] })
      _ = try fixture.migrator().up()
      try fixture.database {
        _ = try $0.update(
          "things",
          [["q": ["_id": ["$lt": 25]], "u": ["$set": ["a": 2]], "multi": true]])
      }
      let item = try #require(try fixture.migrator().down(.count(1)).items.first)
      #expect(item.skipped == 25)
      #expect(
        item.left.map(\.id).sorted { ($0.integerValue ?? 0) < ($1.integerValue ?? 0) }
          == (0..<25).map { .int32($0) })
      #expect(item.left.allSatisfy { $0.collection == "things" && $0.reason == "changed" })
      #expect(item.notes.first?.contains("and 5 more") == true, "\(item.notes)")
      let line = try fixture.migrator().history(of: "001_t").last
      #expect(line?["left"]?.arrayValue?.count == 25)
    }
  }

  @Test(arguments: [
    ("{ update: things, updates: [ { q: { b: 1 }, u: { $set: { a: 1 } }, multi: true } ] }", false),
    ("{ update: things, updates: [ { q: {}, u: { $set: { b: 1 } }, multi: true } ] }", true),
    ("{ insert: things, documents: [ { b: 1 } ] }", true),
    ("{ delete: things, deletes: [ { q: { b: 2 }, limit: 0 } ] }", true),
  ])
  func `a count that an earlier step changes is not told`(first: String, changes: Bool) throws {
    let files = [
      "001_t.yaml": "up: [ \(first), { delete: things, deletes: [ { q: { b: 1 }, limit: 0 } ] } ]"
    ]
    try EngineFixture.run(files) { fixture in
      try fixture.insert("things", (0..<10).map { ["_id": .int32($0)] })
      let plan = try fixture.migrator().planUp()
      let step = try #require(plan.migrations.first?.steps.last)
      #expect(step.documents == (changes ? nil : 0))
      #expect(
        step.impact.contains { $0.contains("an earlier step changes things") } == changes,
        "\(step.impact)")
      #expect(plan.migrations.first?.groups.count == 1)
    }
  }
}
