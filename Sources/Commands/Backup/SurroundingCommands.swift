import ArgumentParser
import Backup
import Foundation

/// `martlet schedule`.
struct ScheduleCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "schedule", "Print crontab lines or systemd units for backups.",
    discussion: """
      Nothing is installed. scripts/cron-setup.sh puts such lines into the crontab and takes them out again.

      EXAMPLES:
        martlet schedule cron | crontab -
        martlet schedule systemd --hour 3
      """)

  enum System: String, ExpressibleByArgument, CaseIterable { case cron, systemd }

  @OptionGroup var options: GlobalOptions

  @Argument(help: "cron or systemd.")
  var system: System

  @Option(help: ArgumentHelp("Hour of the daily backup, local time.", valueName: "0-23"))
  var hour = 2

  @Option(help: ArgumentHelp("Minute.", valueName: "0-59"))
  var minute = 0

  func validate() throws {
    guard (0...23).contains(hour), (0...59).contains(minute) else {
      throw ValidationError("--hour is 0 to 23, --minute 0 to 59")
    }
  }

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let settings = try context.settings()
    if settings.file == nil {
      context.console.warn(
        "there is no \(ConfigurationFile.name) here: the jobs would run in \(settings.folder) with defaults"
      )
    }
    warnOfAbsent(context)
    var schedule = Schedule(program: program(context), folder: settings.folder)
    schedule.hour = hour
    schedule.minute = minute
    if options.json {
      let units: [(String, JSONValue)] =
        system == .cron
        ? [("crontab", .string(schedule.cron))]
        : schedule.systemd.map { ($0.name, .string($0.text)) }
      context.console.out(JSONValue.object(units).text())
    } else if system == .cron {
      context.console.out(schedule.cron)
    } else {
      for unit in schedule.systemd {
        context.console.out("# /etc/systemd/system/\(unit.name)\n\(unit.text)")
      }
      context.console.next("systemctl enable --now martlet-backup.timer martlet-oplog.service")
    }
    return .done
  }
}

extension ScheduleCommand {
  /// A job has neither this command's flags nor this shell's variables, and would go to another server.
  private func warnOfAbsent(_ context: CommandContext) {
    let variables = [
      "MARTLET_URI", "MARTLET_DB", "MARTLET_USERNAME", "MARTLET_PASSWORD", "MONGO_PASSWORD",
      "MARTLET_AGE_IDENTITY",
    ].filter { context.surroundings.sourced($0) != nil }
    let flags = [("--uri", options.uri), ("--db", options.db)].filter { $0.1 != nil }.map(\.0)
    guard !variables.isEmpty || !flags.isEmpty else { return }
    let place =
      system == .cron
      ? "lines NAME=value above them in the crontab"
      : "the file .env beside it, which the units read"
    context.console.warn(
      "the jobs will not have \((flags + variables).joined(separator: ", ")): put what they say into "
        + "\(ConfigurationFile.name), or variables into \(place)")
  }

  /// Absolute: neither cron nor systemd has the PATH of whoever asks.
  private func program(_ context: CommandContext) -> String {
    let name = CommandLine.arguments.first ?? "martlet"
    if name.contains("/") { return URL(fileURLWithPath: name).standardizedFileURL.path }
    let folders = (context.surroundings.environment["PATH"] ?? "").split(separator: ":")
    return folders.map { "\($0)/\(name)" }.first {
      $0.hasPrefix("/") && FileManager.default.isExecutableFile(atPath: $0)
    } ?? name
  }
}

/// `martlet notify`.
struct NotifyGroup: ParsableCommand {
  static let configuration = CommandConfiguration.martlet(
    "notify", "Who is told of backups.",
    subcommands: [NotifyTestCommand.self, NotifyFailureCommand.self])
}

/// `martlet notify test`.
struct NotifyTestCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "test", "Send a mail and call the webhook, as a backup would.")

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let notifier = try BackupSettings(context, stores).notifier
    guard notifier.isConfigured else {
      throw CommandError(
        .configuration, "nobody is to be told",
        hint: "set notify.email or notify.webhook in martlet.yaml, or BACKUP_NOTIFICATION_EMAIL")
    }
    let failures = notifier.send(.test)
    if options.json {
      context.console.out((["failures": .strings(failures)] as JSONValue).text())
    }
    if failures.isEmpty { context.console.status("sent") }
    return failures.isEmpty ? .done : .failed
  }
}

/// `martlet notify failure`.
struct NotifyFailureCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "failure", "Tell that a unit of systemd failed: what its OnFailure= starts.",
    discussion: """
      What ended with an exit code has told by itself, and is not told again; the capture of the oplog has \
      not, because it is started again.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  @Argument(help: "The unit's name.")
  var unit: String

  func execute(_ context: CommandContext) throws -> CommandStatus {
    // - Source: systemd.exec(5), MONITOR_SERVICE_RESULT, since 251.
    let result = context.surroundings.environment["MONITOR_SERVICE_RESULT"] ?? "failed"
    guard result != "exit-code" || unit.contains("oplog") else {
      context.console.status("\(unit) has told by itself")
      return .done
    }
    let name = unit.filter { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.@:\\".contains($0)) }
    let failures = try BackupSettings(context, stores).notifier.send(.unitFailed(name, result))
    return failures.isEmpty ? .done : .failed
  }
}

/// `martlet metrics`.
struct MetricsCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "metrics", "Print what Prometheus gets to see. Needs no server.")

  @OptionGroup var options: GlobalOptions
  @OptionGroup var stores: StoreOptions

  func execute(_ context: CommandContext) throws -> CommandStatus {
    let text = try BackupMetrics(try BackupSettings(context, stores).store()).text()
    if options.json {
      context.console.out((["metrics": .string(text)] as JSONValue).text())
    } else {
      context.console.out(text)
    }
    return .done
  }
}
