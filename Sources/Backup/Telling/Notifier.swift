internal import BSON

/// Something that somebody may want to be told.
public enum NotifierEvent: Sendable {
  case succeeded(Manifest)
  /// What was done, why it failed (no documents' values, no credentials), and the exit code.
  case failed(String, String, exitCode: Int)
  /// What was done, and what there is to say about it.
  case done(String, String)
  case test

  var isFailure: Bool { if case .failed = self { true } else { false } }

  var subject: String {
    switch self {
    case .succeeded(let manifest): "[martlet] backup \(manifest.id) on \(Machine.host)"
    case .failed(let work, _, _): "[martlet] FAILED: \(work) on \(Machine.host)"
    case .done(let work, _): "[martlet] \(work) is done, on \(Machine.host)"
    case .test: "[martlet] test on \(Machine.host)"
    }
  }

  var body: String {
    switch self {
    case .succeeded(let manifest):
      """
      Backup \(manifest.id) is complete.
      documents: \(manifest.documents)
      stored bytes: \(manifest.storedBytes)
      consistency: \(manifest.consistency?.mode ?? "-")
      duration: \(manifest.durationMilliseconds) ms
      """
    case .failed(let work, let reason, let code):
      """
      martlet \(work) failed with exit code \(code):
      \(reason)
      """
    case .done(_, let text): text
    case .test: "This is a test of martlet's notifications."
    }
  }

  /// Versioned: receivers look at `format`.
  var document: Document {
    var out: Document = [
      "format": "martlet-event/1", "host": .string(Machine.host),
      "time": .string(Moment.iso(Moment.now())), "subject": .string(subject),
      "text": .string(body),
    ]
    switch self {
    case .succeeded(let manifest):
      out.append("event", "backup.succeeded")
      out.append("backup", .string(manifest.id))
      out.append("kind", .string(manifest.kind.rawValue))
      out.append("documents", .integer(manifest.documents))
      out.append("storedBytes", .integer(manifest.storedBytes))
      out.append("durationMs", .integer(manifest.durationMilliseconds))
    case .failed(let work, let reason, let code):
      out.append("event", "failed")
      out.append("command", .string(work))
      out.append("error", .string(reason))
      out.append("exitCode", .integer(code))
    case .done(let work, _):
      out.append("event", "done")
      out.append("command", .string(work))
    case .test: out.append("event", "test")
    }
    return out
  }
}

/// Tells people by mail and programs by a webhook. Never fails the work that it tells of.
public struct Notifier: Sendable {
  private let email: String?
  private let webhook: String?
  private let notice: @Sendable (String) -> Void
  /// Seconds for one try of the webhook.
  private let timeout: Int

  public init(
    email: String?, webhook: String?, timeout: Int = 10,
    notice: @escaping @Sendable (String) -> Void
  ) {
    self.email = email.flatMap { $0.isEmpty ? nil : $0 }
    self.webhook = webhook.flatMap { $0.isEmpty ? nil : $0 }
    self.timeout = timeout
    self.notice = notice
  }

  /// True when there is anybody to tell.
  public var isConfigured: Bool { email != nil || webhook != nil }

  /// Sends. Blocks for at most a few times the timeout.
  /// - Returns: what went wrong, in words; told as notices already.
  @discardableResult
  public func send(_ event: NotifierEvent) -> [String] {
    var failures: [String] = []
    if let email {
      do throws(BackupError) { try mail(event, to: email) } catch {
        failures.append("the mail to \(email) was not sent: \(error.message)")
      }
    }
    if let webhook {
      do throws(BackupError) { try post(event, to: webhook) } catch {
        failures.append("the webhook was not told: \(error.message)")
      }
    }
    for failure in failures { notice(failure) }
    return failures
  }

  /// RFC 5322 to sendmail, which reads the recipient from the message.
  private func mail(_ event: NotifierEvent, to address: String) throws(BackupError) {
    guard !address.contains(where: \.isNewline) else {
      throw BackupError(.usage, "the address has a line break")
    }
    let message = """
      To: \(address)
      Subject: \(event.subject)
      Auto-Submitted: auto-generated
      Content-Type: text/plain; charset=utf-8

      \(event.body)

      """
    let program = ProcessEnvironment["MARTLET_SENDMAIL"] ?? "sendmail"
    do throws(BackupError) { try run([program, "-t", "-i"], message) } catch {
      // cron's PATH lacks it.
      guard program == "sendmail", error.hint != nil else { throw error }
      try run(["/usr/sbin/sendmail", "-t", "-i"], message)
    }
  }

  /// By curl. The address stands in its configuration on standard input: it is often a secret, and
  /// everybody can see command lines.
  private func post(_ event: NotifierEvent, to url: String) throws(BackupError) {
    let json = ExtendedJSON.text(event.document, .relaxed)
    let configuration = """
      url = \(quoted(url))
      header = "Content-Type: application/json"
      data-raw = \(quoted(json))
      max-time = \(timeout)
      connect-timeout = \(timeout)
      retry = 3
      retry-delay = 1
      fail
      silent
      output = "/dev/null"

      """
    let reply = try RunningProgram.output(
      of: ["curl", "--config", "-"], input: Array(configuration.utf8))
    guard reply.ending == .exited(0) else {
      throw BackupError(.program, "curl ended with \(reply.ending)")
    }
  }

  private func run(_ words: [String], _ text: String) throws(BackupError) {
    let reply = try RunningProgram.output(of: words, input: Array(text.utf8))
    guard reply.ending == .exited(0) else {
      throw BackupError(.program, "\(words[0]) ended with \(reply.ending): \(reply.errors)")
    }
  }

  private func quoted(_ text: String) -> String {
    var out = "\""
    for character in text.unicodeScalars {
      switch character {
      case "\\": out += "\\\\"
      case "\"": out += "\\\""
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      default: out.unicodeScalars.append(character)
      }
    }
    return out + "\""
  }
}
