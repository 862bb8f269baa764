import Foundation

extension Settings {
  /// What `resolve` looks at; passed in, so that precedence can be tested without a process.
  struct Surroundings: Sendable {
    var environment: [String: String]
    /// The working folder, absolute.
    var folder: String

    static func ofProcess() -> Surroundings {
      Surroundings(
        environment: ProcessInfo.processInfo.environment,
        folder: FileManager.default.currentDirectoryPath)
    }

    /// A variable that is set to nothing counts as not set.
    func sourced(_ name: String) -> Sourced<String>? {
      guard let value = environment[name], !value.isEmpty else { return nil }
      return Sourced(value, .environment(name))
    }
  }

  static func resolve(
    _ options: GlobalOptions, migrations: MigrationsOptions? = nil, in surroundings: Surroundings
  ) throws(CommandError) -> Settings {
    let folder = surroundings.folder
    let path =
      (options.config ?? surroundings.sourced("MARTLET_CONFIG")?.value)
      .map { ConfigurationFile.resolve($0, from: folder) } ?? ConfigurationFile.find(from: folder)
    let file = path.map { ConfigurationFile(path: $0, environment: surroundings.environment) }
    let configuration = try file?.read() ?? Configuration()
    let home = file?.folder ?? folder

    let uri = try connectionString(options, configuration, surroundings)
    let database = try database(options, configuration, surroundings, uri: uri)
    func inFile<Value: Sendable>(_ value: Value?) -> Sourced<Value>? {
      value.map { Sourced($0, .file) }
    }
    func inHome(_ name: String) -> Sourced<String> {
      Sourced(ConfigurationFile.resolve(name, from: home), .standard)
    }
    func fromWorkingFolder(_ value: Sourced<String>) -> Sourced<String> {
      Sourced(ConfigurationFile.resolve(value.value, from: folder), value.source)
    }
    return Settings(
      file: file?.path,
      folder: home,
      configuration: configuration,
      uri: uri,
      username: options.username.map { Sourced($0, .flag("--username")) }
        ?? surroundings.sourced("MARTLET_USERNAME")
        ?? (uri.source == .environment("MONGO_HOST") ? surroundings.sourced("MONGO_USER") : nil),
      password: try password(options, surroundings),
      database: database,
      environment: inFile(configuration.environment) ?? Sourced(.development, .standard),
      migrationsDirectory: migrations?.directory
        .map { fromWorkingFolder(Sourced($0, .flag("--migrations-dir"))) }
        ?? surroundings.sourced("MARTLET_MIGRATIONS_DIR").map(fromWorkingFolder)
        ?? inFile(configuration.migrations.directory) ?? inHome("migrations"),
      migrationsCollection: inFile(configuration.migrations.collection)
        ?? Sourced("migrations", .standard),
      backupStore: surroundings.sourced("BACKUP_DIR").map(fromWorkingFolder)
        ?? inFile(configuration.backup.store) ?? inHome("backups"),
      backupKeepWithin: try retention(surroundings) ?? inFile(configuration.backup.keep.within),
      validationRules: inFile(configuration.validation.rules) ?? inHome("validation/rules.yaml"),
      notifyEmail: surroundings.sourced("BACKUP_NOTIFICATION_EMAIL")
        ?? inFile(configuration.notify.email),
      warnings: warnings(options, uri))
  }

  // MARK: where to connect

  private static func connectionString(
    _ options: GlobalOptions, _ configuration: Configuration, _ surroundings: Surroundings
  ) throws(CommandError) -> Sourced<String> {
    var uri =
      options.uri.map { Sourced($0, .flag("--uri")) } ?? surroundings.sourced("MARTLET_URI")
      ?? runbookURI(surroundings) ?? configuration.uri.map { Sourced($0, .file) }
      ?? Sourced("mongodb://127.0.0.1:27017", .standard)
    guard ConnectionText(uri.value) != nil else {
      // The text itself may hold a password.
      throw CommandError(
        .usage, "the connection string (\(uri.source)) must start with mongodb:// or mongodb+srv://"
      )
    }
    if let name = options.authenticationDatabase {
      uri.value = ConnectionText.adding(option: "authSource", name, to: uri.value)
    }
    return uri
  }

  /// The variables that the runbook's scripts have always used.
  private static func runbookURI(_ surroundings: Surroundings) -> Sourced<String>? {
    guard let host = surroundings.sourced("MONGO_HOST") else { return nil }
    let port = surroundings.sourced("MONGO_PORT").map { ":" + $0.value } ?? ""
    let hasPort = host.value.contains(":") || host.value.contains(",")
    return Sourced("mongodb://" + host.value + (hasPort ? "" : port), host.source)
  }

  private static func database(
    _ options: GlobalOptions, _ configuration: Configuration, _ surroundings: Surroundings,
    uri: Sourced<String>
  ) throws(CommandError) -> Sourced<String>? {
    let named =
      options.db.map { Sourced($0, .flag("--db")) } ?? surroundings.sourced("MARTLET_DB")
      ?? configuration.database.map { Sourced($0, .file) }
    let inURI = ConnectionText(uri.value)?.database
    guard let named else { return inURI.map { Sourced($0, .uri) } }
    // Two answers, and the louder one is in the URI: guessing would migrate the wrong database.
    // `admin` there is where the user is looked up.
    if let inURI, inURI != named.value, inURI != "admin", uri.source.rank < named.source.rank {
      throw CommandError(
        .usage,
        "the connection string (\(uri.source)) names database \"\(inURI)\", "
          + "but \(named.source) names \"\(named.value)\"",
        hint: "say which with --db")
    }
    return named
  }

  // MARK: the rest

  private static func password(
    _ options: GlobalOptions, _ surroundings: Surroundings
  ) throws(CommandError) -> Sourced<String>? {
    guard let path = options.passwordFile else {
      return surroundings.sourced("MARTLET_PASSWORD") ?? surroundings.sourced("MONGO_PASSWORD")
    }
    let full = ConfigurationFile.resolve(path, from: surroundings.folder)
    guard let text = try? String(contentsOf: URL(fileURLWithPath: full), encoding: .utf8) else {
      throw CommandError(.usage, "cannot read the password file \(full)")
    }
    let line = text.prefix { !$0.isNewline }
    guard !line.isEmpty else { throw CommandError(.usage, "the password file \(full) is empty") }
    return Sourced(String(line), .flag("--password-file"))
  }

  private static func retention(
    _ surroundings: Surroundings
  ) throws(CommandError) -> Sourced<Duration>? {
    guard let days = surroundings.sourced("RETENTION_DAYS") else { return nil }
    guard let number = Int64(days.value), (0...100_000).contains(number) else {
      throw CommandError(.configuration, "RETENTION_DAYS must be a number of days")
    }
    return Sourced(.seconds(number * 86_400), days.source)
  }

  private static func warnings(_ options: GlobalOptions, _ uri: Sourced<String>) -> [String] {
    guard options.uri != nil, ConnectionText(uri.value)?.hasPassword == true else { return [] }
    return [
      "the password in --uri can be seen by every user of this machine; "
        + "use --password-file or MARTLET_PASSWORD"
    ]
  }
}
