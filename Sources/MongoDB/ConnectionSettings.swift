internal import CLibMongoc

/// A connection string, checked, with what we add to it.
public struct ConnectionSettings: Sendable {
  /// The whole string, credentials included; never shown.
  let uri: String
  let password: String?
  /// The user, from the argument or the string.
  public let username: String?
  /// Shown by the server in its log and in `$currentOp`.
  public let appName: String
  /// The database named in the string's path.
  public let database: String?
  /// `host:port`, as written; the SRV name for `mongodb+srv`.
  public let hosts: [String]
  /// The replica set's name, if the string says one.
  public let replicaSetName: String?
  /// How long to look for a usable server.
  public let serverSelectionTimeout: Duration
  /// How long one connection attempt may take.
  public let connectTimeout: Duration

  /// Checks a connection string; opens nothing.
  ///
  /// A user or password given here takes the place of the string's. Timeouts in the string win.
  /// - Throws: ``MongoError`` of kind `invalidURI`, which never repeats credentials.
  public init(
    uri: String, username: String? = nil, password: String? = nil, appName: String = "martlet",
    serverSelectionTimeout: Duration = .seconds(5), connectTimeout: Duration = .seconds(5)
  ) throws(MongoError) {
    Driver.start()
    let parsed = try URIHandle(uri)
    self.uri = uri
    self.password = password
    self.username = username ?? parsed.username
    self.appName = String(decoding: appName.utf8.prefix(128), as: UTF8.self)
    self.serverSelectionTimeout = serverSelectionTimeout
    self.connectTimeout = connectTimeout
    database = parsed.database
    hosts = parsed.hosts
    // libmongoc ends the user information at the first "@"; a host never has one.
    guard !hosts.contains(where: { $0.contains("@") }) else {
      throw URIHandle.refusal(URIRedaction.complaint(about: uri))
    }
    replicaSetName = parsed.replicaSetName
  }

  /// The string with user, password and secret options replaced, for messages.
  public var redactedURI: String { URIRedaction.redact(uri) }

  /// libmongoc's form, with user, timeouts and socket behaviour set.
  func handle() throws(MongoError) -> URIHandle {
    let handle = try URIHandle(uri)
    if let username { mongoc_uri_set_username(handle.pointer, username) }
    if let password { mongoc_uri_set_password(handle.pointer, password) }
    handle.setDefault(
      MONGOC_URI_SERVERSELECTIONTIMEOUTMS, serverSelectionTimeout.wholeMilliseconds)
    handle.setDefault(MONGOC_URI_CONNECTTIMEOUTMS, connectTimeout.wholeMilliseconds)
    // libmongoc gives up after five minutes otherwise, in the middle of an index build. Keep-alive
    // finds dead peers; zero would mean the default.
    handle.setDefault(MONGOC_URI_SOCKETTIMEOUTMS, Int64(Int32.max))
    return handle
  }
}

// Printing or dumping the settings, for example in a failed test, must not show the password.
extension ConnectionSettings: CustomStringConvertible, CustomDebugStringConvertible,
  CustomReflectable
{
  public var description: String { redactedURI }
  public var debugDescription: String { redactedURI }
  public var customMirror: Mirror { Mirror(self, children: ["uri": redactedURI]) }
}

/// Owns a parsed connection string.
struct URIHandle: ~Copyable {
  let pointer: OpaquePointer

  init(_ text: String) throws(MongoError) {
    var error = bson_error_t()
    guard let made = mongoc_uri_new_with_error(text, &error) else {
      throw Self.refusal(URIRedaction.complaint(about: text))
    }
    pointer = made
  }

  static func refusal(_ message: String) -> MongoError {
    MongoError(
      .invalidURI, message,
      hint: "mongodb://[user:password@]host[:port][,host…]/[database][?option=value&…]; "
        + "characters such as @ : / in user and password are written %40 %3A %2F")
  }

  deinit { mongoc_uri_destroy(pointer) }

  var username: String? { mongoc_uri_get_username(pointer).map { String(cString: $0) } }
  var database: String? { mongoc_uri_get_database(pointer).map { String(cString: $0) } }
  var replicaSetName: String? { mongoc_uri_get_replica_set(pointer).map { String(cString: $0) } }

  var hosts: [String] {
    if let service = mongoc_uri_get_srv_hostname(pointer) { return [String(cString: service)] }
    var hosts: [String] = []
    var next = mongoc_uri_get_hosts(pointer)
    while let host = next {
      hosts.append(
        withUnsafeBytes(of: host.pointee.host_and_port) {
          String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        })
      next = UnsafePointer(host.pointee.next)
    }
    return hosts
  }

  /// Sets an option unless the string has it.
  func setDefault(_ option: String, _ milliseconds: Int64) {
    guard !mongoc_uri_has_option(pointer, option) else { return }
    mongoc_uri_set_option_as_int32(pointer, option, Int32(clamping: milliseconds))
  }
}

/// Keeps credentials out of what is shown of a connection string.
enum URIRedaction {
  /// The string with user information and secret options replaced by `***`.
  static func redact(_ text: String) -> String {
    guard let scheme = schemeEnd(text) else { return "***" }
    var rest = text[scheme...]
    var user = ""
    // Malformed strings may have "/", "?" or "@" inside the password: take the last "@".
    if let at = rest.lastIndex(of: "@") {
      user = "***@"
      rest = rest[rest.index(after: at)...]
    }
    let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var out = text[..<scheme] + user + (parts.first ?? "")
    if parts.count == 2 {
      let options = parts[1].split(separator: "&", omittingEmptySubsequences: false).map { option in
        let name = option.prefix { $0 != "=" }
        return publicOptions.contains(name.lowercased()) ? String(option) : "\(name)=***"
      }
      out += "?" + options.joined(separator: "&")
    }
    return String(out)
  }

  /// Why the string is refused, in words that hold nothing of its secrets.
  static func complaint(about text: String) -> String {
    guard let scheme = schemeEnd(text) else {
      return "the connection string does not begin with mongodb:// or mongodb+srv://"
    }
    // Without its user information the string either parses, and then that was the fault, or libmongoc
    // complains about something that may be shown.
    guard let at = text.lastIndex(of: "@") else {
      return "the connection string has an unusable host, port or option"
    }
    let bare = String(text[..<scheme] + text[text.index(after: at)...])
    var error = bson_error_t()
    if let made = mongoc_uri_new_with_error(bare, &error) {
      mongoc_uri_destroy(made)
      return "the connection string's user or password holds characters that must be escaped"
    }
    return "the connection string has an unusable host, port or option"
  }

  private static func schemeEnd(_ text: String) -> String.Index? {
    for scheme in ["mongodb://", "mongodb+srv://"] where text.hasPrefix(scheme) {
      return text.index(text.startIndex, offsetBy: scheme.count)
    }
    return nil
  }

  private static let publicOptions: Set<String> = [
    "replicaset", "authsource", "authmechanism", "tls", "ssl", "tlscafile", "tlscertificatekeyfile",
    "directconnection", "appname", "readpreference", "w", "retrywrites", "connecttimeoutms",
    "serverselectiontimeoutms", "sockettimeoutms", "tlsallowinvalidcertificates",
    "tlsallowinvalidhostnames", "tlsinsecure", "compressors", "maxpoolsize", "localthresholdms",
    "heartbeatfrequencyms", "loadbalanced", "journal", "wtimeoutms", "readconcernlevel",
  ]
}
