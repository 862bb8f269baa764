import Migration

/// Whether the configuration is one, and whether the migration files can be read.
enum SettingsCheck {
  static func check(_ settings: Settings) -> Check {
    let place = settings.file ?? "no \(ConfigurationFile.name): flags, environment and defaults"
    let sources =
      "uri from \(settings.uri.source), database "
      + (settings.database.map { "from \($0.source)" } ?? "not named")
    guard settings.database != nil else {
      return .failed(
        "configuration", "\(place); \(sources)",
        fix: "add --db NAME, set MARTLET_DB, or write database: NAME in \(ConfigurationFile.name)",
        .usage)
    }
    return .ok("configuration", "\(place); \(sources)")
  }
}

/// The folder of migrations, without a server.
enum FileChecks {
  static func check(_ directory: String, database: String?) -> [Check] {
    let loaded: LoadedMigrations
    do {
      loaded = try MigrationLoader(directory: directory).load()
    } catch {
      let report = ErrorReport(error)
      return [
        .failed("migration-files", report.message, fix: "martlet init", report.status),
        .skipped("lint", "no files"),
      ]
    }
    return [files(loaded, directory), lint(loaded, database)]
  }

  private static func files(_ loaded: LoadedMigrations, _ directory: String) -> Check {
    if let first = loaded.errors.first {
      let count = loaded.errors.count
      let report = ErrorReport(first)
      return .failed(
        "migration-files", report.message + (count > 1 ? " (and \(count - 1) more)" : ""),
        fix: report.hint ?? "martlet migrate lint shows all of them", report.status)
    }
    let found = "\(loaded.migrations.count) in \(directory)"
    guard let notice = loaded.problems.first else { return .ok("migration-files", found) }
    return .warning("migration-files", "\(found); \(ErrorReport(notice.error).message)")
  }

  private static func lint(_ loaded: LoadedMigrations, _ database: String?) -> Check {
    let findings = Lint.lint(loaded.migrations, database: database)
    let errors = findings.filter { $0.severity == .error }.count
    let warnings = findings.filter { $0.severity == .warning }.count
    let words = "\(errors) errors, \(warnings) warnings"
    if errors > 0 {
      return .failed("lint", words, fix: "martlet migrate lint", .checksFailed)
    }
    return warnings > 0
      ? .warning("lint", words, fix: "martlet migrate lint") : .ok("lint", "nothing found")
  }
}
