/// Lines for crontab and units for systemd that run backups.
public struct Schedule: Sendable {
  /// The program, absolute.
  public var program: String
  /// The folder with martlet.yaml.
  public var folder: String
  /// 0 to 23 and 0 to 59, local time.
  public var hour = 2
  public var minute = 0

  public init(program: String, folder: String) {
    self.program = program
    self.folder = folder
  }

  private var start: String { "cd \(Self.quoted(folder)) && \(Self.quoted(program))" }

  /// Daily full backup, hourly database backup, weekly reading of all documents, daily tidying. No lock
  /// file: martlet has its own. Errors and warnings are left to cron, which mails them; the log, whose
  /// folder need not be there, has all. In crontab a % is a line break.
  public var cron: String {
    let command = start.replacing("%", with: "\\%")
    let log = "--quiet --log-file logs/backup.log >/dev/null"
    return """
      # martlet: begin
      \(minute) \(hour) * * * \(command) backup run --kind full --tag daily \(log)
      \((minute + 30) % 60) * * * * \(command) backup run --kind database --tag hourly \(log)
      \(minute) \((hour + 1) % 24) * * 1 \(command) backup verify --depth documents \(log)
      \((minute + 15) % 60) \((hour + 2) % 24) * * * \(command) backup prune \(log)
      # martlet: end

      """
  }

  /// Units by their file names.
  public var systemd: [(name: String, text: String)] {
    [
      ("martlet-backup.service", oneshot("backup", "backup run --kind full --tag daily")),
      (
        "martlet-backup.timer",
        timer("*-*-* \(CivilTime.padded(hour)):\(CivilTime.padded(minute)):00")
      ),
      ("martlet-verify.service", oneshot("reading of backups", "backup verify --depth documents")),
      (
        "martlet-verify.timer",
        timer("Mon *-*-* \(CivilTime.padded((hour + 1) % 24)):\(CivilTime.padded(minute)):00")
      ),
      ("martlet-prune.service", oneshot("tidying of backups", "backup prune")),
      (
        "martlet-prune.timer",
        timer("*-*-* \(CivilTime.padded((hour + 2) % 24)):\(CivilTime.padded(minute)):00")
      ),
      ("martlet-oplog.service", oplog),
      ("martlet-failed@.service", failed),
    ]
  }

  private func oneshot(_ what: String, _ words: String) -> String {
    """
    [Unit]
    Description=martlet \(what)
    After=network-online.target
    Wants=network-online.target
    OnFailure=martlet-failed@%N.service

    [Service]
    Type=oneshot
    \(service(words))
    Nice=10
    IOSchedulingClass=idle

    """
  }

  private func timer(_ calendar: String) -> String {
    """
    [Unit]
    Description=martlet timer

    [Timer]
    OnCalendar=\(calendar)
    Persistent=true
    RandomizedDelaySec=120

    [Install]
    WantedBy=timers.target

    """
  }

  private var oplog: String {
    """
    [Unit]
    Description=martlet capture of the oplog
    After=network-online.target
    Wants=network-online.target
    OnFailure=martlet-failed@%N.service
    StartLimitIntervalSec=10min
    StartLimitBurst=5

    [Service]
    Type=simple
    \(service("oplog run"))
    Restart=on-failure
    RestartSec=30
    KillSignal=SIGTERM
    TimeoutStopSec=90

    [Install]
    WantedBy=multi-user.target

    """
  }

  /// Tells of what martlet could not tell by itself, because it was killed or could not be started.
  private var failed: String {
    """
    [Unit]
    Description=martlet tells that %i failed

    [Service]
    Type=oneshot
    \(service("notify failure %i"))

    """
  }

  /// `words` are systemd's; paths are made so.
  private func service(_ words: String) -> String {
    let plain = folder.replacing("%", with: "%%")
    let path = program.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
      .replacing("%", with: "%%").replacing("$", with: "$$")
    let start = Self.quoted(program) == program ? program : "\"\(path)\""
    return """
      WorkingDirectory=\(plain)
      ExecStart=\(start) \(words)
      EnvironmentFile=-\(plain)/.env
      """
  }

  /// For a shell, only when it has to be.
  private static func quoted(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy { byte in
      (97...122).contains(byte) || (65...90).contains(byte) || (45...57).contains(byte)
        || byte == 95
    }
    return isPlain ? text : "'" + text.replacing("'", with: "'\\''") + "'"
  }
}
