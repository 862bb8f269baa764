import ArgumentParser
import Foundation
import MongoDB
import Testing

@testable import Commands

@Suite("settings")
struct SettingsTests {
  @Test("a flag wins over the environment, that over the file, that over the default")
  func precedence() throws {
    let file = "uri: mongodb://file\ndatabase: file"
    let environment = ["MARTLET_URI": "mongodb://environment", "MARTLET_DB": "environment"]
    let flags = ["--uri", "mongodb://flag", "--db=flag"]

    let all = try settings(flags, environment: environment, file: file)
    #expect(all.uri.value == "mongodb://flag" && all.uri.source == .flag("--uri"))
    #expect(all.database?.value == "flag" && all.database?.source == .flag("--db"))
    let two = try settings(environment: environment, file: file)
    #expect(two.uri.value == "mongodb://environment")
    #expect(two.database?.source == .environment("MARTLET_DB"))
    let one = try settings(file: file)
    #expect(one.uri.value == "mongodb://file" && one.database?.source == .file)
    let none = try settings()
    #expect(none.uri.source == .standard && none.database == nil && none.file == nil)
    #expect(throws: CommandError.self) { try none.requiredDatabase() }
  }

  @Test("the runbook's variables make a connection")
  func runbook() throws {
    let settings = try settings(environment: [
      "MONGO_HOST": "db.example", "MONGO_PORT": "27018", "MONGO_USER": "ops",
      "MONGO_PASSWORD": "p@ss", "BACKUP_DIR": "/b", "RETENTION_DAYS": "7",
    ])
    #expect(settings.uri.value == "mongodb://db.example:27018")
    #expect(settings.username?.value == "ops")
    #expect(settings.password?.value == "p@ss")
    #expect(settings.backupStore.value == "/b")
    #expect(settings.backupKeepWithin?.value == .seconds(7 * 86_400))
  }

  @Test("two sources that name different databases are not guessed between")
  func ambiguousDatabase() throws {
    let file = "database: shop"
    let error = try #require(throws: CommandError.self) {
      try settings(["--uri", "mongodb://h/staging"], file: file)
    }
    #expect(error.hint == "say which with --db")
    #expect(
      try settings(["--uri", "mongodb://h/staging", "--db", "staging"], file: file).database?.value
        == "staging")
    #expect(try settings(["--uri", "mongodb://h/admin"], file: file).database?.value == "shop")
    #expect(try settings(["--uri", "mongodb://h/shop"], file: file).database?.value == "shop")
    #expect(try settings(["--uri", "mongodb://h/x?w=1"]).database?.value == "x")
  }

  @Test("a password on the command line is warned of, one in the environment is not")
  func passwordWarning() throws {
    #expect(try settings(["--uri", "mongodb://u:p@h"]).warnings.count == 1)
    #expect(try settings(["--uri", "mongodb://u@h"]).warnings.isEmpty)
    #expect(try settings(environment: ["MARTLET_URI": "mongodb://u:p@h"]).warnings.isEmpty)
  }

  @Test("the password file's first line is the password")
  func passwordFile() throws {
    try withFolder { folder in
      try "s3cret\r\nmore".write(toFile: folder + "/pw", atomically: true, encoding: .utf8)
      let settings = try Settings.resolve(
        options("--password-file", "pw"), in: .init(environment: [:], folder: folder))
      #expect(settings.password?.value == "s3cret")
      #expect(throws: CommandError.self) {
        try Settings.resolve(
          options("--password-file", "none"), in: .init(environment: [:], folder: folder))
      }
    }
  }

  @Test("the file is found upwards, and its paths start from its folder")
  func upwards() throws {
    try withFolder { folder in
      try "database: shop\nmigrations: { directory: ../m }"
        .write(toFile: folder + "/martlet.yaml", atomically: true, encoding: .utf8)
      let deep = folder + "/a/b"
      try FileManager.default.createDirectory(atPath: deep, withIntermediateDirectories: true)
      let found = try Settings.resolve(options(), in: .init(environment: [:], folder: deep))
      #expect(found.file == folder + "/martlet.yaml")
      let above = String(
        folder.prefix { _ in true }.split(separator: "/").dropLast().joined(separator: "/"))
      #expect(found.migrationsDirectory.value == "/" + above + "/m")
      #expect(found.validationRules.value == folder + "/validation/rules.yaml")

      let flag = try Settings.resolve(
        options(), migrations: MigrationsOptions.parse(["--migrations-dir", "here"]),
        in: .init(environment: [:], folder: deep))
      #expect(flag.migrationsDirectory.value == deep + "/here")
    }
  }

  @Test("a configuration file that was named has to be there")
  func namedFile() throws {
    let error = try #require(throws: CommandError.self) { try settings(["--config", "no.yaml"]) }
    #expect(ErrorReport(error).status == .usage)
  }

  @Test("an option is added to a connection string")
  func addingOption() {
    func added(_ uri: String) -> String {
      ConnectionText.adding(option: "authSource", "a b/c", to: uri)
    }
    #expect(added("mongodb://h") == "mongodb://h/?authSource=a%20b%2Fc")
    #expect(added("mongodb://h/db") == "mongodb://h/db?authSource=a%20b%2Fc")
    #expect(added("mongodb://h/?w=1") == "mongodb://h/?w=1&authSource=a%20b%2Fc")
  }
}

@Suite("confirmation")
struct ConfirmationTests {
  private func confirm(
    _ arguments: [String] = [], environment: String = "development", answer: String? = nil,
    present: Bool = true, json: Bool = false
  ) throws {
    let settings = try settings(file: "database: shop\nenvironment: \(environment)")
    let context = CommandContext(
      console: Recording().console(), cancellation: Cancellation(),
      options: try GlobalOptions.parse(json ? ["--json"] : []),
      surroundings: .init(environment: [:], folder: "/"),
      person: Scripted(isPresent: present, answer: answer))
    try context.confirm("Drop it?", ConfirmationOptions.parse(arguments), settings)
  }

  @Test("--yes needs nobody")
  func yes() throws {
    try confirm(["--yes"], present: false)
    try confirm(["-y"], environment: "production", present: false)
  }

  @Test("without somebody to ask it is a usage error")
  func nobody() throws {
    for json in [false, true] {
      let error = try #require(throws: CommandError.self) { try confirm(present: json, json: json) }
      #expect(error.code == .confirmation)
      #expect(ErrorReport(error).status == .usage)
    }
  }

  @Test("only a yes is a yes", arguments: [("y", true), ("YES", true), ("", false), ("n", false)])
  func answers(answer: String, agreed: Bool) {
    if agreed {
      #expect(throws: Never.self) { try confirm(answer: answer) }
    } else {
      #expect(throws: CommandError.self) { try confirm(answer: answer) }
    }
  }

  @Test("production wants the database's name")
  func production() throws {
    #expect(throws: CommandError.self) { try confirm(environment: "production", answer: "yes") }
    try confirm(environment: "production", answer: "shop")
  }
}
