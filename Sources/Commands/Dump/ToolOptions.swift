import ArgumentParser
import Foundation
import MongoDB
import Yams

/// The options that mongodump and mongorestore share, by their names.
///
/// Instead of ``GlobalOptions``, because `-q`, `-h` and `--config` mean other things there.
struct ToolOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("Connection string.", valueName: "uri"))
  var uri: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Server: host, host:port or set/host,host.", valueName: "host"))
  var host: String?

  @Option(name: .long, help: ArgumentHelp("Port.", valueName: "port"))
  var port: Int?

  @Option(name: .shortAndLong, help: ArgumentHelp("Database.", valueName: "name"))
  var db: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("Collection.", valueName: "name"))
  var collection: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("User.", valueName: "name"))
  var username: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "Password. Better --password-file or MARTLET_PASSWORD: other users see command lines.",
      valueName: "password"))
  var password: String?

  @Option(
    name: .long, help: ArgumentHelp("File whose first line is the password.", valueName: "file"))
  var passwordFile: String?

  @Option(
    name: .customLong("authenticationDatabase"),
    help: ArgumentHelp("Database that holds the user.", valueName: "name"))
  var authenticationDatabase: String?

  @Option(
    name: .customLong("authenticationMechanism"),
    help: ArgumentHelp("SCRAM-SHA-256, MONGODB-X509, …", valueName: "name"))
  var authenticationMechanism: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "YAML with password, uri, sslPEMKeyPassword; or martlet.yaml.", valueName: "file"))
  var config: String?

  @Flag(name: [.customLong("ssl"), .customLong("tls")], help: "Connect with TLS.")
  var ssl = false

  @Option(name: .customLong("sslCAFile"), help: ArgumentHelp("CA bundle.", valueName: "file"))
  var sslCAFile: String?

  @Option(
    name: .customLong("sslPEMKeyFile"),
    help: ArgumentHelp("Client certificate and key.", valueName: "file"))
  var sslPEMKeyFile: String?

  @Option(
    name: .customLong("sslPEMKeyPassword"),
    help: ArgumentHelp("Password of the client's key.", valueName: "password"))
  var sslPEMKeyPassword: String?

  @Flag(name: .customLong("tlsInsecure"), help: "Check neither certificate nor host name.")
  var tlsInsecure = false

  @Flag(name: .customLong("sslAllowInvalidCertificates"), help: .hidden)
  var sslAllowInvalidCertificates = false

  @Flag(name: .customLong("sslAllowInvalidHostnames"), help: .hidden)
  var sslAllowInvalidHostnames = false

  @Option(name: .customLong("compressors"), help: .hidden)
  var compressors: String?

  @Flag(name: .long, help: "One JSON document on standard output.")
  var json = false

  @Flag(name: .long, help: "Only warnings and errors.")
  var quiet = false

  @Flag(name: .shortAndLong, help: "Say more about what is done; may be repeated.")
  var verbose: Int

  @Flag(name: .customLong("no-color"), help: "No colours. NO_COLOR and TERM=dumb do the same.")
  var noColor = false

  /// As the other commands have them.
  var global: GlobalOptions {
    var global = (try? GlobalOptions.parse([])) ?? GlobalOptions()
    global.uri = resolvedURI
    global.db = db
    global.username = username
    global.authenticationDatabase = authenticationDatabase
    global.passwordFile = passwordFile
    global.config = toolConfiguration == nil ? config : nil
    global.json = json
    global.quiet = quiet
    global.verbose = verbose > 0 && !quiet
    global.noColor = noColor
    return global
  }

  /// The string of `--uri`, or one made of host and port; with the options for TLS.
  private var resolvedURI: String? {
    let parts = [uri, toolConfiguration?["uri"], hostURI].compactMap(\.self)
    guard var text = parts.first else {
      return tlsOptions.isEmpty ? nil : adding(tlsOptions, to: "mongodb://127.0.0.1:27017")
    }
    text = adding(tlsOptions, to: text)
    return text
  }

  private var hostURI: String? {
    guard host != nil || port != nil else { return nil }
    let name = host ?? "localhost"
    let halves = name.split(separator: "/", maxSplits: 1)
    let hosts = halves.last.map(String.init) ?? "localhost"
    let withPort = port.map { hosts.contains(":") ? hosts : "\(hosts):\($0)" } ?? hosts
    let text = "mongodb://\(withPort)"
    guard halves.count == 2 else { return text }
    return ConnectionText.adding(option: "replicaSet", String(halves[0]), to: text)
  }

  private var tlsOptions: [(String, String)] {
    var options: [(String, String)] = []
    if ssl { options.append(("tls", "true")) }
    if let sslCAFile { options.append(("tlsCAFile", sslCAFile)) }
    if let sslPEMKeyFile { options.append(("tlsCertificateKeyFile", sslPEMKeyFile)) }
    if let secret = sslPEMKeyPassword ?? toolConfiguration?["sslPEMKeyPassword"] {
      options.append(("tlsCertificateKeyFilePassword", secret))
    }
    if sslAllowInvalidCertificates { options.append(("tlsAllowInvalidCertificates", "true")) }
    if sslAllowInvalidHostnames { options.append(("tlsAllowInvalidHostnames", "true")) }
    if tlsInsecure { options.append(("tlsInsecure", "true")) }
    if let authenticationMechanism { options.append(("authMechanism", authenticationMechanism)) }
    if let compressors { options.append(("compressors", compressors)) }
    return options
  }

  private func adding(_ options: [(String, String)], to uri: String) -> String {
    options.reduce(uri) { ConnectionText.adding(option: $1.0, $1.1, to: $0) }
  }

  /// A file of the tools' own kind; nil for a `martlet.yaml`.
  private var toolConfiguration: [String: String]? {
    guard let config, let text = try? String(contentsOfFile: config, encoding: .utf8),
      let loaded = try? Yams.load(yaml: text) as? [String: String]
    else { return nil }
    let known: Set<String> = ["password", "uri", "sslPEMKeyPassword"]
    return known.isSuperset(of: loaded.keys) ? loaded : nil
  }

  // MARK: - Connection

  /// Clients for the server that is meant.
  func pool(_ context: CommandContext, _ settings: Settings, size: Int) throws -> ClientPool {
    if password != nil {
      context.console.warn(
        "a password on the command line can be seen by every user of this machine")
    }
    guard let secret = password ?? toolConfiguration?["password"] else {
      return try CommandContext.pool(try context.connection(settings), maxSize: size)
    }
    let connection = try ConnectionSettings(
      uri: settings.uri.value, username: settings.username?.value, password: secret)
    return try CommandContext.pool(connection, maxSize: size)
  }

  /// An option of the connection string, whose names have no case.
  func uriOption(_ name: String, _ settings: Settings) -> String? {
    let query = settings.uri.value.drop { $0 != "?" }.dropFirst()
    for pair in query.split(separator: "&") {
      let halves = pair.split(separator: "=", maxSplits: 1)
      if halves.count == 2, halves[0].lowercased() == name.lowercased() {
        return String(halves[1]).removingPercentEncoding
      }
    }
    return nil
  }

  /// The database, from the flag or the connection string; never from `martlet.yaml`: without one
  /// the tools take the whole server.
  func database(_ settings: Settings) -> String? {
    if let db { return db.isEmpty ? nil : db }
    guard let named = settings.database, named.source == .uri else { return nil }
    return named.value == "admin" ? nil : named.value
  }
}
