import ArgumentParser

/// The options that every command has.
struct GlobalOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Configuration file.", discussion: "", valueName: "file"),
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Connection string. Better without a password: other users see command lines.",
      valueName: "uri"))
  var uri: String?

  @Option(
    name: [.long, .customLong("database")], help: ArgumentHelp("Database.", valueName: "name"))
  var db: String?

  @Option(name: .long, help: ArgumentHelp("User, where the URI names none.", valueName: "name"))
  var username: String?

  @Option(
    name: .customLong("authenticationDatabase"),
    help: ArgumentHelp("Database that holds the user.", valueName: "name"))
  var authenticationDatabase: String?

  @Option(
    name: .long,
    help: ArgumentHelp("File whose first line is the password.", valueName: "file"),
    completion: .file())
  var passwordFile: String?

  @Flag(name: .long, help: "One JSON document on standard output.")
  var json = false

  @Flag(name: .shortAndLong, help: "Only results, warnings and errors.")
  var quiet = false

  @Flag(name: .shortAndLong, help: "Say more about what is done.")
  var verbose = false

  @Option(
    name: .customLong("log-file"),
    help: ArgumentHelp(
      "Append one line for each event; MARTLET_LOG does the same.", valueName: "file"),
    completion: .file())
  var logFile: String?

  @Option(
    name: .customLong("log-format"),
    help: ArgumentHelp("text or json; MARTLET_LOG_FORMAT does the same.", valueName: "format"))
  var logFormat: String?

  @Flag(name: .customLong("no-color"), help: "No colours. NO_COLOR and TERM=dumb do the same.")
  var noColor = false

  func validate() throws {
    if let logFormat, EventLog.Format(rawValue: logFormat) == nil {
      throw ValidationError("--log-format is text or json")
    }
    if quiet && verbose { throw ValidationError("--quiet and --verbose exclude each other") }
  }
}

/// Of commands that destroy something.
struct ConfirmationOptions: ParsableArguments {
  @Flag(name: .shortAndLong, help: "Do not ask. Needed where nobody can be asked.")
  var yes = false
}

/// Of commands that read migration files.
struct MigrationsOptions: ParsableArguments {
  @Option(
    name: .customLong("migrations-dir"),
    help: ArgumentHelp("Folder of the migration files.", valueName: "folder"),
    completion: .directory)
  var directory: String?
}

/// A time such as `90s`, `5m`, `1h30m`, `30d`, as an option's value.
struct TimeSpan: ExpressibleByArgument, Sendable, Hashable {
  let duration: Duration
  let defaultValueDescription: String

  init(_ duration: Duration) {
    self.duration = duration
    defaultValueDescription = Quantity.time(duration)
  }

  init?(argument: String) {
    guard let duration = Quantity.duration(argument) else { return nil }
    self.duration = duration
    defaultValueDescription = argument
  }
}
