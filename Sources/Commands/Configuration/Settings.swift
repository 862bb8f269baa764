/// What a run works with, put together from flags, environment, file and defaults, in this order.
struct Settings: Sendable {
  /// Where a value came from, for `doctor` and error messages.
  enum Source: Sendable, Hashable, CustomStringConvertible {
    case flag(String)
    case environment(String)
    case file
    case uri
    case standard

    var description: String {
      switch self {
      case .flag(let name): name
      case .environment(let name): "environment \(name)"
      case .file: ConfigurationFile.name
      case .uri: "the URI"
      case .standard: "default"
      }
    }

    /// Smaller wins.
    var rank: Int {
      switch self {
      case .flag: 0
      case .environment: 1
      case .file: 2
      case .uri: 3
      case .standard: 4
      }
    }
  }

  struct Sourced<Value: Sendable>: Sendable {
    var value: Value
    var source: Source

    init(_ value: Value, _ source: Source) {
      self.value = value
      self.source = source
    }
  }

  /// The file that was read, absolute.
  let file: String?
  /// The folder that default paths start from: the file's, or the working folder.
  let folder: String
  let configuration: Configuration

  /// May hold credentials: for `ConnectionSettings` only, never for output.
  let uri: Sourced<String>
  let username: Sourced<String>?
  /// From the environment or a file. Never from the configuration.
  let password: Sourced<String>?
  let database: Sourced<String>?
  let environment: Sourced<DeploymentEnvironment>
  let migrationsDirectory: Sourced<String>
  let migrationsCollection: Sourced<String>
  let backupStore: Sourced<String>
  let backupKeepWithin: Sourced<Duration>?
  let validationRules: Sourced<String>
  let notifyEmail: Sourced<String>?
  /// What the user should know about where values came from.
  let warnings: [String]

  /// The database to work on.
  func requiredDatabase() throws(CommandError) -> String {
    if let database { return database.value }
    throw CommandError(
      .usage, "no database named",
      hint: "add --db NAME, set MARTLET_DB, or write database: NAME in \(ConfigurationFile.name)")
  }

  /// Refuses what would be a disaster in production.
  func refuseInProduction(_ what: String) throws(CommandError) {
    guard environment.value == .production else { return }
    throw CommandError(
      .refused, "\(what) is refused: environment is production",
      hint: "use another configuration with --config, if this is not the production database")
  }
}
