internal import BSON
internal import MongoDB

/// Whether a replica set can take what is about to be written. - Source: consistency.md, "Check first".
struct ServerReadiness {
  let client: Client

  /// What the operator should know first; empty also where this user may not ask.
  func warnings(writing bytes: Int64) -> [String] { members() + oplog(bytes) }

  /// A restore waits for a majority; a member that is down comes back to an oplog that has rolled over.
  private func members() -> [String] {
    guard let status = try? client.run(["replSetGetStatus": 1], on: "admin") else { return [] }
    return (status["members"]?.arrayValue ?? []).compactMap(\.documentValue).compactMap { member in
      let state = member["stateStr"]?.stringValue ?? "?"
      let isUp = (member["health"]?.doubleValue ?? 0) > 0
      if isUp, ["PRIMARY", "SECONDARY", "ARBITER"].contains(state) { return nil }
      return "the member \(member["name"]?.stringValue ?? "?") is \(isUp ? state : "not reachable")"
    }
  }

  /// Everything that is loaded goes through the oplog once.
  private func oplog(_ bytes: Int64) -> [String] {
    guard
      let stats = try? client.run(["collStats": "oplog.rs", "scale": 1], on: "local"),
      let size = stats["maxSize"]?.doubleValue ?? stats["maxSize"]?.integerValue.map(Double.init),
      size > 0, Double(bytes) > size / 2
    else { return [] }
    return [
      "the oplog has \(Int64(size) >> 20) MiB, and \(bytes >> 20) MiB are written: members, change "
        + "streams and captures that fall behind lose their place (replSetResizeOplog)"
    ]
  }
}

/// Tells when writes go on and no majority has them: nothing of them is captured, and a failover loses them.
struct MajorityWatch {
  /// Seconds.
  let patience: Int64
  private var looked = Moment.ticks()
  private var isTold = false

  init(patience: Duration) { self.patience = patience.components.seconds }

  /// Looks now and then.
  /// - Returns: what to tell the operator.
  mutating func look(_ client: Client) throws -> String? {
    // Often enough to be early, seldom enough to cost nothing.
    guard Moment.ticks() - looked >= max(1, patience / 4) * 1000 else { return nil }
    looked = Moment.ticks()
    let hello = try client.hello()
    guard let last = hello.lastWriteTime, let majority = hello.majorityTime else { return nil }
    let behind = Int64(last.seconds) - Int64(majority.seconds)
    guard behind >= patience else {
      defer { isTold = false }
      return isTold ? "the majority point moves again" : nil
    }
    guard !isTold else { return nil }
    isTold = true
    return
      "the majority point has stood still for \(behind) s while writes go on: they are not captured, "
      + "and a failover would lose them; are all members up?"
  }
}
