import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

/// Cuts the real program off in the middle of a scan, by SIGKILL, while the server holds that scan.
@Suite("a check that is cut off")
struct CheckKillTests {
  /// Where a scan is held, and what the second run has to say.
  struct Cut: Sendable, CustomTestStringConvertible {
    var name: String
    var rules = ""
    /// The server's fail point, the collection whose scan it holds, and how many batches it lets pass.
    var point = "waitAfterPinningCursorBeforeGetMoreBatch"
    var collection: String
    var passes: Int32
    var words: String

    var testDescription: String { name }
  }

  static let cuts = [
    Cut(
      name: "two index scans, merged",
      rules: "references: [ { from: lines.order, to: orders._id } ]", collection: "lines",
      passes: 2, words: "orphaned-references lines.order -> orders._id went on after "),
    Cut(
      name: "two index scans, merged, the first one backwards",
      rules: "references: [ { from: lines.back, to: orders.back } ]", collection: "lines",
      passes: 2, words: "orphaned-references lines.back -> orders.back went on after "),
    Cut(
      name: "from value to value",
      rules: "references: [ { from: lines.pair, to: few._id } ]", collection: "lines",
      passes: 1, words: "orphaned-references lines.pair -> few._id went on after "),
    Cut(
      name: "neighbours of an index", rules: "unique: [ { collection: lines, fields: order } ]",
      collection: "lines", passes: 2, words: "duplicate-keys lines went on after "),
    Cut(
      name: "a search for documents",
      rules: "fields: [ { collection: lines, field: text, type: string } ]",
      point: "waitInFindBeforeMakingBatch", collection: "lines", passes: 3,
      words: "field-type lines.text went on after "),
    Cut(
      name: "a snapshot, in the middle of a collection", collection: "lines", passes: 2,
      words: "snapshot lines went on after "),
  ]

  /// A server of its own: its fail points hold everybody.
  private static func run(
    standalone: Bool = false, _ body: (Client, String) throws -> Void
  ) throws {
    let server = try PrivateServer(standalone: standalone)
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "martlet-cut-\(TestServer.uniqueName())")
    try FileManager.default.createDirectory(
      at: folder.appending(path: "validation"), withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try "uri: \(server.uri)\ndatabase: shop\n"
      .write(to: folder.appending(path: "martlet.yaml"), atomically: true, encoding: .utf8)
    let pool = try ClientPool(try ConnectionSettings(uri: server.uri))
    try pool.withClient { client in
      try fill(client.database("shop"))
      try body(client, folder.path)
    }
  }

  /// 160,000 lines with every type of value where a scan may be cut off, and faults in each half.
  private static func fill(_ database: Database) throws {
    func make(_ collection: String, _ count: Int64, _ document: Document) throws {
      _ = try database.aggregate(
        nil,
        pipeline: [
          [
            "$documents": [
              "$map": [
                "input": ["$range": [0, .integer(count)]], "as": "n", "in": .document(document),
              ]
            ]
          ], ["$out": .string(collection)],
        ]
      ).all()
    }
    let number: Value = "$$n"
    // One value in seven is a double that equals an integer.
    try make(
      "lines", 160_000,
      [
        "_id": number,
        "order": [
          "$cond": [["$eq": [["$mod": [number, 7]], 0]], ["$toDouble": number], number]
        ],
        "back": number, "pair": ["$floor": ["$divide": [number, 3]]], "text": "x",
        "filler": "0123456789012345678901234567890123456789012345678901234567890123456789",
      ])
    try make("orders", 160_000, ["_id": number, "back": number])
    try make("few", 60_000, ["_id": number])
    try make("after", 10, ["_id": number])
    for (collection, key) in [
      ("lines", ["order": 1, "_id": -1] as Document), ("lines", ["back": -1]),
      ("lines", ["pair": 1]), ("orders", ["back": -1, "_id": 1]),
    ] {
      _ = try database.run([
        "createIndexes": .string(collection),
        "indexes": [["key": .document(key), "name": .string(key.keys.joined(separator: "_"))]],
      ])
    }
    // Orphans, duplicates and wrong types, before and after every cut; of other types at the ends.
    for (id, change) in [
      (5, ["order": 900_001, "back": 900_001, "text": 1]),
      (9, ["order": nil, "back": nil, "pair": nil]), (10, ["order": .minKey, "back": .minKey]),
      (11, ["order": "b", "back": "b", "pair": "b"]),
      (12, ["order": .maxKey, "back": .maxKey, "pair": .maxKey]),
      (13, ["order": 14, "pair": -1]), (70_000, ["order": 70_001.0, "text": 1]),
      (159_000, ["order": 159_001, "back": 159_001.5, "pair": 59_999.5, "text": [1]]),
      (159_500, ["order": "b"]),
    ] as [(Int32, Document)] {
      _ = try database.update(
        "lines", [["q": ["_id": .int32(id)], "u": ["$set": .document(change)]]])
    }
    _ = try database.delete("orders", [["q": ["_id": ["$in": [3, 80_000, 155_000]]], "limit": 0]])
    _ = try database.delete("few", [["q": ["_id": ["$in": [4, 33_333, 52_000]]], "limit": 0]])
  }

  private func write(_ rules: String, _ folder: String) throws {
    try rules.write(toFile: "\(folder)/validation/rules.yaml", atomically: true, encoding: .utf8)
  }

  private static let command = [
    "validate", "before", "--json", "--state", "run.state", "--save", "s.json",
  ]

  /// Holds a scan, waits until the program is in it, and kills the program.
  private func cutOff(_ cut: Cut, _ client: Client, _ folder: String) throws {
    func point(_ mode: Value) throws -> Int64 {
      try client.run(
        [
          "configureFailPoint": .string(cut.point), "mode": mode,
          "data": ["nss": .string("shop.\(cut.collection)"), "shouldCheckForInterrupt": true],
        ], on: "admin")["count"]?.integerValue ?? 0
    }
    let entered = try point(["skip": .int32(cut.passes)])
    let child = try MartletBinary.start(Self.command, directory: folder)
    let held = try client.run(
      [
        "waitForFailPoint": .string(cut.point), "timesEntered": .integer(entered + 1),
        "maxTimeMS": 120_000,
      ], on: "admin", options: .init(maxTime: .seconds(120)))
    #expect(held["ok"]?.isTruthy == true)
    child.kill(SIGKILL)
    #expect(child.wait().exitCode == -SIGKILL)
    _ = try point("off")
  }

  /// What a run found: all but times, and what a sample may find or not.
  private func findings(_ report: Document) -> Set<String> {
    let checks = (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
      .filter {
        ![
          "oplog-window", "disk", "clock", "connections", "active-work", "snapshot", "type-drift",
        ].contains($0["id"]?.stringValue)
      }
      .map { ExtendedJSON.text($0.filteringElements { $0.key != "durationMs" }, .relaxed) }
    return Set(checks)
  }

  private func notes(_ report: Document) -> String {
    (report["notes"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: "\n")
  }

  private func collections(_ folder: String) throws -> Document {
    let text = try String(contentsOfFile: "\(folder)/s.json", encoding: .utf8)
    let list = try ExtendedJSON.parseDocument(text)["collections"]?.arrayValue ?? []
    return Document(
      list.compactMap(\.documentValue).map { entry in
        let kept = entry.filteringElements { !["storageSize", "indexSize"].contains($0.key) }
        return (entry["name"]?.stringValue ?? "", .document(kept))
      })
  }

  @Test("by SIGKILL goes on where it stood, says so, and finds what an uncut one finds")
  func goesOn() throws {
    try Self.run { client, folder in
      for cut in Self.cuts {
        try write(cut.rules, folder)
        let whole = try MartletBinary.run(
          ["validate", "before", "--json", "--save", "s.json"], directory: folder)
        let expected = try ExtendedJSON.parseDocument(whole.stdout)
        let before = try collections(folder)
        #expect(notes(expected) == "")

        try cutOff(cut, client, folder)
        let resumed = try MartletBinary.run(Self.command, directory: folder)
        #expect(resumed.exitCode == whole.exitCode, "\(cut.name): \(resumed.stderr)")
        let report = try ExtendedJSON.parseDocument(resumed.stdout)
        #expect(notes(report).contains(cut.words), "\(cut.name): \(notes(report))")
        #expect(resumed.stderr.contains(cut.words), "\(cut.name)")
        let differences = findings(report).symmetricDifference(findings(expected))
        #expect(differences == [], "\(cut.name)")
        #expect(try collections(folder) == before, "\(cut.name)")
        #expect(!FileManager.default.fileExists(atPath: "\(folder)/run.state"))
      }
    }
  }

  private static let snapshot = cuts[5]

  /// The moment of the snapshot, as the killed run kept it.
  private func moment(_ folder: String) throws -> Value {
    let text = try String(contentsOfFile: "\(folder)/run.state", encoding: .utf8)
    let times = text.split(separator: "\n").compactMap { line in
      try? ExtendedJSON.parseDocument(String(line))["slice"]?.documentValue?["time"]
    }
    return try #require(times.last)
  }

  @Test("a snapshot whose moment the server no longer has says so, and how sure it is")
  func historyIsGone() throws {
    try Self.run { client, folder in
      try write("", folder)
      #expect(
        try MartletBinary.run(
          ["validate", "before", "--save", "s.json"], directory: folder
        ).exitCode == 0)
      let before = try collections(folder)
      try cutOff(Self.snapshot, client, folder)
      let moment = try moment(folder)
      _ = try client.run(
        ["setParameter": 1, "minSnapshotHistoryWindowInSeconds": 0], on: "admin")
      func isGone() -> Bool {
        do {
          _ = try client.run(
            [
              "find": "after",
              "readConcern": ["level": "snapshot", "atClusterTime": moment],
            ], on: "shop")
          return false
        } catch {
          return error.code == 239
        }
      }
      try Patience.wait(for: "the moment to be gone") {
        _ = try client.database("other").insert("writes", [["x": 1]])
        return isGone()
      }

      let resumed = try MartletBinary.run(Self.command, directory: folder)
      #expect(resumed.exitCode == 0, "\(resumed.stderr)")
      let report = try ExtendedJSON.parseDocument(resumed.stdout)
      #expect(notes(report).contains("had been read for the snapshot"), "\(notes(report))")
      #expect(notes(report).contains("lines is read anew: the server no longer had the moment"))
      let sure = (report["checks"]?.arrayValue ?? []).compactMap(\.documentValue)
        .first { $0["id"] == "snapshot" }
      #expect(
        sure?["certainty"]?.documentValue?["level"] == "estimated", "\(String(describing: sure))")
      #expect(sure?["message"]?.stringValue?.contains("exact if nobody wrote between") == true)
      #expect(try collections(folder) == before)
      let text = try String(contentsOfFile: "\(folder)/s.json", encoding: .utf8)
      #expect(text.contains("each collection by itself"))
    }
  }

  @Test("a snapshot of a standalone goes on too, but not behind a document that is gone")
  func standalone() throws {
    try Self.run(standalone: true) { client, folder in
      try write("", folder)
      let whole = try MartletBinary.run(
        ["validate", "before", "--save", "s.json"], directory: folder)
      #expect(whole.exitCode == 0, "\(whole.stdout)")
      let before = try collections(folder)
      try cutOff(Self.snapshot, client, folder)
      let kept = try String(contentsOfFile: "\(folder)/run.state", encoding: .utf8)
      let resumed = try MartletBinary.run(Self.command, directory: folder)
      #expect(resumed.stderr.contains(Self.snapshot.words), "\(resumed.stderr)")
      #expect(try collections(folder) == before)

      // The same once more; then the document at which it stood is deleted.
      try kept.write(toFile: "\(folder)/run.state", atomically: true, encoding: .utf8)
      let lines = kept.split(separator: "\n").compactMap {
        try? ExtendedJSON.parseDocument(String($0))["slice"]?.documentValue
      }
      let last = try #require(lines.last { $0.has("token") }?["last"])
      _ = try client.database("shop").delete("lines", [["q": ["_id": last], "limit": 1]])
      let anew = try MartletBinary.run(Self.command, directory: folder)
      #expect(anew.exitCode == 0, "\(anew.stderr)")
      #expect(!anew.stderr.contains(Self.snapshot.words), "\(anew.stderr)")
      let after = try collections(folder)
      #expect(after["lines"]?.documentValue?["count"] == 159_999)
      #expect(after["orders"] == before["orders"])
    }
  }
}
