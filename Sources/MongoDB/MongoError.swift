public import BSON

/// What went wrong between us and a server; keeps what the server said, without document contents.
public struct MongoError: Error, Sendable, CustomStringConvertible {
  /// The family, which decides exit codes and retries.
  public enum Kind: Sendable, Hashable {
    /// No server was found in time, or the connection broke.
    case unreachable
    /// Wrong or missing credentials.
    case authentication
    /// Logged in, but not allowed to do this.
    case privilege
    /// The server refused the command.
    case server
    /// The command ran, but some of its writes failed.
    case writeErrors
    /// The write happened, but not as durably as asked.
    case writeConcern
    /// A time limit passed, the server's or ours.
    case timedOut
    /// See ``Cancellation``.
    case cancelled
    /// The lease is another's, or may be.
    case leaseLost
    /// Another run holds the lease.
    case locked
    /// The connection string cannot be used.
    case invalidURI
    /// libmongoc refused before anything was sent.
    case client
    /// The reply is not what the command promises.
    case malformedReply
  }

  /// One failed write of many.
  public struct WriteError: Sendable, Hashable {
    /// Position in the command's documents, updates or deletes.
    public let index: Int
    /// The server's code.
    public let code: Int
    /// The server's words, values cut out.
    public let message: String
  }

  public let kind: Kind
  /// The server's code, or libmongoc's; 0 if there is none.
  public let code: Int
  /// The server's name for the code.
  public let codeName: String?
  /// Who raised the error: `server`, or a part of libmongoc.
  public let domain: String?
  /// The server's error labels.
  public let labels: [String]
  /// One sentence, lower case, values cut out.
  public let message: String
  /// The command's name.
  public let command: String?
  /// `database.collection`, or the database.
  public let namespace: String?
  /// The servers of the connection string.
  public let host: String?
  /// The failed writes, when `kind` is `writeErrors`.
  public let writeErrors: [WriteError]
  /// The counts of what was done nevertheless (`n`, `nModified`, …); no document contents.
  public let reply: Document?
  /// What the user can do about it.
  public var hint: String?

  /// Makes an error of our own.
  public init(
    _ kind: Kind, _ message: String, code: Int = 0, codeName: String? = nil, domain: String? = nil,
    labels: [String] = [], command: String? = nil, namespace: String? = nil, host: String? = nil,
    writeErrors: [WriteError] = [], reply: Document? = nil, hint: String? = nil
  ) {
    self.kind = kind
    self.message = message
    self.code = code
    self.codeName = codeName
    self.domain = domain
    self.labels = labels
    self.command = command
    self.namespace = namespace
    self.host = host
    self.writeErrors = writeErrors
    self.reply = reply
    self.hint = hint
  }

  public var description: String {
    var text = message
    if let command {
      text = "\(command)\(namespace.map { " on \($0)" } ?? ""): \(text)"
    }
    if let codeName {
      text += " (\(code) \(codeName))"
    } else if code != 0, domain == Self.serverDomain {
      text += " (\(code))"
    }
    if let hint { text += "\nHINT: \(hint)" }
    return text
  }

  static let serverDomain = "server"
  static let networkDomain = "network"

  /// True when the server, or libmongoc, put this label on the error.
  public func hasLabel(_ label: String) -> Bool { labels.contains(label) }

  /// The whole transaction may be tried again.
  public var isTransientTransaction: Bool { hasLabel("TransientTransactionError") }
  /// The commit may be tried again.
  public var isUnknownCommitResult: Bool { hasLabel("UnknownTransactionCommitResult") }
  /// The connection failed; whether the command ran is unknown.
  public var isNetwork: Bool { kind == .unreachable }
  /// The server asked is not, or no longer, the primary, or is going down.
  public var isNotPrimary: Bool {
    Self.notPrimaryCodes.contains(code) && domain == Self.serverDomain
  }
  /// A unique index refused a key, in a command or in all its failed writes.
  public var isDuplicateKey: Bool {
    if kind == .writeErrors { return writeErrors.allSatisfy { $0.code == 11000 } }
    return code == 11000
  }
  /// The collection or database does not exist.
  public var isNamespaceNotFound: Bool { code == 26 && domain == Self.serverDomain }
  /// The server does not know the command.
  public var isCommandNotFound: Bool { code == 59 && domain == Self.serverDomain }
  /// A cursor, or the history that it reads, is gone (43, 237, 175, 239, 246).
  public var isCursorGone: Bool {
    domain == Self.serverDomain && [43, 237, 175, 239, 246].contains(code)
  }

  static let notPrimaryCodes: Set<Int> = [
    10107, 13435, 13436, 10058, 91, 189, 11600, 11602,
  ]
}
