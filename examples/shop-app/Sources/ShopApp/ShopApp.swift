import Foundation
import Martlet

/// An application that brings its database up to date before it serves anybody.
@main
struct ShopApp {
  static func main() async {
    do {
      try await start()
    } catch {
      FileHandle.standardError.write(Data("shop-app: \(error)\n".utf8))
      exit(1)
    }
  }

  private static func start() async throws {
    let environment = ProcessInfo.processInfo.environment
    let migrator = try Migrator(
      uri: environment["SHOP_URI"] ?? "mongodb://127.0.0.1:27017/shop_app",
      database: environment["SHOP_DB"],
      directory: environment["SHOP_MIGRATIONS"] ?? "migrations",
      migrations: [loyaltyPoints()])

    if CommandLine.arguments.contains("--roll-back") {
      for item in try await migrator.rollBack(.all).items { print("took back \(item.name)") }
    } else if try await !migrator.hasCompletedMigrations() {
      let report = try await migrator.migrate { event in
        if case .migrationStarted(let name, let position, let count, _, _) = event {
          print("applying \(name) (\(position) of \(count))")
        }
      }
      print("\(report.items.count) migrations applied")
    }

    for row in try await migrator.status().rows { print("\(row.name): \(row.state.rawValue)") }
    print("serving")
  }
}
