import ArgumentParser
import Dump
import Glibc
import MongoDB

/// A command that does something. It says what; parsing, signals, errors and exit codes are done here.
protocol LeafCommand: ParsableCommand {
  var options: GlobalOptions { get }

  /// Moves much data by several threads: has one heap for all of them.
  static var movesData: Bool { get }

  /// Does it all. What it throws is reported; what it returns is the exit code.
  func execute(_ context: CommandContext) throws -> CommandStatus
}

extension LeafCommand {
  static var movesData: Bool { false }

  func run() throws {
    // Before the first thread, which would get a heap of its own.
    if Self.movesData { ProcessMemory.useOneHeap() }
    // Also where no server is asked: loading libmongoc has left something in shared memory.
    DriverLog.forward(to: nil)
    let surroundings = Settings.Surroundings.ofProcess()
    let (log, complaint) = eventLog(surroundings)
    let console = Console(
      Console.appearance(options, environment: surroundings.environment), log: log)
    if let complaint { console.warn("\(complaint)") }
    console.record(.info, "begins")
    let started = console.uptime()
    let cancellation = Cancellation()
    Signals.listen(cancellation, console: console)
    let context = CommandContext(
      console: console, cancellation: cancellation, options: options, surroundings: surroundings,
      person: Terminal())
    let status = status(context)
    let milliseconds = (console.uptime() - started) / .milliseconds(1)
    console.record(
      status == .done ? .info : .warning, "ends with exit code \(String(status.rawValue))",
      [
        ("exitCode", .integer(Int64(status.rawValue))),
        ("durationMs", .integer(Int64(milliseconds))),
      ])
    fflush(nil)
    // Clients are still open, see ``CommandContext/pool(_:)``: no clean-up may run beside them.
    _exit(status.rawValue)
  }

  /// The log that a flag or the environment asks for, or why there is none.
  private func eventLog(_ surroundings: Settings.Surroundings) -> (EventLog?, String?) {
    let named = surroundings.environment["MARTLET_LOG"].flatMap { $0.isEmpty ? nil : $0 }
    guard let path = options.logFile ?? named else { return (nil, nil) }
    let asked = options.logFormat ?? surroundings.environment["MARTLET_LOG_FORMAT"]
    let words = CommandLine.arguments.dropFirst().prefix { !$0.hasPrefix("-") }.prefix(2)
    let log = EventLog(
      path: path, format: asked.flatMap(EventLog.Format.init(rawValue:)) ?? .text,
      command: words.joined(separator: " "))
    return (log, log == nil ? "the log \(path) cannot be written" : nil)
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
      WindowError.tell(report, context.surroundings)
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
