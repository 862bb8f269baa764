import ArgumentParser

/// `martlet dev`: refused in production.
struct DevGroup: ParsableCommand {
  static let configuration = CommandConfiguration.martlet(
    "dev", "For development databases: sample data, drop, start afresh.",
    subcommands: [SeedCommand.self, ResetCommand.self, FreshCommand.self])
}
