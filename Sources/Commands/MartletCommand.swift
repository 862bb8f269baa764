import ArgumentParser

/// The command `martlet`.
struct MartletCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "martlet",
    abstract: "Migrations, backups and validation for MongoDB, for maintenance windows.",
    version: Version.text,
    subcommands: [
      InitCommand.self, DoctorCommand.self, MigrateGroup.self, DumpCommand.self, LoadCommand.self,
      InspectCommand.self, BackupGroup.self, RestoreCommand.self, OplogGroup.self,
      ValidateGroup.self, WindowCommand.self, ScheduleCommand.self, NotifyGroup.self,
      MetricsCommand.self,
      DevGroup.self,
    ])
}

enum Version {
  static let text = "0.1.0"
}
