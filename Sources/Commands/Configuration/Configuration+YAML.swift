extension Configuration {
  /// Reads the whole file's mapping. Every key is named here once; any other is an error.
  init(_ root: ConfigurationNode) throws(CommandError) {
    try root.mapping { (key, value) throws(CommandError) -> Bool in
      switch key {
      case "uri": uri = try value.text()
      case "database": database = try value.text()
      case "environment": environment = try value.choice(of: DeploymentEnvironment.self)
      case "migrations": migrations = try Migrations(value)
      case "backup": backup = try Backup(value)
      case "oplog": oplog = try Oplog(value)
      case "validation": validation = try Validation(value)
      case "window": window = try Window(value)
      case "notify": notify = try Notify(value)
      default: return false
      }
      return true
    } known: {
      [
        "uri", "database", "environment", "migrations", "backup", "oplog", "validation", "window",
        "notify",
      ]
    }
  }
}

extension Configuration.Migrations {
  fileprivate init(_ node: ConfigurationNode) throws(CommandError) {
    try node.mapping { (key, value) throws(CommandError) -> Bool in
      switch key {
      case "directory": directory = try value.path()
      case "collection": collection = try value.text()
      case "backup": backup = try value.choice(of: Configuration.SafetyBackup.self)
      default: return false
      }
      return true
    } known: {
      ["directory", "collection", "backup"]
    }
  }
}

extension Configuration.Backup {
  fileprivate init(_ node: ConfigurationNode) throws(CommandError) {
    try node.mapping { (key, value) throws(CommandError) -> Bool in
      switch key {
      case "store": store = try value.path(orURL: true)
      case "compression": compression = try value.choice(of: Configuration.Compression.self)
      case "level": level = try value.integer(in: 1...9)
      case "encrypt": recipients = try Self.recipients(value)
      case "keep": keep = try Configuration.Keep(value)
      case "files": files = try value.list { (item) throws(CommandError) in try item.path() }
      case "commands":
        commands = try value.list { (item) throws(CommandError) in
          try Configuration.Stream(item)
        }
      default: return false
      }
      return true
    } known: {
      ["store", "compression", "level", "encrypt", "keep", "files", "commands"]
    }
  }

  private static func recipients(_ node: ConfigurationNode) throws(CommandError) -> [String] {
    var found: [String] = []
    try node.mapping { (key, value) throws(CommandError) -> Bool in
      guard key == "recipients" else { return false }
      found = try value.list { (item) throws(CommandError) in try item.text() }
      return true
    } known: {
      ["recipients"]
    }
    // Who writes this down does not want backups that everybody can read.
    guard !found.isEmpty else {
      throw node.error(
        "backup.encrypt names no recipients",
        hint: "write recipients: [age1…], or leave encrypt out for backups that are not encrypted")
    }
    return found
  }
}

extension Configuration.Keep {
  fileprivate init(_ node: ConfigurationNode) throws(CommandError) {
    try node.mapping { (key, value) throws(CommandError) -> Bool in
      let count = 0...1_000_000
      switch key {
      case "within": within = try value.duration()
      case "last": last = try value.integer(in: count)
      case "hourly": hourly = try value.integer(in: count)
      case "daily": daily = try value.integer(in: count)
      case "weekly": weekly = try value.integer(in: count)
      case "monthly": monthly = try value.integer(in: count)
      case "yearly": yearly = try value.integer(in: count)
      default: return false
      }
      return true
    } known: {
      ["within", "last", "hourly", "daily", "weekly", "monthly", "yearly"]
    }
  }
}

extension Configuration.Stream {
  fileprivate init(_ node: ConfigurationNode) throws(CommandError) {
    var name: String?
    var dump: String?
    var restore: String?
    try node.mapping { (key, value) throws(CommandError) -> Bool in
      switch key {
      case "name": name = try value.text()
      case "dump": dump = try value.text()
      case "restore": restore = try value.text()
      default: return false
      }
      return true
    } known: {
      ["name", "dump", "restore"]
    }
    guard let name else { throw node.error("a backup command needs a name") }
    guard let dump else { throw node.error("the backup command \"\(name)\" needs dump") }
    self.init(name: name, dump: dump, restore: restore)
  }
}

extension Configuration.Oplog {
  fileprivate init(_ node: ConfigurationNode) throws(CommandError) {
    try node.mapping { (key, value) throws(CommandError) -> Bool in
      guard key == "slice" else { return false }
      slice = try value.duration()
      return true
    } known: {
      ["slice"]
    }
  }
}

extension Configuration.Validation {
  fileprivate init(_ node: ConfigurationNode) throws(CommandError) {
    try node.mapping { (key, value) throws(CommandError) -> Bool in
      guard key == "rules" else { return false }
      rules = try value.path()
      return true
    } known: {
      ["rules"]
    }
  }
}

extension Configuration.Window {
  fileprivate init(_ node: ConfigurationNode) throws(CommandError) {
    try node.mapping { (key, value) throws(CommandError) -> Bool in
      switch key {
      case "stop": stop = try value.list { (item) throws(CommandError) in try item.text() }
      case "start": start = try value.list { (item) throws(CommandError) in try item.text() }
      case "health": health = try value.list { (item) throws(CommandError) in try item.text() }
      case "on_failure": onFailure = try value.choice(of: Configuration.FailureAction.self)
      case "max_runtime": maxRuntime = try value.duration()
      default: return false
      }
      return true
    } known: {
      ["stop", "start", "health", "on_failure", "max_runtime"]
    }
  }
}

extension Configuration.Notify {
  fileprivate init(_ node: ConfigurationNode) throws(CommandError) {
    try node.mapping { (key, value) throws(CommandError) -> Bool in
      switch key {
      case "email": email = try value.text()
      case "webhook": webhook = try value.text()
      case "metrics": metrics = try value.path()
      default: return false
      }
      return true
    } known: {
      ["email", "webhook", "metrics"]
    }
  }
}
