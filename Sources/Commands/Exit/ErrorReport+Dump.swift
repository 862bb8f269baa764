import Dump
import MongoDB

extension ErrorReport {
  /// Namespace and offset are in the message for people, and apart for programs.
  init(dump error: DumpError, stopped reason: Cancellation.Reason?) {
    var bare = error
    bare.hint = nil
    self.init(
      code: String(describing: error.code), message: bare.description, hint: error.hint,
      status: Self.status(of: error, stopped: reason))
    add(namespace: error.namespace, offset: error.offset, path: error.path)
  }

  private static func status(of error: DumpError, stopped reason: Cancellation.Reason?)
    -> CommandStatus
  {
    switch error.code {
    case .damaged: .backupDamaged
    case .usage, .unsupported: .usage
    case .partial: .partlyDone
    case .cancelled: reason.map(CommandStatus.init(stopped:)) ?? .interrupted
    case .file, .conflict, .inconsistent, .server: .failed
    }
  }
}
