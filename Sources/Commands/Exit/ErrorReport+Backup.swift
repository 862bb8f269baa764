import Backup
import MongoDB

extension ErrorReport {
  /// Namespace, offset and path are in the message for people, and apart for programs.
  init(backup error: BackupError, stopped reason: Cancellation.Reason?) {
    var bare = error
    bare.hint = nil
    self.init(
      code: String(describing: error.code), message: bare.description, hint: error.hint,
      status: Self.status(of: error, stopped: reason))
    add(namespace: error.namespace, offset: error.offset, path: error.path)
  }

  private static func status(of error: BackupError, stopped reason: Cancellation.Reason?)
    -> CommandStatus
  {
    switch error.code {
    case .damaged: .backupDamaged
    case .usage, .unsupported: .usage
    case .locked: .locked
    case .notReady: .notReady
    case .encryption, .privilege: .accessDenied
    case .cancelled: reason.map(CommandStatus.init(stopped:)) ?? .interrupted
    case .mismatch: .checksFailed
    case .notFound, .unreachableTime, .store, .program, .conflict, .gap: .failed
    }
  }
}
