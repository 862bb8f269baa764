public import BSON

/// The marker for the run's start: `{$date: now}` stays in a command as this very document.
///
/// Nothing else parses to it, since `$date` with a time becomes a date.
public enum RunTime {
  /// The marker as a value.
  public static let marker = Value.document(["$date": "now"])

  /// True when the marker is anywhere in the document.
  static func isUsed(in document: Document) -> Bool { document.contains { isUsed(in: $0.value) } }

  private static func isUsed(in value: Value) -> Bool {
    switch value {
    case .document(let inner): value == marker || isUsed(in: inner)
    case .array(let items): items.contains(where: isUsed(in:))
    default: false
    }
  }

  /// The same value with a date in place of each marker.
  static func replace(in value: Value, by now: DateTime) -> Value {
    switch value {
    case marker: .date(now)
    case .document(let inner): .document(replace(in: inner, by: now))
    case .array(let items): .array(items.map { replace(in: $0, by: now) })
    default: value
    }
  }

  static func replace(in document: Document, by now: DateTime) -> Document {
    Document(document.map { ($0.key, replace(in: $0.value, by: now)) })
  }
}

extension Step {
  /// The command as it is sent: markers replaced by the run's start, and every document of an
  /// `insert` with an `_id`, put first as the server would put it.
  public func resolved(now: DateTime, makeID: () -> ObjectID) -> Document {
    let dated = usesNow ? RunTime.replace(in: command, by: now) : command
    guard name == "insert", case .array(let documents) = dated["documents"] else { return dated }
    var result = dated
    result["documents"] = .array(
      documents.map { value in
        guard case .document(let document) = value, !document.has("_id") else { return value }
        var identified: Document = ["_id": .objectID(makeID())]
        identified.append(contentsOf: document)
        return .document(identified)
      })
    return result
  }

  /// The command with the run's start in place of `{$date: now}`; ids are left to the server.
  public func command(now: DateTime) -> Document {
    usesNow ? RunTime.replace(in: command, by: now) : command
  }
}
