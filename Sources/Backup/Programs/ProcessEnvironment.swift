internal import Glibc

/// Our own environment.
public enum ProcessEnvironment {
  /// All of it.
  public static var current: [String: String] {
    var out: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
      let pair = String(cString: text)
      if let equals = pair.firstIndex(of: "=") {
        out[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
      }
      entry += 1
    }
    return out
  }

  /// A value that is set and not empty.
  public static subscript(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }
}

/// Cuts what other programs' messages may quote: URLs' credentials, and secrets of the environment.
enum Redaction {
  static func text(_ text: String, environment: [String: String] = ProcessEnvironment.current)
    -> String
  {
    var out = urls(text)
    for (name, value) in environment where value.utf8.count >= 4 && isSecret(name) {
      out = out.replacing(value, with: "***")
    }
    return out
  }

  /// `PGPASSWORD`, `REDISCLI_AUTH`, `AWS_SECRET_ACCESS_KEY`, `API_TOKEN`; but not `SSH_AUTH_SOCK`.
  static func isSecret(_ name: String) -> Bool {
    let name = name.uppercased()
    return ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL"].contains {
      name.contains($0)
    } || ["_PASS", "_PW", "_AUTH", "_KEY", "APIKEY"].contains { name.hasSuffix($0) }
  }

  private static func urls(_ text: String) -> String {
    var out = ""
    var rest = text[...]
    while let scheme = rest.range(of: "://") {
      out += rest[..<scheme.upperBound]
      rest = rest[scheme.upperBound...]
      let authority = rest.prefix { !$0.isWhitespace && $0 != "/" && $0 != "'" && $0 != "\"" }
      if let at = authority.lastIndex(of: "@") {
        out += "***"
        rest = rest[at...]
      }
    }
    return out + rest
  }
}

extension Substring {
  /// The first place of a literal.
  fileprivate func range(of literal: String) -> Range<Index>? {
    var at = startIndex
    while at < endIndex {
      if self[at...].hasPrefix(literal) {
        return at..<index(at, offsetBy: literal.count)
      }
      at = index(after: at)
    }
    return nil
  }
}
