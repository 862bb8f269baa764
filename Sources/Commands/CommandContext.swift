import MongoDB

/// What a running command has at hand: somebody to tell, something to stop it, and its settings.
struct CommandContext: Sendable {
  let console: Console
  /// Cancelled by signals; the work looks at it between steps.
  let cancellation: Cancellation
  let options: GlobalOptions
  let surroundings: Settings.Surroundings
  let person: any Interlocutor

  /// Reads the configuration. `migrations` where the command has those options.
  func settings(_ migrations: MigrationsOptions? = nil) throws(CommandError) -> Settings {
    let settings = try Settings.resolve(options, migrations: migrations, in: surroundings)
    for warning in settings.warnings { console.warn("\(warning)") }
    if let file = settings.file { console.detail("configuration: \(file)") }
    return settings
  }

  /// Asks for the password where a user is named without one. Blocks while somebody types.
  func connection(_ settings: Settings) throws -> ConnectionSettings {
    try ConnectionSettings(
      uri: settings.uri.value, username: settings.username?.value,
      password: try password(settings))
  }

  /// Clients for the server of these settings. Connects on first use.
  func pool(_ settings: Settings) throws -> ClientPool {
    try Self.pool(try connection(settings))
  }

  /// Clients of a command's main connection. Connects on first use.
  ///
  /// It is never closed: that would wait half a second for libmongoc's monitor, and the process ends
  /// with its command.
  static func pool(_ connection: ConnectionSettings, maxSize: Int = 16) throws -> ClientPool {
    let pool = try ClientPool(connection, maxSize: maxSize)
    _ = Unmanaged.passRetained(pool)
    return pool
  }

  private func password(_ settings: Settings) throws(CommandError) -> String? {
    let text = ConnectionText(settings.uri.value)
    let hasUser = settings.username != nil || text?.hasUser == true
    guard hasUser, text?.hasPassword != true else { return nil }
    // X.509, Kerberos and cloud identities have a user and no password.
    let mechanism = settings.uri.value.lowercased()
    if ["mongodb-x509", "gssapi", "mongodb-aws"].contains(where: mechanism.contains) { return nil }
    if let password = settings.password { return password.value }
    guard person.isPresent else { return nil }
    console.ask("password: ")
    defer { console.endQuestion() }
    return try person.readLine(secret: true, cancellation: cancellation)
  }

  /// Asks before something is destroyed. In production the database's name has to be typed.
  /// - Throws: `confirmation` where nobody can be asked, `declined` for a no.
  func confirm(
    _ question: String, _ given: ConfirmationOptions, _ settings: Settings
  ) throws(CommandError) {
    if given.yes { return }
    try ensureCanConfirm(question, given)
    let name = settings.database?.value
    let expected = settings.environment.value == .production ? name : nil
    if let expected {
      console.warn("\(question, .bold) This is production.")
      console.ask("type the database's name, \(expected), to go on: ")
    } else {
      console.ask("\(question, .bold) [y/N] ")
    }
    let answer = try person.readLine(secret: false, cancellation: cancellation) ?? ""
    let word = String(answer.drop(while: \.isWhitespace)).lowercased()
    guard expected.map({ $0 == answer }) ?? ["y", "yes"].contains(word) else {
      throw CommandError(.declined, "nothing was changed")
    }
  }

  /// Refuses what will need a yes where nobody can give one.
  /// - Throws: `CommandError` `.confirmation`.
  func ensureCanConfirm(
    _ question: String, _ given: ConfirmationOptions
  ) throws(CommandError) {
    guard given.yes || (person.isPresent && !options.json) else {
      throw CommandError(
        .confirmation, "this needs a yes: \(question)", hint: "add --yes, if this is what you want")
    }
  }
}
