import BSON
import Foundation
import MongoDB
import TestSupport
import Testing
import Validation
import Yams

/// What the pages and examples about validation and windows say is so.
@Suite struct ValidationPageTests {
  private static func text(_ path: String) throws -> String {
    try String(contentsOf: ReferenceRulesTests.root.appending(path: path), encoding: .utf8)
  }

  @Test("docs/validation.md lists every check, with what it asks")
  func checks() throws {
    let rows = try Self.text("docs/validation.md")
      .matches(of: /(?m)^\| `(?<id>[a-z-]+)` \| (?<place>[^|]+) \| (?<asks>.+)\? \|$/)
      .map { [String($0.output.id), String($0.output.place), String($0.output.asks)] }
    #expect(rows == CheckCatalog.all.map { [$0.id, $0.place, $0.asks] })
    #expect(Set(rows.map { $0[0] }).count == rows.count)
  }

  @Test("every id that the code gives a result is in the catalogue, and no other")
  func ids() throws {
    var found: Set<String> = []
    for folder in ["Sources/Validation", "Sources/Commands/Validate", "Sources/Commands/Doctor"] {
      let url = ReferenceRulesTests.root.appending(path: folder)
      let files = FileManager.default.enumerator(atPath: url.path)?.compactMap { $0 as? String }
      for file in files ?? [] where file.hasSuffix(".swift") {
        let text = try String(contentsOf: url.appending(path: file), encoding: .utf8)
        let calls =
          /(?:\.(?:passed|found|skipped|broken|ok|warning|failed|init)|Probe|add|attempt|CheckResult|let id =)\(?\s*"(?<id>[a-z]+(?:-[a-z]+)*)"/
        for match in text.matches(of: calls) { found.insert(String(match.output.id)) }
      }
    }
    let known = Set(CheckCatalog.all.map(\.id))
    #expect(known.subtracting(found) == [], "in the catalogue, not in the code")
    #expect(found.subtracting(known) == [], "in the code, not in the catalogue")
  }

  @Test("the rules that docs/validation.md shows can be loaded, one of every kind")
  func rules() throws {
    let page = try Self.text("docs/validation.md")
    let block = try #require(page.firstMatch(of: /```yaml rules\n(?<text>(?s:.+?))```/))
    let rules = try RulesLoader().parse(String(block.output.text), file: "docs/validation.md")
    #expect(!rules.collections.isEmpty && !rules.indexes.isEmpty && !rules.references.isEmpty)
    #expect(!rules.unique.isEmpty && !rules.schemas.isEmpty && !rules.fields.isEmpty)
    #expect(!rules.empty.isEmpty && !rules.queries.isEmpty && !rules.files.isEmpty)
    #expect(!rules.commands.isEmpty && !rules.audits.isEmpty)
    #expect(rules.has(.started))
  }

  @Test(
    "a CI example is YAML, and each martlet command in it exists",
    arguments: ["examples/ci/github-actions.yml", "examples/ci/gitlab-ci.yml"])
  func examples(_ path: String) throws {
    let text = try Self.text(path)
    #expect(try Yams.load(yaml: text) is [String: Any])
    let commands = text.matches(
      of: /(?m)^ *(?:- )?(?:run: )?martlet (?<words>[a-z]+(?: [a-z]+)*)(?<options>[^\n|>]*)/)
    #expect(commands.count >= 5)
    for required in ["migrate lint", "migrate plan", "migrate test"] {
      #expect(text.contains("martlet \(required)"), "\(path)")
    }
    for command in commands {
      let words = command.output.words.split(separator: " ").map(String.init)
      let result = try MartletBinary.run(words + ["--help"])
      #expect(result.exitCode == 0, "\(path): martlet \(words)")
      for option in command.output.options.matches(of: /--[a-z-]+/) {
        #expect(result.stdout.contains(option.output), "\(path): \(words) \(option.output)")
      }
    }
  }

  @Test("the runbook script does what it says: dry-run, bad words, help")
  func script() throws {
    try MigrateProject.run { (project) throws in
      let script = ReferenceRulesTests.root.appending(path: "scripts/runbook.sh").path
      let binary = try TestServer.environment("MARTLET_BINARY")
      func run(_ words: String...) throws -> ChildProcess.Result {
        try ChildProcess(
          script, words, environment: ["MARTLET": binary, "DEBUG": nil],
          directory: project.folder.path
        ).wait()
      }
      let help = try run("--help")
      #expect(help.exitCode == 0 && help.stdout.contains("resume"))
      let dry = try run("dry-run")
      #expect(dry.exitCode == 0, "\(dry.stderr)")
      #expect(dry.stdout.contains("martlet migrate up"))
      #expect(try run("nonsense").exitCode == 64)
      try project.server.withDatabase { _ = try $0.insert("users", [["_id": 1]]) }
      let done = try run("run", "--yes", "--no-backup")
      #expect(done.exitCode == 0, "\(done.stderr)")
      #expect(try project.states() == ["applied", "applied", "applied"])
      let log = try String(
        contentsOf: project.folder.appending(path: "logs/runbook.log"), encoding: .utf8)
      #expect(log.contains("the report is reports/"))
      #expect(try run("resume").exitCode == 64)
    }
  }

  @Test(
    "the runbook script copies the backup of this window to S3, wherever it is called, and no other",
    arguments: [["--config", "../martlet.yaml"], ["--config=../martlet.yaml"], []])
  func copies(_ config: [String]) throws {
    try MigrateProject.run { (project) throws in
      try project.server.withDatabase { _ = try $0.insert("users", [["_id": 1]]) }
      // In a folder below that of martlet.yaml, beside which the window keeps its own files.
      let folder = project.folder.appending(path: "below")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      let binary = try TestServer.environment("MARTLET_BINARY")
      // What would go to S3 is written down.
      let program = project.folder.appending(path: "bin/martlet").path
      let text = """
        #!/bin/sh
        case "$1 $2" in
          "backup copy") echo "$@" >>'\(project.folder.path)/copied'; exit ;;
        esac
        exec '\(binary)' "$@"

        """
      try ChildProcess.writeProgram(text, to: program)
      let script = ReferenceRulesTests.root.appending(path: "scripts/runbook.sh").path
      func run(_ more: String...) throws -> ChildProcess.Result {
        try ChildProcess(
          script, ["run", "--yes"] + more + config,
          environment: ["MARTLET": program, "DEBUG": nil, "S3_BUCKET": "bucket"],
          directory: folder.path
        ).wait()
      }
      let copied = project.folder.appending(path: "copied")
      let bare = try run("--no-backup")
      #expect(bare.exitCode == 0, "\(bare.stderr)")
      #expect(!bare.stderr.contains("S3"), "\(bare.stderr)")
      #expect(!FileManager.default.fileExists(atPath: copied.path))

      let done = try run()
      #expect(done.exitCode == 0, "\(done.stderr)")
      #expect(!done.stderr.contains("not copied"), "\(done.stderr)")
      let list = try project.martlet(["backup", "list", "--json"])
      let sets = try ExtendedJSON.parseDocument(list.stdout)["backups"]?.arrayValue ?? []
      let id = try #require(sets.first?.documentValue?["id"]?.stringValue)
      let words = (["backup copy \(id) rclone::s3,env_auth:bucket/backups"] + config)
        .joined(separator: " ")
      #expect(try String(contentsOf: copied, encoding: .utf8) == words + "\n")
    }
  }
}
