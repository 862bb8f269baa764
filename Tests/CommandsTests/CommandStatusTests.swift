import ArgumentParser
import Migration
import MongoDB
import Testing

@testable import Commands

@Suite("exit codes")
struct CommandStatusTests {
  @Test("the table is the design's")
  func table() {
    #expect(
      CommandStatus.allCases.map(\.rawValue) == [0, 1, 2, 3, 4, 5, 10, 11, 12, 20, 64, 75, 130])
    for status in CommandStatus.allCases {
      #expect(CommandStatus.help.contains(" \(status.rawValue)  \(status.meaning)"))
    }
  }

  @Test(
    "every kind of server error has its code",
    arguments: [
      (.unreachable, .notReady), (.authentication, .accessDenied), (.privilege, .accessDenied),
      (.server, .failed), (.writeErrors, .failed), (.writeConcern, .failed), (.timedOut, .failed),
      (.leaseLost, .locked), (.locked, .locked), (.invalidURI, .usage), (.client, .failed),
      (.malformedReply, .failed), (.cancelled, .stopped),
    ] as [(MongoError.Kind, CommandStatus)])
  func mongoErrors(kind: MongoError.Kind, status: CommandStatus) {
    let report = ErrorReport(MongoError(kind, "it broke", hint: "mend it"))
    #expect(report.status == status)
    #expect(report.message == "it broke")
    #expect(report.hint == "mend it")
    #expect(report.code == String(describing: kind))
  }

  @Test(
    "a run that was stopped says by what",
    arguments: [
      (.interrupted(2), .interrupted), (.interrupted(15), .stopped), (.interrupted(1), .stopped),
      (.stopped, .stopped), (.leaseLost, .locked),
    ] as [(Cancellation.Reason, CommandStatus)])
  func stopped(reason: Cancellation.Reason, status: CommandStatus) {
    let report = ErrorReport(MongoError(.cancelled, "stopped"), stopped: reason)
    #expect(report.status == status)
  }

  @Test("a command line that makes no sense is usage")
  func usage() {
    for arguments in [["--bogus"], ["init", "--environment", "x"], ["nothing"]] {
      let error = #expect(throws: (any Error).self) {
        try MartletCommand.parseAsRoot(arguments)
      }
      if let error { #expect(MartletCommand.exitCode(for: error).rawValue == 64) }
    }
  }

  @Test("a run stopped at a prompt says by what")
  func stoppedAtPrompt() {
    let error = CommandError(.interrupted, "interrupted")
    #expect(ErrorReport(error, stopped: .interrupted(2)).status == .interrupted)
    #expect(ErrorReport(error, stopped: .interrupted(15)).status == .stopped)
  }

  @Test("an error of the migrations says where, all of it, and has its code")
  func migrationErrors() {
    var error = MigrationError(
      .syntax, "odd", file: "a.yaml", line: 2, column: 3, hint: "mend it")
    error.others = [MigrationError(.gap, "gap")]
    let report = ErrorReport(error)
    #expect(report.message == "a.yaml:2:3: odd\ngap")
    #expect(report.hint == "mend it" && report.status == .usage)
    let edited = MigrationError(.init(rawValue: "edited"), "edited")
    #expect(ErrorReport(edited).status == .historyConflict)
  }

  @Test("an error that nobody knows is a failure")
  func unknown() {
    struct Odd: Error {}
    #expect(ErrorReport(Odd()).status == .failed)
  }
}
