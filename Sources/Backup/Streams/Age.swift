internal import Dump

/// Encrypts to and decrypts from age's format by way of the `age` program.
///
/// The host that makes backups has recipients only, which are public: it cannot read its own backups.
public struct Age: Sendable {
  /// `age1…`, or `ssh-…` public keys.
  public var recipients: [String]
  /// A file with the secret key; for reading only.
  public var identity: String?
  /// The program.
  public var program: String

  public init(
    recipients: [String] = [], identity: String? = nil,
    program: String = ProcessEnvironment["MARTLET_AGE"] ?? "age"
  ) {
    self.recipients = recipients
    self.identity = identity
    self.program = program
  }

  /// True when new backups are encrypted.
  public var encrypts: Bool { !recipients.isEmpty }

  /// Refuses what is no recipient, in particular a secret key.
  /// - Throws: ``BackupError`` `.encryption`.
  public func check() throws(BackupError) {
    for recipient in recipients {
      guard !recipient.uppercased().hasPrefix("AGE-SECRET-KEY") else {
        throw BackupError(
          .encryption, "a secret key stands among the recipients",
          hint: "remove it, and take the public key that age-keygen -y prints for it")
      }
      guard recipient.hasPrefix("age1") || recipient.hasPrefix("ssh-") else {
        throw BackupError(
          .encryption, "a recipient is neither an age1… nor an ssh-… public key")
      }
    }
  }

  func encrypting(to sink: any ByteSink) throws(BackupError) -> FilterSink {
    try FilterSink(
      [program, "--encrypt"] + recipients.flatMap { ["--recipient", $0] }, to: sink)
  }

  /// - Throws: ``BackupError`` `.encryption` without a key.
  func decrypting(_ source: any ByteSource) throws(BackupError) -> any ByteSource {
    guard let identity else {
      throw BackupError(
        .encryption, "the file is encrypted, and no key is given",
        hint: "name the file with the secret key: --identity FILE or MARTLET_AGE_IDENTITY")
    }
    return try FilterSource(
      [program, "--decrypt", "--identity", identity], from: source, describe: Self.meaning)
  }

  private static let meaning: @Sendable (BackupError) -> BackupError = { error in
    let text = error.message
    if text.contains("no identity matched") || text.contains("incorrect passphrase") {
      return BackupError(
        .encryption, "the key does not open the backup",
        hint: "use the secret key of one of the recipients it was encrypted for")
    }
    // Of the key's file age says `reading "FILE": …`, whatever is wrong with it.
    if text.contains("error: reading \"") || text.contains("no such file")
      || text.contains("permission denied") || text.contains("identity file")
      || text.contains("malformed secret key")
    {
      return BackupError(
        .encryption, "the key file cannot be used: \(text)",
        hint: "name the file that age-keygen wrote: --identity FILE or MARTLET_AGE_IDENTITY")
    }
    return BackupError(.damaged, "decrypting failed: \(text)")
  }
}
