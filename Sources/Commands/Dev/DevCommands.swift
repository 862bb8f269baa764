import ArgumentParser
import BSON
import Migration
import MongoDB

/// How much sample data.
struct SeedOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Documents in all.", valueName: "number"))
  var documents = 100_000

  @Option(help: ArgumentHelp("The same seed makes the same documents.", valueName: "number"))
  var seed: UInt64 = 1

  func validate() throws {
    if documents < 10 || documents > 100_000_000 {
      throw ValidationError("--documents is 10 to 100000000")
    }
  }

  func seed(_ project: MigrationProject, _ context: CommandContext) throws -> SeedPage {
    let seeder = ShopSeeder(
      pool: project.migrator.pool, database: project.database,
      data: ShopData(documents: documents, seed: seed), context: context)
    return SeedPage(database: project.database, outcomes: try seeder.run())
  }
}

/// `martlet dev seed`: sample data.
struct SeedCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "seed", "Fill users, products and orders with sample data.",
    discussion: """
      Collections that have documents already are left alone. Refused in production.

      EXAMPLES:
        martlet dev seed
        martlet dev seed --documents 1000 --seed 7
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var data: SeedOptions

  func execute(_ context: CommandContext) throws -> CommandStatus {
    try context.settings(migrations).refuseInProduction("dev seed")
    let project = try MigrationProject(context, migrations, filesNeeded: false)
    context.console.show(try data.seed(project, context))
    context.console.next("martlet migrate plan")
    return .done
  }
}

/// `martlet dev reset`: drops the database.
struct ResetCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "reset", "Drop the database, ledger and undo data included.",
    discussion: """
      There is no way back. Refused in production and while a run holds the lock.

      EXAMPLES:
        martlet dev reset --yes
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var confirmation: ConfirmationOptions

  func execute(_ context: CommandContext) throws -> CommandStatus {
    try context.settings(migrations).refuseInProduction("dev reset")
    let project = try MigrationProject(context, migrations, filesNeeded: false)
    try project.drop(context, confirmation)
    context.console.show(
      NamesPage(action: "reset", names: [project.database], sentence: "is dropped"))
    context.console.next("martlet migrate up")
    return .done
  }
}

/// `martlet dev fresh`: drops, migrates and fills.
struct FreshCommand: LeafCommand {
  static let configuration = CommandConfiguration.martlet(
    "fresh", "Drop the database, apply every migration and fill in sample data.",
    discussion: """
      Refused in production.

      EXAMPLES:
        martlet dev fresh --yes --documents 1000
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var migrations: MigrationsOptions
  @OptionGroup var data: SeedOptions
  @OptionGroup var lock: LockOptions
  @OptionGroup var confirmation: ConfirmationOptions

  func execute(_ context: CommandContext) throws -> CommandStatus {
    try context.settings(migrations).refuseInProduction("dev fresh")
    let project = try MigrationProject(context, migrations)
    _ = try project.files.validated()
    try project.drop(context, confirmation)
    let run = MigrationRun(context, project, confirmation)
    return try run.perform(lock) { migrator, display in
      let report = try migrator.up(cancellation: context.cancellation, observer: display.show)
      let page = FreshPage(
        run: RunPage(database: project.database, report: report),
        seed: try data.seed(project, context))
      context.console.show(page)
      context.console.next("martlet migrate status")
      return .done
    }
  }
}

private struct FreshPage: CommandOutput {
  let run: RunPage
  let seed: SeedPage

  var json: JSONValue { ["up": run.json, "seed": seed.json] }

  func write(to page: inout Page) {
    run.write(to: &page)
    seed.write(to: &page)
  }
}

extension MigrationProject {
  /// Drops the database after a yes; not under a run that is working on it.
  fileprivate func drop(
    _ context: CommandContext, _ confirmation: ConfirmationOptions
  ) throws {
    let database = database
    let lock = migrator.names.lock
    try migrator.pool.withClient { client in
      let holder = try Lease.holder(
        client: client, database: database, collection: lock, id: "lock")
      if let holder, !holder.isExpired {
        throw MongoError(
          .locked, "locked by \(holder.description)",
          hint: "wait for that run to end, or martlet migrate unlock --force")
      }
      let names = try client.database(database).listCollections().map(\.name)
      guard !names.isEmpty else { return }
      try context.confirm(
        "drop database \(database) with its \(names.count) collections?", confirmation, settings)
      try client.database(database).dropDatabase()
    }
  }
}
