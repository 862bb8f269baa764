import BSON
import Foundation
import MongoDB
import TestSupport
import Testing

/// What the pages show has to work: each `$ martlet …` line of a console block is run, in order, in a
/// folder with the reference migrations and on a server of its own, whose database is `shop`.
@Suite struct DocumentationTests {
  static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  static var pages: [String] {
    let docs =
      (try? FileManager.default.contentsOfDirectory(atPath: root.appending(path: "docs").path))
      ?? []
    return ["README.md"] + docs.filter { $0.hasSuffix(".md") }.sorted().map { "docs/\($0)" }
  }

  @Test(arguments: pages)
  func `the commands that a page shows work`(page: String) throws {
    let text = try String(contentsOf: Self.root.appending(path: page), encoding: .utf8)
    let blocks = Self.consoleBlocks(text)
    guard !blocks.isEmpty else { return }
    // Their own server: a dump and a load that name no database concern every database.
    let own = try PrivateServer()
    for block in blocks {
      try TestServer.run(uri: own.uri) { server in
        let folder = FileManager.default.temporaryDirectory
          .appending(path: "martlet-doc-\(server.databaseName)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        if !block.contains(where: { $0.hasPrefix("martlet init") }) {
          try FileManager.default.copyItem(
            at: Self.root.appending(path: "migrations"), to: folder.appending(path: "migrations"))
        }
        if block.contains(where: { $0.hasPrefix("martlet backup run") }) {
          // An empty database is not backed up.
          _ = try server.pool.withClient {
            try $0.database("shop").insert("orders", [["_id": 1]])
          }
        }
        for command in block {
          let words = command.split(separator: " ").dropFirst().map(String.init)
          let result = try MartletBinary.run(
            words, environment: ["MARTLET_URI": server.uri, "MARTLET_DB": "shop"],
            directory: folder.path)
          #expect(result.exitCode == 0, "\(page): \(command)\n\(result.stderr)")
        }
      }
    }
  }

  @Test func `the commands of the demo work, in its order`() throws {
    let script = try String(
      contentsOf: Self.root.appending(path: "scripts/demo.sh"), encoding: .utf8)
    let commands = script.matches(of: /(?m)^  run martlet (?<words>.+)$/).map {
      $0.output.words.split(separator: " ").map(String.init)
    }
    #expect(commands.count > 8)
    try TestServer.run { server in
      for words in commands {
        let result = try MartletBinary.run(
          words, environment: ["MARTLET_URI": server.uri, "MARTLET_DB": server.databaseName],
          directory: Self.root.path)
        #expect(result.exitCode == 0, "\(words)\n\(result.stderr)")
      }
    }
  }

  @Test func `the README has commands to run`() throws {
    let text = try String(contentsOf: Self.root.appending(path: "README.md"), encoding: .utf8)
    #expect(Self.consoleBlocks(text).joined().count > 5)
  }

  @Test(arguments: pages)
  func `links to files lead somewhere`(page: String) throws {
    let url = Self.root.appending(path: page)
    let text = try String(contentsOf: url, encoding: .utf8)
    for match in text.matches(of: /\]\((?<target>[^)#:]+)\)/) {
      let target = url.deletingLastPathComponent().appending(path: String(match.output.target))
      #expect(
        FileManager.default.fileExists(atPath: target.path), "\(page): \(match.output.target)")
    }
  }

  /// The `$ martlet …` lines of each block fenced as `console`.
  static func consoleBlocks(_ text: String) -> [[String]] {
    var blocks: [[String]] = []
    var isInside = false
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("```") {
        isInside = line == "```console"
        if isInside { blocks.append([]) }
      } else if isInside, line.hasPrefix("$ martlet") {
        blocks[blocks.count - 1].append(String(line.dropFirst(2)))
      }
    }
    return blocks
  }
}
