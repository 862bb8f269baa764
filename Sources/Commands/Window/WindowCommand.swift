import ArgumentParser
import Migration
import Validation

/// `martlet window`: the whole runbook as one command that stops at the first doubt.
struct WindowCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "window", "The whole runbook: check, back up, verify, stop, migrate, validate, start, report.",
    discussion: """
      Runs doctor, backup run, backup verify, validate before, the stop hooks, plan (shown and confirmed), \
      migrate up, validate after, the start hooks and the health checks, and writes a report. Each stage is \
      journalled: a window that was killed says where it stood, and --resume goes on there.

      Before `up`, a failure changes nothing: services are started again. From `up` on, window.on_failure in \
      martlet.yaml decides: down takes the migrations back, restore brings back the backup, stop leaves \
      everything as it is, services stopped. The report tells what was done.

      EXAMPLES:
        martlet window --dry-run
        martlet window --yes --report reports
        martlet window --resume

      Exit 0 when all is done and healthy, else the code of the stage that failed; 75 when the time is over.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var reporting: ReportingOptions
  @OptionGroup var confirmation: ConfirmationOptions

  @Flag(help: "Print what would be done, and do nothing.")
  var dryRun = false

  @Flag(help: "Go on where the last window stopped.")
  var resume = false

  @Flag(help: "Forget a window that was not finished, and begin anew.")
  var abandon = false

  @Flag(help: "Without a backup. There is then nothing to restore.")
  var noBackup = false

  @Option(help: ArgumentHelp("Rules file (validation/rules.yaml).", valueName: "file"))
  var rules: String?

  @Flag(
    help: "Let the server validate every collection fully, while the services are stopped: slow.")
  var integrity = false

  @Option(
    help: ArgumentHelp("What would end after this time is not begun.", valueName: "time"))
  var maxRuntime: TimeSpan?

  @Option(help: ArgumentHelp("Longest time for one hook (5m).", valueName: "time"))
  var hookTimeout: TimeSpan?

  @Option(help: ArgumentHelp("Attempts of each health check (10), 3 s apart.", valueName: "number"))
  var healthAttempts: Int = 10

  func validate() throws {
    if resume && abandon { throw ValidationError("--resume and --abandon exclude each other") }
    if healthAttempts < 1 { throw ValidationError("--health-attempts must be at least 1") }
  }

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let run = try WindowRun(context, self)
    if dryRun {
      context.console.show(run.script)
      context.console.next("martlet window")
      return .done
    }
    let (report, status) = try run.run()
    _ = try context.deliver(
      report, reportingOptions(run), next: "nothing to do: the window is closed",
      failed: Self.next(status, isSignal: run.journal.recovery?.isSignal ?? false))
    return status
  }

  /// What goes on with a window that stopped: without a flag, a new one is refused.
  private static func next(_ status: CommandStatus, isSignal: Bool) -> String {
    if status == .done { return "mend what failed" }
    let goesOn = "martlet window --resume"
    if isSignal || status == .stopped { return goesOn }
    return "mend what failed, then \(goesOn) (or --abandon, to begin anew)"
  }

  /// A window always leaves a report.
  private func reportingOptions(_ run: WindowRun) -> ReportingOptions {
    var reporting = reporting
    reporting.report = run.reportFolder
    return reporting
  }
}

/// What a window would do, for `--dry-run`.
struct WindowScript: CommandOutput {
  /// Stage and the commands that it stands for.
  var lines: [(stage: WindowStage, commands: [String])]
  var failure: String

  var json: JSONValue {
    [
      "stages": .array(
        lines.map { ["stage": .string($0.stage.rawValue), "commands": .strings($0.commands)] }),
      "onFailure": .string(failure),
    ]
  }

  func write(to page: inout Page) {
    for (number, line) in lines.enumerated() {
      page.line("\("\(number + 1)."  , .dim) \(line.stage.title, .bold)")
      if line.commands.isEmpty { page.line("     \("nothing configured", .dim)") }
      for command in line.commands { page.line("     \(command)") }
    }
    page.line("on failure from `up` on: \(failure, .name)")
  }
}
