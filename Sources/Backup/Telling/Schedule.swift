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
  /// file: martlet has its own. In crontab a % is a line break.
  public var cron: String {
    let command = start.replacing("%", with: "\\%")
    let log = ">> logs/backup.log 2>&1"
    return """
      # martlet: begin
      \(minute) \(hour) * * * \(command) backup run --kind full --tag daily --quiet \(log)
      \((minute + 30) % 60) * * * * \(command) backup run --kind database --tag hourly --quiet \(log)
      \(minute) \((hour + 1) % 24) * * 1 \(command) backup verify --depth documents --quiet \(log)
      \((minute + 15) % 60) \((hour + 2) % 24) * * * \(command) backup prune --quiet \(log)
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
    ]
  }

  private func oneshot(_ what: String, _ words: String) -> String {
    """
    [Unit]
    Description=martlet \(what)
    After=network-online.target
    Wants=network-online.target

    [Service]
    Type=oneshot
    WorkingDirectory=\(folder)
    ExecStart=\(program) \(words)
    EnvironmentFile=-\(folder)/.env
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

    [Service]
    Type=simple
    WorkingDirectory=\(folder)
    ExecStart=\(program) oplog run
    EnvironmentFile=-\(folder)/.env
    Restart=on-failure
    RestartSec=5
    KillSignal=SIGTERM
    TimeoutStopSec=90

    [Install]
    WantedBy=multi-user.target

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
