internal import BSON

/// Something that somebody may want to be told.
public enum NotifierEvent: Sendable {
  case succeeded(Manifest)
  /// What was done, why it failed (no documents' values, no credentials), and the exit code.
  case failed(String, String, exitCode: Int)
  /// What was done, and what there is to say about it.
  case done(String, String)
  /// A unit of systemd that could not tell by itself, and its result in systemd's words.
  case unitFailed(String, String)
  case test

  var subject: String {
    switch self {
    case .succeeded(let manifest): "[martlet] backup \(manifest.id) on \(Machine.host)"
    case .failed(let work, _, _): "[martlet] FAILED: \(work) on \(Machine.host)"
    case .done(let work, _): "[martlet] \(work) is done, on \(Machine.host)"
    case .unitFailed(let unit, _): "[martlet] FAILED: \(unit) on \(Machine.host)"
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
    case .unitFailed(let unit, let result):
      """
      \(unit) failed (\(result)); see journalctl -u \(unit)
      """
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
    case .unitFailed(let unit, let result):
      out.append("event", "unit.failed")
      out.append("unit", .string(unit))
      out.append("result", .string(result))
    case .test: out.append("event", "test")
    }
    return out
  }
}

/// Tells people by mail and programs by a webhook. Never fails the work that it tells of.
public struct Notifier: Sendable {
  private let email: String?
  private let webhook: String?
  private let sendmail: String
  private let notice: @Sendable (String) -> Void
  /// Seconds for one try of the webhook, and a third of those for sendmail.
  private let timeout: Int

  public init(
    email: String?, webhook: String?, timeout: Int = 10, sendmail: String? = nil,
    notice: @escaping @Sendable (String) -> Void
  ) {
    self.email = email.flatMap { $0.isEmpty ? nil : $0 }
    self.webhook = webhook.flatMap { $0.isEmpty ? nil : $0 }
    self.timeout = timeout
    self.sendmail = sendmail ?? ProcessEnvironment["MARTLET_SENDMAIL"] ?? "sendmail"
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
      MIME-Version: 1.0
      Content-Type: text/plain; charset=utf-8
      Content-Transfer-Encoding: 8bit

      \(event.body)

      """
    do throws(BackupError) { try run([sendmail, "-t", "-i"], message) } catch {
      // cron's PATH lacks it.
      guard sendmail == "sendmail", error.message.hasSuffix(RunningProgram.isMissing) else {
        throw error
      }
      try run(["/usr/sbin/sendmail", "-t", "-i"], message)
    }
  }

  /// By curl. The address stands in its configuration on standard input: it is often a secret, and
  /// everybody can see command lines. Redirects are not followed: what is sent is for that address only.
  private func post(_ event: NotifierEvent, to url: String) throws(BackupError) {
    let json = ExtendedJSON.text(event.document, .relaxed)
    let configuration = """
      url = \(quoted(url))
      proto = "=http,https"
      user-agent = "martlet"
      header = "Content-Type: application/json"
      data-raw = \(quoted(json))
      max-time = \(timeout)
      connect-timeout = \(timeout)
      retry = 3
      retry-delay = 1
      retry-max-time = \(timeout * 3)
      fail
      silent
      output = "/dev/null"
      write-out = "%{http_code}"

      """
    // -q: not with what ~/.curlrc says. The last try may begin just before retry-max-time.
    let limit = Int64(timeout) * 4000 + 10_000
    let reply = try RunningProgram.output(
      of: ["curl", "-q", "--config", "-"], input: Array(configuration.utf8),
      limits: .init(total: limit))
    let status = String(decoding: reply.bytes, as: UTF8.self)
    if reply.ending == .exited(0), status.hasPrefix("2") { return }
    throw BackupError(.program, meaning(reply.ending, status))
  }

  /// Without the address.
  private func meaning(_ ending: RunningProgram.Ending, _ status: String) -> String {
    switch ending {
    case .exited(0) where status.hasPrefix("3"):
      "it answered \(status), and redirects are not followed"
    case .exited(0), .exited(22): "it answered \(status)"
    case .exited(1), .exited(3): "its address is no http:// or https:// address"
    case .exited(5), .exited(6): "its host has no address"
    case .exited(7): "nobody listens at its address"
    case .exited(28): "it did not answer within \(timeout) s"
    case .exited(35), .exited(51), .exited(58), .exited(60), .exited(77), .exited(83), .exited(90),
      .exited(91):
      "TLS with it failed, curl's \(ending): is its certificate valid, and for this host?"
    default: "curl ended with \(ending)"
    }
  }

  private func run(_ words: [String], _ text: String) throws(BackupError) {
    let reply = try RunningProgram.output(
      of: words, input: Array(text.utf8), limits: .init(total: Int64(timeout) * 3000))
    guard reply.ending == .exited(0) else {
      let said = reply.errors.isEmpty ? "" : ": \(reply.errors)"
      throw BackupError(.program, "\(words[0]) ended with \(reply.ending)\(said)")
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
