import BSON
import Foundation
import MongoDB

/// What a connected server shows. Reads only, except for the write check.
struct ServerChecks {
  let client: Client
  let server: ServerDescription
  let database: String?
  /// The ledger's, whose neighbour takes the write check.
  let collection: String
  let cancellation: Cancellation
  /// How long the run may take, where somebody has said.
  var runtime: Duration?

  /// In the order of the report.
  static let names = [
    "connection", "version", "topology", "members", "replication-lag", "majority", "oplog-window",
    "disk", "clock", "privileges", "write-check",
  ]

  /// A command that the server refuses makes its check skipped, not the whole checkup fail.
  func all(write: Bool) throws -> [Check] {
    var checks = [connection(), version(), topology()]
    try cancellation.check()
    checks += replication()
    checks += [oplogWindow(), disk(), clock(), PrivilegeCheck(self).check()]
    try cancellation.check()
    checks.append(
      write ? writeCheck() : .skipped("write-check", "not asked for", fix: "add --write-check"))
    return checks
  }

  /// Runs a check; what the server does not answer makes it a skipped one.
  func attempt(_ id: String, needs role: String, _ body: () throws -> Check) -> Check {
    do {
      return try body()
    } catch let error as MongoError where error.kind == .privilege {
      return .skipped(id, "not allowed to look", fix: "grant \(role)")
    } catch {
      return .skipped(id, ErrorReport(error).message)
    }
  }

  func admin(_ command: Document) throws(MongoError) -> Document {
    try client.run(command, on: "admin", options: CommandOptions(maxTime: .seconds(10)))
  }

  private func connection() -> Check {
    .ok("connection", server.me.map { "primary \($0)" } ?? "connected")
  }

  private func version() -> Check {
    let text = server.version.description
    guard server.version >= ServerVersion(4, 2) else {
      return .failed(
        "version", "\(text) is older than 4.2", fix: "upgrade the server", .notReady)
    }
    do {
      let reply = try admin(["getParameter": 1, "featureCompatibilityVersion": 1])
      let fcv = reply["featureCompatibilityVersion"]?.documentValue?["version"]?.stringValue ?? "?"
      if fcv == "\(server.version.major).\(server.version.minor)" {
        return .ok("version", "\(text), feature compatibility \(fcv)")
      }
      return .warning(
        "version", "\(text), but feature compatibility \(fcv)",
        fix: "an upgrade was not finished: setFeatureCompatibilityVersion")
    } catch {
      return .skipped(
        "version", "\(text), feature compatibility not readable",
        fix: "grant getParameter on the cluster: clusterMonitor")
    }
  }

  private func topology() -> Check {
    switch server.topology {
    case .replicaSet(let name):
      guard server.isWritablePrimary else {
        return .failed(
          "topology", "replica set \(name), but this member is not the primary",
          fix: "name the replica set in the URI, or wait for an election", .notReady)
      }
      return .ok("topology", "replica set \(name) of \(server.hosts.count)")
    case .standalone:
      return .warning(
        "topology", "standalone: no transactions, no oplog",
        fix: "steps are journalled one by one; a replica set of one member gives more")
    case .sharded:
      return .warning("topology", "sharded cluster: definitions are not in transactions")
    }
  }

  // MARK: -

  private func disk() -> Check {
    guard let database else { return .skipped("disk", "no database named") }
    return attempt("disk", needs: "dbStats on \(database): readWrite or dbAdmin") {
      let stats = try client.run(
        ["dbStats": 1], on: database, options: CommandOptions(maxTime: .seconds(30)))
      // A database that does not exist yet has no file system; admin always has.
      let volume = stats.has("fsTotalSize") ? stats : try admin(["dbStats": 1])
      guard let total = number(volume["fsTotalSize"]), let used = number(volume["fsUsedSize"]),
        total > 0
      else { return .skipped("disk", "the server does not tell") }
      let free = Int64(total - used)
      let data =
        (number(stats["storageSize"]) ?? 0) + (number(stats["indexSize"]) ?? 0)
      let others = try otherDisks(database)
      let words =
        "\(Quantity.bytes(free)) free on the primary, "
        + others.map { "\($0.words), " }.joined() + "the database takes "
        + Quantity.bytes(Int64(data))
      let least = others.compactMap(\.free).reduce(free, min)
      if least < 500 << 20 {
        return .failed(
          "disk", words, fix: "index builds stop below 500 MB: make room", .notReady)
      }
      if Double(least) < data || Double(least) < total / 20 {
        return .warning(
          "disk", words, fix: "undo data and new indexes may need as much again as they touch")
      }
      guard others.allSatisfy({ $0.free != nil }) else {
        return .warning(
          "disk", words, fix: "bring that member back, or look at its disk by hand")
      }
      return .ok("disk", words)
    }
  }

  /// Every member that holds data needs the room for itself.
  private func otherDisks(_ database: String) throws(MongoError) -> [(words: String, free: Int64?)]
  {
    var disks: [(words: String, free: Int64?)] = []
    for host in client.dataMembers(server) where host != server.me {
      try cancellation.check()
      do {
        let pool = try ClientPool(try client.settings.member(host), maxSize: 1)
        let stats = try pool.withClient { member in
          try member.run(
            ["dbStats": 1], on: database,
            options: CommandOptions(readPreference: .secondaryPreferred, maxTime: .seconds(30)))
        }
        guard let total = number(stats["fsTotalSize"]), let used = number(stats["fsUsedSize"])
        else {
          disks.append(("\(host) does not tell", nil))
          continue
        }
        disks.append(("\(Quantity.bytes(Int64(total - used))) on \(host)", Int64(total - used)))
      } catch {
        disks.append(("\(host) could not be asked", nil))
      }
    }
    return disks
  }

  func number(_ value: Value?) -> Double? {
    value?.doubleValue ?? value?.integerValue.map(Double.init)
  }

  private func clock() -> Check {
    attempt("clock", needs: "nothing") {
      let before = Date()
      let theirs = try client.serverTime()
      let after = Date()
      let middle = (before.timeIntervalSince1970 + after.timeIntervalSince1970) / 2
      let skew = Double(theirs.milliseconds) / 1000 - middle
      let words = "\((abs(skew) * 10).rounded() / 10) s \(skew < 0 ? "behind" : "ahead of") ours"
      guard abs(skew) > 5 else { return .ok("clock", "the server's is within 5 s of ours") }
      return .warning(
        "clock", "the server's is \(words)",
        fix: "locks and {$date: now} use the server's; mend the clock that is wrong")
    }
  }

  private func writeCheck() -> Check {
    guard let database else { return .skipped("write-check", "no database named") }
    let name = collection + ".doctor"
    do {
      let target = client.database(database)
      let existed = try !target.listCollections(filter: ["name": .string(name)]).isEmpty
      let concern: Document = ["w": "majority", "wtimeout": 10_000]
      let options = CommandOptions(writeConcern: concern)
      let id = Value.objectID(
        .generate(seconds: UInt32(truncatingIfNeeded: Int(Date().timeIntervalSince1970))))
      defer {
        if !existed { try? target.drop(name) }
      }
      let start = ContinuousClock.now
      _ = try target.insert(name, [["_id": id]], options: options)
      let took = ContinuousClock.now - start
      _ = try target.delete(name, [["q": ["_id": id], "limit": 1]], options: options)
      return .ok("write-check", "a majority had it after \(Quantity.time(took))")
    } catch {
      let report = ErrorReport(error)
      let status = report.status == .failed ? CommandStatus.notReady : report.status
      return .failed("write-check", report.message, fix: report.hint, status)
    }
  }
}
