internal import BSON
internal import CLibMongoc

/// What a failed call was about.
struct CallContext {
  var command: String?
  var namespace: String?
  var settings: ConnectionSettings?

  static let none = CallContext()
}

extension MongoError {
  /// The error of a libmongoc call: kind by domain and code, labels from the reply.
  static func from(_ error: bson_error_t, reply: Document?, _ context: CallContext) -> MongoError {
    let code = Int(error.code)
    var text = error.text
    let isServer =
      error.domain == MONGOC_ERROR_SERVER.rawValue
      || error.domain == MONGOC_ERROR_WRITE_CONCERN.rawValue
    let codeName = reply?["codeName"]?.stringValue
    let labels = (reply?["errorLabels"]?.arrayValue ?? []).compactMap(\.stringValue)
    let kind = kind(of: error, isServer: isServer, context)

    var hint: String?
    switch kind {
    case .privilege:
      text = "not authorized: action \(context.command ?? "?") on \(context.namespace ?? "?")"
      hint =
        context.namespace?.contains(".system.buckets.") == true
        ? "a time-series is read by its buckets: grant the user the role backup, or readAnyDatabase"
        : "grant the user a role that allows \(context.command ?? "this") there"
    case .authentication:
      let user = context.settings?.username.map { " for user \($0)" } ?? ""
      text =
        context.settings?.username == nil
        ? "the server requires authentication, and the connection string has no user"
        : "authentication failed\(user): \(Redaction.clean(text, command: nil, code: code))"
      hint = "check user, password and authSource"
    case .unreachable:
      text = Redaction.unreachable(text, hosts: context.settings?.hosts ?? [], error: error)
    default:
      text = Redaction.clean(text, command: context.command, code: code)
      if isServer, notPrimaryCodes.contains(code) {
        hint = electionHint
      }
    }
    return MongoError(
      kind, text, code: code, codeName: codeName, domain: domainName(error.domain), labels: labels,
      command: kind == .privilege ? nil : context.command, namespace: context.namespace,
      host: context.settings?.hosts.joined(separator: ","), reply: reply.map(Redaction.counts),
      hint: hint)
  }

  /// The error inside a reply that says `ok: 1`, if there is one.
  static func inside(_ reply: DocumentView, _ context: CallContext) -> MongoError? {
    var writes: [Value] = []
    var concern: Document?
    var iterator = reply.makeIterator()
    while let element = try? iterator.next() {
      if element.isNamed("writeErrors") {
        writes = (try? element.value())?.arrayValue ?? []
      } else if element.isNamed("writeConcernError") {
        concern = (try? element.value())?.documentValue
      } else if element.isNamed("writeConcernErrors") {
        concern = concern ?? (try? element.value())?.arrayValue?.first?.documentValue
      }
    }
    guard !writes.isEmpty || concern != nil, let whole = try? Document(copying: reply) else {
      return nil
    }
    let labels = (whole["errorLabels"]?.arrayValue ?? []).compactMap(\.stringValue)
    if !writes.isEmpty { return failedWrites(writes, whole, labels, context) }
    let code = Int(concern?["code"]?.integerValue ?? 0)
    let text = Redaction.clean(
      concern?["errmsg"]?.stringValue ?? "", command: context.command, code: code)
    return MongoError(
      .writeConcern, "the write was not confirmed as asked: \(text)", code: code,
      codeName: concern?["codeName"]?.stringValue, domain: serverDomain, labels: labels,
      command: context.command, namespace: context.namespace,
      host: context.settings?.hosts.joined(separator: ","), reply: Redaction.counts(whole),
      hint: notPrimaryCodes.contains(code) ? electionHint : nil)
  }

  private static let electionHint =
    "the replica set has elected another primary, or is about to: run it again"

  private static func failedWrites(
    _ writes: [Value], _ reply: Document, _ labels: [String], _ context: CallContext
  ) -> MongoError {
    let errors = writes.compactMap(\.documentValue).map { write in
      let code = Int(write["code"]?.integerValue ?? 0)
      return WriteError(
        index: Int(write["index"]?.integerValue ?? 0), code: code,
        message: Redaction.clean(
          write["errmsg"]?.stringValue ?? "", command: context.command, code: code))
    }
    let first = errors.first
    let more = errors.count > 1 ? " (and \(errors.count - 1) more failed writes)" : ""
    return MongoError(
      first?.code == 13 ? .privilege : .writeErrors, (first?.message ?? "a write failed") + more,
      code: first?.code ?? 0, domain: serverDomain, labels: labels, command: context.command,
      namespace: context.namespace, host: context.settings?.hosts.joined(separator: ","),
      writeErrors: errors, reply: Redaction.counts(reply))
  }

  private static func kind(
    of error: bson_error_t, isServer: Bool, _ context: CallContext
  ) -> Kind {
    if isServer {
      switch error.code {
      case 18: return .authentication
      // The same code says "not logged in" and "not allowed"; only we know whether we logged in.
      case 13: return context.settings?.username == nil ? .authentication : .privilege
      case 50, 262: return .timedOut
      default: return .server
      }
    }
    switch error.domain {
    case MONGOC_ERROR_SERVER_SELECTION.rawValue, MONGOC_ERROR_STREAM.rawValue: return .unreachable
    case MONGOC_ERROR_SASL.rawValue, MONGOC_ERROR_SCRAM.rawValue: return .authentication
    case MONGOC_ERROR_CLIENT.rawValue:
      return error.code == MONGOC_ERROR_CLIENT_AUTHENTICATE.rawValue ? .authentication : .client
    case MONGOC_ERROR_PROTOCOL.rawValue: return .malformedReply
    default: return .client
    }
  }

  private static func domainName(_ domain: UInt32) -> String {
    switch domain {
    case MONGOC_ERROR_SERVER.rawValue, MONGOC_ERROR_WRITE_CONCERN.rawValue: serverDomain
    case MONGOC_ERROR_SERVER_SELECTION.rawValue: "server selection"
    case MONGOC_ERROR_STREAM.rawValue: networkDomain
    case MONGOC_ERROR_SASL.rawValue, MONGOC_ERROR_SCRAM.rawValue: "authentication"
    case MONGOC_ERROR_PROTOCOL.rawValue: "protocol"
    case MONGOC_ERROR_TRANSACTION.rawValue: "transaction"
    case MONGOC_ERROR_COMMAND.rawValue: "command"
    case MONGOC_ERROR_BSON.rawValue: "bson"
    default: "client"
    }
  }
}

extension bson_error_t {
  /// libmongoc's words.
  var text: String {
    withUnsafeBytes(of: message) { raw in
      String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}
