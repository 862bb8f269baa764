import BSON
import Foundation
import TestSupport
import Testing

@testable import Validation

@Suite struct RulesTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  @Test("the reference rules hold the checks of the first reference system")
  func reference() throws {
    let rules = try RulesLoader().load(
      Self.root.appendingPathComponent("validation/rules.yaml").path)
    #expect(rules.collections.count == 7)
    #expect(rules.collections.prefix(2).map(\.minimum) == [1, 1])
    #expect(rules.collections[2].header.phases == [.after])
    #expect(rules.indexes.count == 6)
    #expect(rules.references.map(\.from) == [FieldPath("orders", "user_id")])
    #expect(rules.references.map(\.to) == [FieldPath("users", "_id")])
  }

  @Test("every example that the comments teach is read")
  func examples() throws {
    let text = try String(
      contentsOf: Self.root.appendingPathComponent("validation/rules.yaml"), encoding: .utf8)
    // A comment that begins as an example does is one; the lists above it are then no longer empty.
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      for start in ["  # - ", "  #   ", "  #     "] where line.hasPrefix(start) {
        return "  " + line.dropFirst(4)
      }
      return line.hasSuffix(": []") ? String(line.dropLast(3)) : String(line)
    }
    let rules = try RulesLoader().parse(lines.joined(separator: "\n"), file: "rules.yaml")
    #expect(rules.unique.count == 2)
    #expect(rules.schemas.count == 1)
    #expect(rules.fields.count == 2)
    #expect(rules.empty.count == 1)
    #expect(rules.queries.count == 1)
    #expect(rules.files.count == 1)
    #expect(rules.commands.count == 1)
  }

  @Test(
    "a mistake is shown with line and column",
    arguments: [
      ("collection: []", 1, 1, "unknown key `collection`"),
      ("collections:\n  - { name: a, minimun: 1 }", 2, 16, "unknown key `minimun`"),
      ("collections: 5", 1, 14, "`collections` is a list, found a number"),
      ("collections:\n  - { name: a, minimum: -1 }", 2, 25, "`minimum` is a whole number"),
      ("collections:\n  - { name: a, minimum: 9, maximum: 1 }", 2, 5, "`minimum` is above"),
      ("indexes:\n  - { collection: a, key: { b: 1 }, uniqe: true }", 2, 5, "`uniqe` is no option"),
      ("indexes:\n  - { collection: a, key: {} }", 2, 27, "`key` has no fields"),
      ("references:\n  - { from: orders, to: users._id }", 2, 13, "names a collection and a field"),
      ("references:\n  - { from: a.b }", 2, 5, "`to` is missing"),
      ("fields:\n  - { collection: a, field: b }", 2, 5, "it asks for nothing"),
      ("fields:\n  - { collection: a, field: b, type: strin }", 2, 5, "`strin` is no BSON type"),
      (
        "empty:\n  - name: x\n    collection: a\n    pipeline:\n      - { $match: {} }\n      - { $out: b }",
        6, 11, "$out writes"
      ),
      (
        "empty:\n  - { name: x, collection: a, pipeline: [ { $facet: { f: [ { $merge: b } ] } } ] }",
        2, 62, "$merge writes"
      ),
      ("queries:\n  - { name: q, collection: a, p95: fast }", 2, 36, "`p95` is a time"),
      (
        "collections:\n  - { name: a, severity: fatal }", 2, 26,
        "`severity` is error, warning or info"
      ),
      (
        "collections:\n  - { name: a, when: never }", 2, 22,
        "`when` is before, after, both or started"
      ),
      ("collections: [ a", 2, 1, "not valid YAML"),
      ("collections: []\ncollections: []", 1, 1, "more than once"),
      ("version: 2", 1, 10, "rules of version 1"),
      ("- a", 1, 1, "a rules file is a mapping"),
      (
        "fields:\n  - { collection: a, field: b, minimum: { $date: yesterday } }", 2, 41,
        "not a valid Extended JSON value"
      ),
    ])
  func mistakes(_ text: String, _ line: Int, _ column: Int, _ message: String) {
    let error = #expect(throws: ValidationError.self) {
      _ = try RulesLoader().parse(text, file: "rules.yaml")
    }
    #expect(error?.message.contains(message) == true, "\(error?.description ?? "")")
    #expect(error?.file == "rules.yaml")
    // The parser's own places for broken YAML are its own affair.
    if message != "not valid YAML", message != "more than once" {
      #expect(error?.line == line && error?.column == column, "\(error?.description ?? "")")
    } else {
      #expect(error?.line != nil)
    }
  }

  @Test("all mistakes of a file are told at once")
  func several() {
    let text = "collections:\n  - { minimum: 1 }\n  - { name: a, b: 1 }\nindexs: []\n"
    let error = #expect(throws: ValidationError.self) {
      _ = try RulesLoader().parse(text, file: "rules.yaml")
    }
    #expect(error?.others.count == 2)
    #expect(error?.description.contains("did you mean `indexes`?") == true)
  }

  @Test("YAML 1.2: no and on are strings, dates stay text", arguments: ["", "# nothing\n", "null"])
  func empty(_ text: String) throws {
    #expect(try RulesLoader().parse(text, file: "x").count == 0)
    let rules = try RulesLoader().parse(
      "fields: [ { collection: a, field: b, one_of: [no, on, 2026-01-01, 1, 1.5, { $oid: 0123456789abcdef01234567 }] } ]",
      file: "x")
    let values = rules.fields[0].oneOf ?? []
    #expect(values.prefix(3) == ["no", "on", "2026-01-01"])
    #expect(values.dropFirst(3).first == .int32(1))
    #expect(values.last?.type == .objectID)
  }

  @Test("a rules file that is not there is a named error")
  func missing() {
    let error = #expect(throws: ValidationError.self) {
      _ = try RulesLoader().load("/nonexistent/rules.yaml")
    }
    #expect(error?.code == .unreadableRules)
    #expect(error?.hint != nil)
  }
}
