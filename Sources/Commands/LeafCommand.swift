import ArgumentParser
import Glibc
import MongoDB

/// A command that does something. It says what; parsing, signals, errors and exit codes are done here.
protocol LeafCommand: ParsableCommand {
  var options: GlobalOptions { get }

  /// Does it all. What it throws is reported; what it returns is the exit code.
  func execute(_ context: CommandContext) throws -> CommandStatus
}

extension LeafCommand {
  func run() throws {
    let surroundings = Settings.Surroundings.ofProcess()
    let console = Console(Console.appearance(options, environment: surroundings.environment))
    let cancellation = Cancellation()
    Signals.listen(cancellation, console: console)
    let context = CommandContext(
      console: console, cancellation: cancellation, options: options, surroundings: surroundings,
      person: Terminal())
    let status = status(context)
    fflush(nil)
    // Clients are still open, see ``CommandContext/pool(_:)``: no clean-up may run beside them.
    _exit(status.rawValue)
  }

  /// Executes and reports; the exit code in every case.
  func status(_ context: CommandContext) -> CommandStatus {
    do {
      let status = try execute(context)
      try context.console.checkOutput()
      return status
    } catch {
      let report = ErrorReport(error, stopped: context.cancellation.reason)
      context.console.report(report)
      return report.status
    }
  }
}

extension CommandConfiguration {
  /// A command's configuration. The exit codes at the end of its help come from `runMartlet`.
  static func martlet(
    _ name: String, _ abstract: String, discussion: String = "",
    subcommands: [any ParsableCommand.Type] = [], groups: [CommandGroup] = [],
    aliases: [String] = []
  ) -> CommandConfiguration {
    CommandConfiguration(
      commandName: name, abstract: abstract,
      discussion: discussion,
      subcommands: subcommands, groupedSubcommands: groups, aliases: aliases)
  }
}
