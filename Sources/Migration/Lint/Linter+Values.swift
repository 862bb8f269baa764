import BSON

extension Linter {
  /// Values that should not be in a file. The message names where, never what.
  mutating func values(_ step: Step) {
    var found: [String] = []
    for element in step.command.dropFirst() {
      Self.search(element.value, element.key, name: element.key, &found)
    }
    for path in found.prefix(10) {
      report(
        .credentials, "\(path) looks like a credential",
        safer: "# set it at run time from the environment or a secret store")
    }
  }

  private static func search(_ value: Value, _ path: String, name: String, _ found: inout [String])
  {
    switch value {
    case .string(let text):
      if isSecret(text) || (isSecretName(name) && !isPlaceholder(text)) { found.append(path) }
    case .document(let document):
      for element in document {
        search(element.value, "\(path).\(element.key)", name: element.key, &found)
      }
    case .array(let items):
      for (index, item) in items.enumerated() {
        search(item, "\(path)[\(index)]", name: name, &found)
      }
    default: break
    }
  }

  private static let secretNames: Set<String> = [
    "password", "passwd", "pwd", "secret", "api_key", "apikey", "access_token", "auth_token",
    "private_key", "client_secret", "secret_key", "access_key", "secretkey", "accesskey",
  ]

  private static func isSecretName(_ name: String) -> Bool {
    secretNames.contains(name.lowercased().replacing("-", with: "_"))
  }

  /// Paths of fields, operators and short words such as the types of a schema.
  private static func isPlaceholder(_ text: String) -> Bool {
    text.isEmpty || text.hasPrefix("$") || ["string", "binData", "object"].contains(text)
  }

  private static let prefixes = [
    "-----BEGIN ", "AKIA", "ghp_", "github_pat_", "xoxb-", "xoxp-", "sk_live_", "rk_live_", "$2a$",
    "$2b$", "$2y$", "$argon2", "eyJhbGciOi",
  ]

  private static func isSecret(_ text: String) -> Bool {
    guard text.utf8.count >= 16 else { return false }
    if prefixes.contains(where: text.hasPrefix) { return true }
    // scheme://user:password@host
    guard let scheme = text.firstRange(of: "://") else { return false }
    let authority = text[scheme.upperBound...].prefix { $0 != "/" }
    guard let at = authority.lastIndex(of: "@") else { return false }
    return authority[..<at].contains(":")
  }

  /// `expect` against the collections that the steps touch.
  mutating func effects(_ migration: Migration) {
    guard let expect = migration.expect else { return }
    var touched = Set(migration.up.compactMap(\.target))
    for step in migration.up {
      if let to = step.command["to"]?.stringValue { touched.insert(to) }
      for stage in step.command["pipeline"]?.documents ?? [] {
        for output in [stage["$out"], stage["$merge"]].compactMap(\.self) {
          touched.formUnion(
            [output, output.documentValue?["into"], output.documentValue?["coll"]]
              .compactMap { $0?.stringValue })
        }
      }
    }
    for name in expect.keys where !touched.contains(name) {
      let near = Suggestion.nearest(to: name, in: touched)
      report(
        .foreignEffect,
        "expect: no step touches \(name)"
          + (near.map { ", did you mean \($0)?" } ?? ""),
        safer: near.map { "expect: { \(FlowYAML.scalar($0)): … }" })
    }
  }
}
