internal import BSON
internal import CLibMongoc

/// Cuts document contents out of what servers say.
enum Redaction {
  /// The server's words without values.
  ///
  /// Servers print documents in braces and values in double quotes. Index and option conflicts
  /// print specifications, which are ours and worth reading; they stay.
  static func clean(_ text: String, command: String?, code: Int) -> String {
    if definitionCodes.contains(code), definitionCommands.contains(command ?? "") { return text }
    var text = text
    if let range = firstRange(of: " dup key:", in: text) { text = String(text[..<range]) }
    if code == conversionFailure { text = cutting(text, open: "'", close: "'") }
    return cutting(cutting(text, open: "{", close: "}"), open: "\"", close: "\"")
  }

  /// The reply without anything that repeats documents or keys.
  static func counts(_ reply: Document) -> Document {
    reply.filteringElements { element in !withheld.contains { element.isNamed($0) } }
  }

  /// Says what could not be reached, in how long, and why.
  static func unreachable(_ text: String, hosts: [String], error: bson_error_t) -> String {
    let servers = hosts.joined(separator: ", ")
    guard error.domain == MONGOC_ERROR_SERVER_SELECTION.rawValue else {
      return "the connection to \(servers) broke: \(text)"
    }
    // libmongoc puts what each server answered in brackets, and says little about refused connections.
    var reasons = text.split(separator: "[").dropFirst().compactMap {
      $0.split(separator: "]").first.map(String.init)
    }
    for host in hosts {
      guard let complaint = Reachability.complaint(about: host) else { continue }
      reasons.removeAll { $0.contains("connect") && $0.contains(host) }
      reasons.append("\(host): \(complaint)")
    }
    let reason = reasons.isEmpty ? text : reasons.joined(separator: "; ")
    return "no server can be used at \(servers) (server selection timed out): \(reason)"
  }

  private static let conversionFailure = 241
  private static let withheld = [
    "errmsg", "writeErrors", "errInfo", "keyValue", "value", "cursor", "values", "$clusterTime",
    "operationTime",
  ]
  // BadValue, FailedToParse, TypeMismatch, NamespaceExists, CannotCreateIndex, InvalidOptions,
  // IndexOptionsConflict, IndexKeySpecsConflict, InvalidIndexSpecificationOption, unknown fields.
  private static let definitionCodes: Set<Int> = [
    2, 9, 14, 48, 67, 72, 85, 86, 115, 197, 40414, 40415,
  ]
  private static let definitionCommands: Set<String> = [
    "create", "createIndexes", "dropIndexes", "collMod", "renameCollection", "drop",
  ]

  /// The start of the first occurrence of `needle`.
  private static func firstRange(of needle: String, in text: String) -> String.Index? {
    var rest = text[...]
    while !rest.isEmpty {
      if rest.hasPrefix(needle) { return rest.startIndex }
      rest = rest.dropFirst()
    }
    return nil
  }

  /// Replaces what stands between the marks, nested ones included; an open end is cut to the end.
  private static func cutting(_ text: String, open: Character, close: Character) -> String {
    var out = ""
    var depth = 0
    for character in text {
      if depth == 0 {
        out.append(character)
        if character == open {
          depth = 1
          out.append("…")
        }
      } else if character == close {
        depth -= 1
        if depth == 0 { out.append(character) }
      } else if character == open {
        depth += 1
      }
    }
    return out
  }
}
