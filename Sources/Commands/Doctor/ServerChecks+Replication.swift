import BSON
import MongoDB

extension ServerChecks {
  /// Members, lag and majority, from one look at the set.
  func replication() -> [Check] {
    let ids = ["members", "replication-lag", "majority"]
    guard case .replicaSet = server.topology else {
      return ids.map { .skipped($0, "no replica set") }
    }
    do {
      return checks(of: try admin(["replSetGetStatus": 1]))
    } catch {
      let denied = error.kind == .privilege
      return ids.map {
        .skipped(
          $0, denied ? "not allowed to look" : ErrorReport(error).message,
          fix: denied ? "grant clusterMonitor" : nil)
      }
    }
  }

  private struct Member {
    var name: String
    var state: String
    /// Seconds since 1970 of the newest write.
    var written: Double?

    var holdsData: Bool { state == "PRIMARY" || state == "SECONDARY" }
    var isArbiter: Bool { state == "ARBITER" }
  }

  private func checks(of status: Document) -> [Check] {
    let members = (status["members"]?.arrayValue ?? []).compactMap(\.documentValue).map { member in
      Member(
        name: member["name"]?.stringValue ?? "?", state: member["stateStr"]?.stringValue ?? "?",
        written: member["optimeDate"]?.dateValue.map { Double($0.milliseconds) / 1000 })
    }
    return [up(members), lag(members), majority(members, status)]
  }

  private func up(_ members: [Member]) -> Check {
    let down = members.filter { !$0.holdsData && !$0.isArbiter }
    guard let first = down.first else {
      return .ok("members", "\(members.count) of \(members.count) up")
    }
    let names = down.map { "\($0.name) is \($0.state)" }.joined(separator: ", ")
    // From 4.4 an index build waits for every data-bearing voting member.
    return .warning(
      "members", names,
      fix:
        "bring \(first.name) back: from 4.4 index builds wait for it, unless commitQuorum is majority"
    )
  }

  private func lag(_ members: [Member]) -> Check {
    let primary = members.first { $0.state == "PRIMARY" }?.written
    let behind = members.filter { $0.state == "SECONDARY" }.compactMap { member in
      member.written.map { (name: member.name, seconds: max(0, (primary ?? $0) - $0)) }
    }
    guard primary != nil, let worst = behind.max(by: { $0.seconds < $1.seconds }) else {
      return .ok("replication-lag", "no secondaries")
    }
    let words = "\(worst.name) is \(Int(worst.seconds)) s behind"
    guard worst.seconds > 30 else { return .ok("replication-lag", words) }
    return .warning(
      "replication-lag", words, fix: "writes wait for a majority: let it catch up first")
  }

  private func majority(_ members: [Member], _ status: Document) -> Check {
    let data = members.filter(\.holdsData).count
    let voting = members.filter { !$0.isArbiter }.count
    // Named since 4.4; before that, more than half of all members.
    let needed =
      (status["writeMajorityCount"]?.integerValue).map(Int.init)
      ?? min(voting, members.count / 2 + 1)
    guard data >= needed else {
      return .failed(
        "majority", "\(data) of the \(needed) members that a majority write needs",
        fix: "every write would hang: bring members back first", .notReady)
    }
    return .ok("majority", "\(data) members, \(needed) needed")
  }

  /// How long ago the oldest entry of the oplog is.
  func oplogWindow() -> Check {
    guard case .replicaSet = server.topology else {
      return .skipped("oplog-window", "no replica set")
    }
    return attempt("oplog-window", needs: "clusterMonitor, or find on local.oplog.rs") {
      let local = client.database("local")
      func end(_ direction: Int) throws -> Timestamp? {
        try local.findOne(
          "oplog.rs",
          options: ["sort": ["$natural": .integer(direction)], "projection": ["ts": 1]],
          command: CommandOptions(maxTime: .seconds(10)))?["ts"]?.timestampValue
      }
      guard let first = try end(1), let last = try end(-1) else {
        return .warning("oplog-window", "the oplog is empty")
      }
      let seconds = Int64(last.seconds) - Int64(first.seconds)
      let words = Quantity.time(.seconds(seconds))
      if let runtime, .seconds(seconds) < runtime, (try? oplogFill(local)) ?? 1 >= 0.9 {
        return .failed(
          "oplog-window", "\(words), and the run may take \(Quantity.time(runtime))",
          fix: "a secondary or a backup would fall off the oplog: replSetResizeOplog", .notReady)
      }
      if let share = try? oplogFill(local), share < 0.9 {
        return .ok("oplog-window", "\(words), and \(Int(share * 100))% full")
      }
      guard seconds < 86_400 else { return .ok("oplog-window", words) }
      return .warning(
        "oplog-window", words,
        fix: "a long run could push a secondary off the oplog: replSetResizeOplog")
    }
  }

  private func oplogFill(_ local: Database) throws -> Double? {
    let stats = try local.run(["collStats": "oplog.rs"])
    guard let size = number(stats["size"]), let most = number(stats["maxSize"]), most > 0 else {
      return nil
    }
    return size / most
  }
}
