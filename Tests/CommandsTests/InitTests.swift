import ArgumentParser
import Foundation
import MongoDB
import Testing

@testable import Commands

@Suite("init")
struct InitTests {
  private func initialise(_ folder: String, _ arguments: String...) throws -> (
    CommandStatus, Recording
  ) {
    let recording = Recording()
    let command = try InitCommand.parse(arguments)
    let context = CommandContext(
      console: recording.console(.init(json: command.options.json)), cancellation: Cancellation(),
      options: command.options, surroundings: .init(environment: [:], folder: folder),
      person: Scripted(isPresent: false, answer: nil))
    return (command.status(context), recording)
  }

  private func text(_ path: String) throws -> String {
    try String(contentsOfFile: path, encoding: .utf8)
  }

  @Test("what it writes can be read")
  func readable() throws {
    try withFolder { folder in
      let (status, recording) = try initialise(folder, "--db", "on", "--uri", "mongodb://h:1/?a=b")
      #expect(status == .done)
      #expect(recording.error.hasSuffix("next: martlet doctor\n"))
      let settings = try Settings.resolve(options(), in: .init(environment: [:], folder: folder))
      #expect(settings.database?.value == "on")
      #expect(settings.uri.value == "mongodb://h:1/?a=b")
      #expect(settings.environment.value == .development)
      #expect(FileManager.default.fileExists(atPath: settings.migrationsDirectory.value))
      #expect(FileManager.default.fileExists(atPath: settings.validationRules.value))
    }
  }

  @Test("a second run changes nothing, and an edited file is kept")
  func twice() throws {
    try withFolder { folder in
      _ = try initialise(folder)
      let before = try text(folder + "/martlet.yaml")
      let (again, quiet) = try initialise(folder)
      #expect(again == .done && !quiet.error.contains("warning"))
      #expect(try text(folder + "/martlet.yaml") == before)

      let (other, warned) = try initialise(folder, "--db", "other")
      #expect(other == .done && warned.error.contains("--force"))
      #expect(try text(folder + "/martlet.yaml") == before)
    }
  }

  @Test("--force replaces and keeps the old file")
  func force() throws {
    try withFolder { folder in
      _ = try initialise(folder, "--db", "one")
      let before = try text(folder + "/martlet.yaml")
      _ = try initialise(folder, "--db", "two", "--force")
      #expect(try text(folder + "/martlet.yaml").contains("database: two"))
      #expect(try text(folder + "/martlet.yaml.bak") == before)
    }
  }

  @Test("a password is not written to a file")
  func password() throws {
    try withFolder { folder in
      let (status, recording) = try initialise(folder, "--uri", "mongodb://u:hunter2@h")
      #expect(status == .usage)
      #expect(!recording.error.contains("hunter2"))
      #expect(!FileManager.default.fileExists(atPath: folder + "/martlet.yaml"))
    }
  }
}
