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
    let program = CommandLine.arguments.first ?? "martlet"
    let path =
      program.contains("/") ? URL(fileURLWithPath: program).standardizedFileURL.path : program
    var schedule = Schedule(program: path, folder: settings.folder)
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

/// `martlet notify`.
struct NotifyGroup: ParsableCommand {
  static let configuration = CommandConfiguration.martlet(
    "notify", "Who is told of backups.", subcommands: [NotifyTestCommand.self])
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
