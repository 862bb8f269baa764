/// `martlet.yaml`, as it is written: what it does not say is nil or empty.
struct Configuration: Sendable, Hashable {
  var uri: String?
  var database: String?
  var environment: DeploymentEnvironment?
  var migrations = Migrations()
  var backup = Backup()
  var oplog = Oplog()
  var validation = Validation()
  var window = Window()
  var notify = Notify()

  struct Migrations: Sendable, Hashable {
    var directory: String?
    var collection: String?
    var backup: SafetyBackup?
  }

  /// Whether `migrate up` takes a backup first.
  enum SafetyBackup: String, Sendable, Hashable, CaseIterable {
    /// When something in the plan could not be undone otherwise.
    case auto
    case always
    case never
  }

  struct Backup: Sendable, Hashable {
    /// A folder, or `rclone:REMOTE:PATH`.
    var store: String?
    var compression: Compression?
    /// 1…9.
    var level: Int?
    /// Keys that can open it: `age1…`.
    var recipients: [String] = []
    var keep = Keep()
    var files: [String] = []
    var commands: [Stream] = []
  }

  enum Compression: String, Sendable, Hashable, CaseIterable { case gzip, none }

  struct Keep: Sendable, Hashable {
    var within: Duration?
    var last: Int?
    var hourly: Int?
    var daily: Int?
    var weekly: Int?
    var monthly: Int?
    var yearly: Int?
  }

  /// Another service whose dump is a stream.
  struct Stream: Sendable, Hashable {
    var name: String
    /// Shell command that writes the dump to its standard output.
    var dump: String
    /// Shell command that reads it from its standard input.
    var restore: String?
  }

  struct Oplog: Sendable, Hashable {
    var slice: Duration?
  }

  struct Validation: Sendable, Hashable {
    var rules: String?
  }

  struct Window: Sendable, Hashable {
    /// Shell commands, one after the other.
    var stop: [String] = []
    var start: [String] = []
    var health: [String] = []
    var onFailure: FailureAction?
    var maxRuntime: Duration?
  }

  /// What a maintenance window does when a migration or its check fails.
  enum FailureAction: String, Sendable, Hashable, CaseIterable { case down, restore, stop }

  struct Notify: Sendable, Hashable {
    var email: String?
    var webhook: String?
    /// File for node_exporter's text collector.
    var metrics: String?
  }
}

/// Where this is: what is allowed, and how loudly it asks.
enum DeploymentEnvironment: String, Sendable, Hashable, CaseIterable {
  case development, test, staging, production
}
