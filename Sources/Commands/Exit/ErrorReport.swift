import BSON
import Backup
import Dump
import Migration
import MongoDB
import Validation

/// An error as people and programs are told about it: the one map from errors to words and exit codes.
struct ErrorReport: Sendable, Hashable {
  /// A stable name for programs: `unreachable`, `usage`, …
  var code: String
  var message: String
  var hint: String?
  var status: CommandStatus
  /// More that programs may want to know, in order.
  var details: [Detail] = []

  struct Detail: Sendable, Hashable {
    var name: String
    var value: JSONValue
  }

  /// Describes any error. `reason` is why the run was told to stop, if it was.
  init(_ error: any Error, stopped reason: Cancellation.Reason? = nil) {
    switch error {
    case let error as CommandError:
      self.init(command: error)
      if error.code == .interrupted, let reason { status = CommandStatus(stopped: reason) }
    case let error as MongoError: self.init(mongo: error, stopped: reason)
    case let error as MigrationError: self.init(migration: error)
    case let error as DumpError:
      // A store or program that failed underneath knows better what it was.
      if let cause = error.cause as? BackupError {
        self.init(backup: cause, stopped: reason)
      } else {
        self.init(dump: error, stopped: reason)
      }
    case let error as BackupError: self.init(backup: error, stopped: reason)
    case let error as ValidationError: self.init(validation: error)
    case let error as BSONError:
      self.init(code: "malformedBSON", message: error.description, status: .failed)
    default:
      self.init(code: "failed", message: String(describing: error), status: .failed)
    }
  }

  init(
    code: String, message: String, hint: String? = nil, status: CommandStatus,
    details: [Detail] = []
  ) {
    self.code = code
    self.message = message
    self.hint = hint
    self.status = status
    self.details = details
  }

  /// Tells programs where it was; people have it in the message.
  mutating func add(namespace: String?, offset: Int64?, path: String?) {
    if let namespace { details.append(Detail(name: "namespace", value: .string(namespace))) }
    if let offset { details.append(Detail(name: "offset", value: .integer(offset))) }
    if let path { details.append(Detail(name: "path", value: .string(path))) }
  }

  private init(command error: CommandError) {
    let status: CommandStatus =
      switch error.code {
      case .usage, .configuration, .confirmation, .refused: .usage
      case .notReady: .notReady
      case .interrupted: .interrupted
      case .declined: .stopped
      case .locked: .locked
      case .file, .failed: .failed
      }
    self.init(
      code: error.code.rawValue, message: error.description, hint: error.hint, status: status)
    if let location = error.location {
      details = [
        Detail(name: "file", value: .string(location.file)),
        Detail(name: "line", value: .integer(Int64(location.line))),
        Detail(name: "column", value: .integer(Int64(location.column))),
      ]
    }
  }

  private init(mongo error: MongoError, stopped reason: Cancellation.Reason?) {
    // The description ends with the hint, which has a place of its own here.
    var bare = error
    bare.hint = nil
    self.init(
      code: String(describing: error.kind), message: bare.description, hint: error.hint,
      status: Self.status(of: error.kind, stopped: reason))
    if error.code != 0 {
      details.append(Detail(name: "serverCode", value: .integer(Int64(error.code))))
    }
    if let name = error.codeName {
      details.append(Detail(name: "serverCodeName", value: .string(name)))
    }
    if let namespace = error.namespace {
      details.append(Detail(name: "namespace", value: .string(namespace)))
    }
  }

  private static func status(
    of kind: MongoError.Kind, stopped reason: Cancellation.Reason?
  ) -> CommandStatus {
    switch kind {
    case .unreachable: .notReady
    case .authentication, .privilege: .accessDenied
    // A lost lease is another run's lock, seen late.
    case .locked, .leaseLost: .locked
    case .cancelled: reason.map(CommandStatus.init(stopped:)) ?? .stopped
    case .invalidURI: .usage
    case .server, .writeErrors, .writeConcern, .timedOut, .client, .malformedReply: .failed
    }
  }

  /// The document that `--json` prints for an error.
  var json: JSONValue {
    var fields: [(String, JSONValue)] = [
      ("code", .string(code)),
      ("message", .string(message)),
      ("hint", hint.map(JSONValue.string) ?? .null),
      ("exitCode", .integer(Int64(status.rawValue))),
    ]
    fields += details.map { ($0.name, $0.value) }
    return .object([("error", .object(fields))])
  }
}

extension CommandStatus {
  /// 130 belongs to Ctrl-C alone: whoever sends another signal means "stop, go on later".
  init(stopped reason: Cancellation.Reason) {
    switch reason {
    case .interrupted(let signal): self = signal == Signals.interrupt ? .interrupted : .stopped
    case .leaseLost: self = .locked
    case .stopped: self = .stopped
    }
  }
}
