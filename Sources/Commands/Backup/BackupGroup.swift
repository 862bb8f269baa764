import ArgumentParser

/// `martlet backup`: one file for each command beside this one.
struct BackupGroup: ParsableCommand {
  static let configuration = CommandConfiguration.martlet(
    "backup", "Backup sets: make them, read them back, keep them by policy.",
    groups: [
      CommandGroup(
        name: "Look", subcommands: [BackupListCommand.self, BackupShowCommand.self]),
      CommandGroup(name: "Make", subcommands: [BackupRunCommand.self, BackupCopyCommand.self]),
      CommandGroup(
        name: "Prove", subcommands: [BackupVerifyCommand.self, BackupDrillCommand.self]),
      CommandGroup(name: "Tidy", subcommands: [BackupPruneCommand.self]),
    ])
}
