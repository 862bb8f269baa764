/// The texts that `martlet init` writes.
struct ProjectTemplate: Sendable, Hashable {
  let uri: String
  let database: String
  let environment: DeploymentEnvironment

  var configuration: String {
    """
    # Martlet: migrations, backups and validation. Values may hold ${NAME} or ${NAME:-default} from the
    # environment; paths start from this file's folder. Flags and MARTLET_URI, MARTLET_DB win over it.

    uri: \(Self.scalar("${MARTLET_URI:-\(uri)}"))
    database: \(Self.scalar(database))

    # development, test, staging or production. In production the dev commands are refused, and what
    # destroys something asks for the database's name, or needs --yes.
    environment: \(environment.rawValue)

    migrations:
      directory: migrations
      collection: migrations
      # auto takes a backup before what could not be taken back otherwise; always, never.
      backup: auto

    # backup:
    #   store: ./backups              # or rclone:REMOTE:PATH
    #   compression: gzip             # gzip, none
    #   level: 6                      # 1 to 9
    #   encrypt: { recipients: [age1...] }
    #   keep: { within: 30d, last: 4, daily: 7, weekly: 4, monthly: 12 }
    #   files: [config]               # application files that belong to the data
    #   commands:                     # other services whose dump is a stream
    #     - { name: postgres, dump: "pg_dump -Fc shop", restore: "pg_restore -d shop" }

    # oplog: { slice: 60s }

    validation: { rules: validation/rules.yaml }

    # window:
    #   stop: ["systemctl stop shop"]
    #   start: ["systemctl start shop"]
    #   health: ["curl -fsS http://127.0.0.1:8080/healthz"]
    #   on_failure: down              # down, restore, stop
    #   max_runtime: 2h

    # notify:
    #   email: ops@example.com
    #   webhook: https://example.com/hook
    #   metrics: /var/lib/node_exporter/martlet.prom

    """
  }

  static let rules = """
    # What must hold before and after a maintenance window: martlet validate before|after.
    # Every rule may have `severity: error|warning|info`, `when: before|after|both|started` and `fix: TEXT`.
    version: 1
    collections: []   # - { name: users, minimum: 1 }
    indexes: []       # - { collection: users, key: { email: 1 }, unique: true }
    references: []    # - { from: orders.user_id, to: users._id, nullable: true }
    unique: []        # - { collection: users, fields: email }
    schemas: []       # - { collection: orders, schema: { required: [user_id] } }
    fields: []        # - { collection: orders, field: total, type: number, minimum: 0 }
    empty: []         # - { name: what must not be, collection: orders, pipeline: [ { $match: { … } } ] }
    queries: []       # - { name: a query, collection: orders, filter: { user_id: 1 }, p95: 50ms }
    files: []         # - { path: config/app.yaml }
    commands: []      # - { name: the API answers, run: "curl -fsS http://127.0.0.1:8080/healthz", when: started }
    audit: []         # - { collection: audit_logs, run: a command that is logged, where: { action: ping } }

    """

  /// A folder's name as a database may be called.
  static func databaseName(ofFolder path: String) -> String {
    let last = path.split(separator: "/").last.map(String.init) ?? ""
    let name = String(
      last.lowercased().map { character in
        let fits = character.isASCII && (character.isLetter || character.isNumber)
        return fits || character == "-" || character == "_" ? character : "_"
      }.prefix(60))
    return ["", "_", "admin", "local", "config"].contains(name) ? "app" : name
  }

  /// A YAML scalar; in quotes where plain text could be read as something else.
  static func scalar(_ text: String) -> String {
    let plain = text.unicodeScalars.allSatisfy {
      $0.isASCII && ($0.properties.isAlphabetic || (48...57).contains($0.value))
        || "${}:/.-_@?=&,%+".unicodeScalars.contains($0)
    }
    let word = text.unicodeScalars.first.map { $0.properties.isAlphabetic || $0 == "$" } ?? false
    let reserved = ["true", "false", "null", "yes", "no", "on", "off"].contains(text.lowercased())
    return plain && word && !reserved && !text.hasSuffix(":")
      ? text : JSONValue.string(text).text(pretty: false)
  }
}
